"""kvferry bench: measures with processes of its own and leaves nothing behind."""

import csv
import glob
import io
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

import pytest
from conftest import BIN, kvferry

# One figure each; a loaded machine needs its time.
ONE = ["bench", "--quick", "--only", "throughput/host/host-host/pull/scattered"]
GROUPS = "throughput, blocks, sms, latency, posting, clients, tcp, ucx"


def children_of(pid):
    """Processes whose parent is `pid`, and theirs."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.split("/")[2])
            found += [child, *children_of(child)]
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def directories(pid):
    return glob.glob(f"/tmp/kvferry-bench-{pid}-*")


class Bench:
    """A running benchmark."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [BIN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def wait_for_children(self, count=1):
        until = time.monotonic() + 60
        while len(children_of(self.process.pid)) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        return children_of(self.process.pid)

    def end(self, timeout=100):
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

    def nothing_is_left(self, children=()):
        until = time.monotonic() + 10
        while any(alive(child) for child in children):
            assert time.monotonic() < until, f"still there: {children}"
            time.sleep(0.02)
        assert not directories(self.process.pid)


def test_a_figure_as_json_csv_and_text(tmp_path):
    bench = Bench(*ONE, "--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv"))
    children = bench.wait_for_children()
    code, out, err = bench.end()
    assert code == 0, err
    bench.nothing_is_left(children)
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["schema"] == 1
    assert report["quick"] is True
    assert report["interrupted"] is False
    assert "bench --quick --only throughput/host/host-host/pull/scattered" in report["command_line"]
    (figure,) = report["figures"]
    assert figure["key"] == "throughput/host/host-host/pull/scattered/auto/65536x64x40"
    assert figure["verified"] is True
    assert figure["reference"]["name"].startswith("contiguous ")
    assert figure["of_reference"]["median"] > 0
    assert figure["seconds"]["count"] >= 1
    assert figure["gb_per_s"] == pytest.approx(figure["bytes"] / figure["seconds"]["median"] / 1e9)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text()))
    assert row["key"] == figure["key"]
    assert "pull scattered" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


@pytest.mark.parametrize(
    "only",
    ["throughput/host/host-host/push", "blocks/host", "latency/host", "posting/host", "clients/host"],
)
def test_every_group_on_host_memory(only):
    result = kvferry("bench", "--quick", "--only", only, "--json", "-")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["figures"], report["skipped"]
    for figure in report["figures"]:
        assert figure["key"].startswith(only)
        assert figure["verified"] is True
        assert figure["seconds"]["median"] > 0
        group = only.split("/")[0]
        if group in ("latency", "posting"):
            quantiles = [q for q, _ in figure["cdf"]]
            assert quantiles == sorted(quantiles) and quantiles[-1] == 1
        if group == "posting":
            assert "by the clock" in figure["note"]


def figures_of(*args, skipped=None):
    """The figures by key of a quick run, and what it skipped into `skipped`."""
    result = kvferry("bench", "--quick", "--json", "-", *args)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    if skipped is not None:
        skipped.update({s["what"]: s["why"] for s in report["skipped"]})
    return {figure["key"]: figure for figure in report["figures"]}


def test_tcp_beside_plain_sockets_and_a_cipher():
    skipped = {}
    figures = figures_of("--only", "tcp/loopback/host-host/pull,iperf3", "--congestion", "reno", skipped=skipped)
    plain = figures["tcp/loopback/host-host/pull/scattered/auto/65536x64x40/1streams"]
    assert plain["reference"]["name"] == "contiguous plain sockets, 1 stream, reno"
    assert plain["method"] == "1 tcp stream, reno"
    inside = figures["tcp/loopback/host-host/pull/scattered/auto/65536x64x40/1streams/tls"]
    assert inside["reference"]["name"].startswith("AES-256-GCM")
    assert "tls" in inside["method"]
    small = figures["tcp/loopback/host-host/pull/scattered/auto/65536x1x40/1streams"]
    assert small["seconds"]["count"] >= 100 and small["cdf"]
    for figure in (plain, inside, small):
        assert figure["path"] == "tcp" and figure["verified"] is True
        assert figure["of_reference"]["median"] > 0
    alone = figures["tcp/loopback/host-host/pull/contiguous/auto/65536x64x40/openssl/1streams/tls"]
    assert alone["method"].startswith("OpenSSL 3") and alone["reference"]["name"].startswith("AES-256-GCM")
    assert alone["gb_per_s"] > 0 and alone["verified"] is False
    # Beside them, or with the way to have it.
    others = [figure for figure in figures.values() if figure["path"] == "iperf3"]
    assert bool(others) != ("iperf3" in skipped)
    assert others or "apt install iperf3" in skipped["iperf3"]
    assert all(not figure["verified"] and figure["gb_per_s"] > 0 for figure in others)


def test_more_streams_than_cores_are_left_out_with_the_reason():
    result = kvferry("bench", "--list", "--only", "tcp")
    streams = {int(n) for n in re.findall(r"/(\d+)streams", result.stdout)}
    assert streams == {n for n in (1, 2, 8) if n <= os.cpu_count()}


def test_congestion_that_the_kernel_has_not_is_refused_at_once():
    bench = Bench("bench", "--only", "tcp", "--congestion", "no_such")
    code, _, err = bench.end(20)
    assert code == 2
    assert "no_such" in err
    bench.nothing_is_left()


def test_ucx_is_skipped_unless_software_is_asked_for():
    if os.path.isdir("/sys/class/infiniband") and os.listdir("/sys/class/infiniband"):
        pytest.skip("there is an RDMA card here")
    skipped = {}
    assert figures_of("--only", "ucx", skipped=skipped) == {}
    assert skipped["ucx"]


def test_ucx_over_tcp_in_software_beside_a_get_of_its_own():
    skipped = {}
    figures = figures_of("--only", "ucx/loopback/host", "--ucx-transports", "tcp", skipped=skipped)
    if "ucx" in skipped:
        pytest.skip(skipped["ucx"])
    for figure in figures.values():
        assert figure["path"] == "ucx" and figure["verified"] is True
        assert figure["reference"]["name"] == "one contiguous get by UCX"


DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = [
    line
    for page in ("tcp.md", "rdma.md")
    for line in re.findall(r"^    kvferry (bench .*)$", (DOCS / page).read_text(), re.M)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_pages_name_what_there_is(example):
    words = shlex.split(example)
    for measuring in ("--reps", "--json"):  # which --list does not
        if measuring in words:
            at = words.index(measuring)
            del words[at : at + 2]
    result = kvferry(*words, "--list")
    assert result.returncode == 0, result.stderr


def test_there_are_examples():
    assert len(EXAMPLES) == 5


def test_layouts_are_measured_and_said():
    result = kvferry("bench", "--only", "8192x512x40/kv_apart,8192x512x40/padded", "--reps", "11", "--json", "-",
                     "--seconds-per-case", "10ms")
    assert result.returncode == 0, result.stderr
    figures = [f for f in json.loads(result.stdout)["figures"] if f["link"] == "host"]
    assert [f["layout"] for f in figures] == ["kv_apart", "padded"]
    assert all("the server's is joint" in f["note"] and f["verified"] for f in figures)


def test_clients_in_processes_of_their_own(tmp_path):
    bench = Bench("bench", "--quick", "--only", "2clients", "--json", str(tmp_path / "a.json"))
    children = bench.wait_for_children(3)  # a server and two
    code, _, err = bench.end()
    assert code == 0, err
    bench.nothing_is_left(children)
    figures = json.loads((tmp_path / "a.json").read_text())["figures"]
    assert any(f["clients"] == 2 and f["processes"] == 2 and f["direction"] == "pull" for f in figures)
    assert all(f["reference"]["name"] == "1 client alone" for f in figures)


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    bench = Bench("bench", "--only", "latency/host", "--seconds-per-case", "2s", "--json", str(tmp_path / "a.json"))
    children = bench.wait_for_children()
    time.sleep(4)
    bench.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, out, err = bench.end()
    assert code == 130, err
    assert time.monotonic() - began < 15
    bench.nothing_is_left(children)
    assert json.loads((tmp_path / "a.json").read_text())["interrupted"] is True
    assert "interrupted by SIGINT" in out


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_at_once(ending):
    bench = Bench(*ONE)
    children = bench.wait_for_children()
    bench.process.send_signal(ending)
    code, _, err = bench.end()
    assert code == 130, err
    bench.nothing_is_left(children)


def test_ctrl_c_among_clients():
    bench = Bench("bench", "--only", "8clients")
    children = bench.wait_for_children(9)
    time.sleep(1)
    bench.process.send_signal(signal.SIGINT)
    assert bench.end()[0] == 130
    bench.nothing_is_left(children)


def test_killed_it_takes_its_processes_along():
    bench = Bench("bench", "--only", "2clients")
    children = bench.wait_for_children(3)
    bench.process.kill()
    bench.end()
    until = time.monotonic() + 10
    while any(alive(child) for child in children):
        assert time.monotonic() < until
        time.sleep(0.02)
    for left in directories(bench.process.pid):  # nobody was there to remove it
        for name in os.listdir(left):
            os.unlink(os.path.join(left, name))
        os.rmdir(left)


def test_a_server_that_dies_is_said():
    bench = Bench("bench", "--only", "latency/host", "--seconds-per-case", "30s", "--json", "-")
    (server, *_) = bench.wait_for_children()
    time.sleep(3)
    os.kill(server, signal.SIGKILL)
    code, out, err = bench.end()
    bench.nothing_is_left([server])
    assert code == 3, err
    assert "latency/host" in err


def test_list_measures_nothing():
    bench = Bench("bench", "--list", "--quick", "--only", "latency,clients/host")
    code, out, _ = bench.end()
    assert code == 0
    bench.nothing_is_left()
    lines = out.splitlines()
    assert lines and all(re.match(r"latency/|clients/host/", line) for line in lines)


@pytest.mark.parametrize(
    "args, code, says",
    [
        (["--only", "nothing-of-that-name"], 2, GROUPS),
        (["--only", ""], 2, "--only"),
        (["--reps", "3"], 2, "11"),
        (["--seconds-per-case", "3 parsecs"], 2, "--seconds-per-case"),
        (["--json", "-", "--csv", "-"], 2, "standard output"),
        (["--json", "/nonexistent/a.json"], 2, "--json: cannot write"),
        (["--csv", "/nonexistent/a.csv"], 2, "--csv: cannot write"),
        (["--costs", "/nonexistent/costs.json"], 2, "--costs"),
        (["--compare", "only-one.json"], 2, "--compare"),
        (["--compare", "/nonexistent/a.json", "/nonexistent/b.json"], 2, "/nonexistent/a.json"),
        (["--list", "--compare", "a.json", "b.json"], 2, "--list"),
        (["--list", "--json", "a.json"], 2, "--json"),
        (["--list", "--reps", "31"], 2, "--reps"),
        (["--compare", "a.json", "b.json", "--csv", "a.csv"], 2, "--csv"),
        (["--compare", "a.json", "b.json", "--only", "tcp"], 2, "--only"),
        (["--compare", "a.json", "b.json", "--quick"], 2, "--quick"),
        (["--calibrate", "a.json", "--html", "a.html"], 2, "--html"),
    ],
)
def test_mistakes_are_found_before_the_work(args, code, says):
    bench = Bench("bench", *args)
    got, _, err = bench.end(20)
    assert got == code, err
    assert says in err
    bench.nothing_is_left()


def test_compare_finds_nothing_between_a_run_and_itself(tmp_path):
    path = str(tmp_path / "a.json")
    assert kvferry(*ONE, "--json", path).returncode == 0
    result = kvferry("bench", "--compare", path, path)
    assert result.returncode == 0, result.stderr
