"""kvferry doctor: its checks, its report, and that nothing is left of the processes it starts."""

import glob
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest
from conftest import BIN, TIMEOUT_S, kvferry

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "json.md"
STATES = ["ok", "note", "warning", "problem"]


def doctor(*args, code=None, prefix=(), limits=(), env=None):
    """Runs it with --json -, with soft and hard limits set in it; the document."""

    def set_limits():
        for which, value in limits:
            resource.setrlimit(which, (value, value))

    result = subprocess.run(
        [*prefix, BIN, "doctor", "--json", "-", *args],
        capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        preexec_fn=set_limits, env=env,
    )
    report = json.loads(result.stdout)
    assert result.returncode == report["exit_code"], result.stderr
    if code is not None:
        assert result.returncode == code, result.stderr
    report["text"] = result.stderr
    return report


def check_of(report, name):
    return next(check for check in report["checks"] if check["name"] == name)


def doctors():
    """Pids of the processes that doctor starts: this program, with a job in its environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            same = os.readlink(entry / "exe") == os.path.realpath(BIN)
        except OSError:
            continue
        if same and b"KVFERRY_DOCTOR_JOB=" in environment:
            found.append(int(entry.name))
    return found


def directories():
    return set(glob.glob("/tmp/kvferry-doctor-*"))


@pytest.fixture
def nothing_left():
    assert os.path.isabs(shutil.which(BIN) or ""), "KVFERRY_BIN must name the program"
    before = directories()
    yield before
    deadline = time.monotonic() + 10
    while doctors() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert doctors() == []
    assert directories() == before


def test_a_report(nothing_left):
    report = doctor()
    assert report["schema"] == 1
    assert report["command"] == "doctor"
    assert report["error"] is None
    assert report["healthy"] == (report["exit_code"] == 0)
    assert {check["area"] for check in report["checks"]} >= {
        "system", "kernel", "memory", "limits", "cpu", "network", "gpu", "sharing",
    }
    counts = dict.fromkeys(STATES, 0)
    for check in report["checks"]:
        counts[check["state"]] += 1
        assert check["value"], check
        if check["state"] in ("warning", "problem"):
            assert check["advice"] and check["meaning"], check
    assert report["summary"] == {
        "ok": counts["ok"], "notes": counts["note"],
        "warnings": counts["warning"], "problems": counts["problem"],
    }
    assert report["exit_code"] == (1 if counts["warning"] + counts["problem"] else 0)
    last = report["text"].rstrip().splitlines()[-1]
    assert re.match(r"healthy: \d+ checks|\d+ findings?: ", last), last
    assert [path["path"] for path in report["paths"]] == ["cuda_ipc", "host_shm", "host_shm", "tcp", "ucx"]


def test_blocks_really_move_between_processes(nothing_left):
    report = doctor()
    pair = next(p for p in report["sharing"] if p["local"] == p["remote"] == "host" and not p["private_memory"])
    assert pair["outcome"] == "verified", pair
    assert pair["path"] == "host_shm"
    assert pair["bytes"] == 2 * 4 * 64 * 16384  # the whole pool, after a pull and after a push
    assert report["paths"][1]["usable"] is True
    assert "host <-> host" in report["text"]


def test_without_sharing_nothing_is_started_and_that_is_said():
    report = doctor("--no-sharing")
    assert report["sharing"] == []
    assert report["left_out"] == ["everything: --no-sharing"]
    assert "everything: --no-sharing" in report["text"]


def test_every_key_is_documented():
    section = DOCS.read_text().split("\n# `kvferry doctor`\n")[1].split("\n# ")[0]
    documented = set(re.findall(r"`([a-z0-9_]+)`", section))
    report = doctor()
    del report["text"]

    def keys(value):
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from keys(inner)
        if isinstance(value, dict):
            yield from value

    assert set(keys(report)) - documented == set()


def test_few_descriptors_are_a_finding(nothing_left):
    report = doctor(code=1, limits=[(resource.RLIMIT_NOFILE, 128)])
    check = check_of(report, "open files")
    assert check["state"] == "warning"
    assert "128" in check["value"]
    assert "LimitNOFILE" in check["advice"]


def test_a_limit_on_files_stops_host_pools_and_is_named(nothing_left):
    report = doctor(code=1, limits=[(resource.RLIMIT_FSIZE, 1 << 20)])
    assert check_of(report, "file size")["state"] == "problem"
    pair = report["sharing"][0]
    assert pair["outcome"] == "failed"
    assert "ulimit -f" in pair["reason"]
    assert report["paths"][1]["usable"] is False


def test_no_locked_memory_is_shown():
    check = check_of(doctor("--no-sharing", limits=[(resource.RLIMIT_MEMLOCK, 0)]), "locked memory")
    assert check["state"] == "note"
    assert check["value"] == "0 B"


def test_a_private_runtime_directory_is_taken(tmp_path):
    tmp_path.chmod(0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    assert check_of(doctor("--no-sharing", env=env), "socket")["value"].startswith(str(tmp_path) + "/")
    tmp_path.chmod(0o755)
    check = check_of(doctor("--no-sharing", env=env), "socket")
    assert check["state"] == "note"
    assert "chmod 700" in check["advice"]


def test_what_was_not_there_is_not_made(tmp_path):
    if os.path.exists(f"/tmp/kvferry-{os.geteuid()}"):
        pytest.skip("a server made its directory before")
    doctor("--no-sharing")
    assert not os.path.exists(f"/tmp/kvferry-{os.geteuid()}")


def test_in_namespaces_of_its_own(nothing_left):
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--ipc", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("user namespaces cannot be made here")
    report = doctor(prefix=unshare)
    check = check_of(report, "namespaces")
    assert check["state"] == "note"
    assert check["value"].startswith("own pid, ipc, user")
    assert report["sharing"][0]["outcome"] == "verified"


def test_what_takes_too_long_is_a_problem_and_is_ended(nothing_left):
    started = time.monotonic()
    report = doctor("--timeout", "1us", code=1)
    assert time.monotonic() - started < 20
    assert {pair["outcome"] for pair in report["sharing"]} <= {"late", "left_out"}
    assert check_of(report, "host <-> host")["state"] == "problem"
    assert "--timeout" in check_of(report, "host <-> host")["advice"]


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment_nothing_is_left(nothing_left, tmp_path, with_signal):
    ended = set()
    for i in range(12):
        out = tmp_path / f"{i}.json"
        process = subprocess.Popen(
            [BIN, "doctor", "--json", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(0.01 + 0.006 * i)
        process.send_signal(with_signal)
        error = process.communicate(timeout=30)[1]
        ended.add(process.returncode)
        if process.returncode == 130:
            assert "interrupted by" in error
            assert json.loads(out.read_text())["error"]["code"] == "cancelled"
    assert ended <= {0, 1, 130, -with_signal}, ended


def test_a_process_that_hangs_holds_nothing_up(nothing_left):
    stopped = 0
    for _ in range(40):
        started = time.monotonic()
        process = subprocess.Popen(
            [BIN, "doctor", "--json", "-", "--timeout", "300ms"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        while not stopped and process.poll() is None and time.monotonic() < started + 5:
            for pid in doctors():
                try:
                    os.kill(pid, signal.SIGSTOP)
                    stopped += 1
                except ProcessLookupError:
                    pass  # it had just ended
        report = json.loads(process.communicate(timeout=60)[0])
        assert time.monotonic() - started < 30
        if process.returncode == 1 and any(pair["outcome"] == "late" for pair in report["sharing"]):
            return
        stopped = 0  # it had nothing left to do, or was no part of a pair
    pytest.skip("in 40 runs no process of doctor's could be stopped while it worked: the machine is busy")


def test_killed_its_processes_die_with_it():
    before = directories()
    seen = 0
    for i in range(40):
        process = subprocess.Popen([BIN, "doctor"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        while not doctors() and process.poll() is None and time.monotonic() < deadline:
            pass
        seen += bool(doctors())
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while doctors() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert doctors() == []
        if seen:
            break
    assert seen, "no process of doctor's was ever seen"
    for directory in directories() - before:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    "args, named",
    [(["--timeout", "30d"], '"30d"'), (["--timeout", ""], "--timeout"), (["--max-gpus", "65"], "--max-gpus"),
     (["--json", "/nonexistent/out.json"], "/nonexistent/out.json")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(args, named):
    result = kvferry("doctor", *args)
    assert result.returncode == 2
    assert named in result.stderr


def test_help():
    text = kvferry("doctor", "--help").stdout
    for part in ("Usage: kvferry doctor", "warning", "(default 30s)", "Exit codes:", "Examples:", "Environment:"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 90
