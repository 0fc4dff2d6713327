"""What is refused, unreachable, too late or in the way: exit codes 3 to 6."""

import os
import re
import resource
import signal
import socket
import subprocess
import threading

import pytest
from conftest import BIN, LARGE, SMALL, kvferry

FIELDS = {
    "layers": ("--layers", "3"),
    "kv": ("--kv", "1"),
    "kv_heads": ("--heads", "4"),
    "head_dim": ("--dims", "32"),
    "block_tokens": ("--block-size", "8"),
    "dtype": ("--dtype", "fp16"),
}


def with_value(args, flag, value):
    args = list(args)
    if flag in args:
        args[args.index(flag) + 1] = value
        return args
    return [*args, flag, value]


@pytest.mark.parametrize("field", FIELDS)
def test_a_different_geometry_is_named_on_both_sides(start, field):
    server = start.server(*SMALL)
    flag, value = FIELDS[field]
    result = server.pull(*with_value(SMALL, flag, value), "--input-tokens", "8")
    assert result.returncode == 4
    rows = [re.sub(r" \(--[a-z-]+\)", "", line).split() for line in result.stderr.splitlines()]
    theirs = next(row for row in rows if row and row[0] == field)
    assert theirs[1] == value
    server.wait_for(r"^refused")
    # Its table stands below the event's text; fields that options call otherwise name the option.
    named = "" if flag == f"--{field}" else rf" \({flag}\)"
    server.wait_for(rf"^ {{14}}{field}{named}\s+{theirs[2]}\s+{value}")
    assert "--layers --heads --dims --block-size --dtype --kv, on both sides" in result.stderr
    # It serves on.
    assert server.pull(*SMALL).returncode == 0


def test_a_pool_that_is_not_writable_cannot_be_pushed_into(start):
    result = start.server(*SMALL).push(*SMALL, "--input-tokens", "8")
    assert result.returncode == 4
    assert "--writable" in result.stderr


def test_a_path_that_cannot_work_is_refused(start):
    result = start.server(*SMALL).pull(*SMALL, "--path", "cuda_ipc")
    assert result.returncode == 4
    assert "cuda_ipc" in result.stderr


def test_beyond_this_host_needs_a_word(tmp_path):
    result = kvferry("serve", *SMALL, "--ip", "0.0.0.0", "--port", "0", "--socket", str(tmp_path / "s"))
    assert result.returncode == 4
    assert "insecure" in result.stderr


@pytest.mark.parametrize("command", ["serve", "pull", "push", "explain"])
def test_an_empty_address_is_not_every_address(command):
    result = kvferry(command, *SMALL, "--ip", "", "--port", "0", timeout=20)
    assert result.returncode == 2
    assert "--ip: the value is empty" in result.stderr


@pytest.mark.parametrize("ip, shown", [("[::1]", "[::1]"), ("::ffff:127.0.0.1", "127.0.0.1")])
def test_other_ways_to_write_loopback(start, tmp_path, ip, shown):
    if shown == "[::1]" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    tmp_path.chmod(0o700)
    server = start("serve", *SMALL, "--ip", ip, "--port", "0", "--socket", str(tmp_path / "s"))
    port = server.wait_for(r"^ready: .* at .*:(\d+)").group(1)
    assert kvferry("pull", *SMALL, "--ip", shown, "--port", port).returncode == 0


def limited(files, *args):
    """A command that may have so many files open."""
    limit = (files, files)
    return subprocess.run(
        [BIN, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )  # fmt: skip


def test_too_few_files_are_no_fault_of_the_servers(start):
    """Wherever on its way to the server a client runs out of them."""
    server = start.server(*SMALL)
    said = 0
    for files in range(6, 40):
        result = limited(files, "explain", *SMALL, "--port", server.port)
        if result.returncode == 0:
            break
        assert result.returncode == 6, (files, result.stderr)
        said += "ulimit -n" in result.stderr
    assert said > 0 and result.returncode == 0


def test_nobody_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = kvferry("pull", *SMALL, "--port", str(port))
    assert result.returncode == 3
    assert str(port) in result.stderr
    assert kvferry("pull", *SMALL, "--socket", "/nonexistent/kvferry.sock").returncode == 3


def test_a_deadline_passes(start):
    server = start.server(*LARGE)
    result = server.pull(*LARGE, "--deadline", "1us")
    assert result.returncode == 5
    assert "the deadline of 1us passed" in result.stderr
    assert server.pull(*LARGE, "--deadline", "1m").returncode == 0


def test_a_server_that_does_not_answer(start):
    server = start.server(*SMALL)
    server.process.send_signal(signal.SIGSTOP)
    try:
        late = server.pull(*SMALL, "--deadline", "300ms")
        assert late.returncode == 5
        assert "the deadline of 300ms passed" in late.stderr
        silent = server.pull(*SMALL)
        assert silent.returncode == 3
        assert "stopped?" in silent.stderr
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_sms_mean_nothing_to_host_memory(start):
    server = start.server(*SMALL)
    note = "note: --sms has no effect on host memory"
    assert note in server.pull(*SMALL, "--sms", "8").stdout
    assert note not in server.pull(*SMALL).stdout


def test_options_of_path_tcp_mean_nothing_to_others(start):
    server = start.server(*SMALL)
    assert "no effect" not in server.pull(*SMALL, "--path", "host_shm").stdout
    result = server.pull(*SMALL, "--rate", "1G")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("note: --rate has no effect on host_shm (path tcp only)\n") == 1
    several = server.pull(*SMALL, "--checksum", "--streams", "3", "--congestion", "reno")
    assert "note: --streams, --congestion, --checksum have no effect on host_shm" in several.stdout
    refused = server.pull(*SMALL, "--checksum", "--path", "host_shm")
    assert refused.returncode == 2
    assert "--checksum: path tcp only, and --path says host_shm" in refused.stderr


def test_a_rate_holds_for_reading_back_which_is_said(start):
    server = start.server(*SMALL, "--writable")
    said = "back, at --rate as well: about "
    assert said not in server.push(*SMALL, "--rate", "1G").stdout
    result = server.push(*SMALL, "--rate", "200M", "--path", "tcp")
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
    assert said not in server.push(*SMALL, "--path", "tcp").stdout
    assert said not in server.push(*SMALL, "--rate", "1G", "--path", "tcp", "--no-verify").stdout


def test_a_port_in_use(start, tmp_path):
    server = start.server(*SMALL)
    private = tmp_path / "second"
    private.mkdir(mode=0o700)
    result = kvferry("serve", *SMALL, "--port", server.port, "--socket", str(private / "s"))
    assert result.returncode == 6
    assert server.port in result.stderr


def test_a_socket_in_use(start):
    server = start.server(*SMALL)
    result = kvferry("serve", *SMALL, "--port", "0", "--socket", server.socket)
    assert result.returncode == 6
    assert server.socket in result.stderr
    assert server.pull(*SMALL).returncode == 0


def test_more_memory_than_there_is():
    result = kvferry("serve", "--device", "host", "--available-memory", "1000000", "--port", "0")
    assert result.returncode == 6
    assert "--available-memory" in result.stderr
    assert "GiB" in result.stderr
    assert not re.search(r"[0-9]{8}", result.stderr)


def test_a_socket_directory_that_others_can_write(tmp_path):
    tmp_path.chmod(0o777)
    result = kvferry("serve", *SMALL, "--port", "0", "--socket", str(tmp_path / "kvferry.sock"), timeout=30)
    assert result.returncode in (4, 6)
    assert str(tmp_path) in result.stderr


def test_an_open_runtime_directory_is_not_used(start, tmp_path):
    open_dir = tmp_path / "run"
    open_dir.mkdir(mode=0o755)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(open_dir)}
    result = kvferry("serve", *SMALL, "--port", "0", "--ip", "not-an-address", env=env)
    assert result.returncode != 0
    assert list(open_dir.iterdir()) == []


@pytest.mark.parametrize(
    "args, named",
    [
        (["--blocks", "0,5242"], "remote id 5242 (place 1"),
        (["--blocks", "0,1", "--into", "7,7"], "local id 7 comes twice"),
        (["--blocks", "0,1", "--into", "0,9999"], "local id 9999"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_ids_do_no_harm(start, args, named):
    server = start.server(*SMALL)
    result = server.pull(*SMALL, *args)
    assert result.returncode == 2
    assert named in result.stderr
    assert server.pull(*SMALL).returncode == 0


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_who_closes_without_an_answer_is_not_said_to_be_absent(family, tmp_path):
    if family == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        where = ["--port", str(listener.getsockname()[1])]
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        where = ["--socket", str(tmp_path / "s")]
    listener.settimeout(20)
    with listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        result = kvferry("pull", *SMALL, *where)
        thread.join()
    assert result.returncode == 3, result.stderr
    assert "another program than a kvferry server" in result.stderr
    assert "is the server running" not in result.stderr
    assert "End of file" not in result.stderr
