"""Signals, and peers that die."""

import re
import signal
import socket
import time

import pytest
from conftest import LARGE, SMALL

FOREVER = ["--count", "1000000", "--no-verify"]
# A peer's death is noticed within 2 s; the rest is for a busy machine to start and stop processes.
NOTICED_S = 6


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ends_with_totals(start, ending):
    server = start.server(*SMALL, "--writable")
    assert server.pull(*SMALL, "--count", "2").returncode == 0
    assert server.push(*SMALL, "--no-verify").returncode == 0
    server.wait_for(r"^connected .*pull")
    server.wait_for(r"^served .*pull of 256 blocks \(512 KiB\) over host_shm")
    server.wait_for(r"^disconnected")
    assert server.end(ending) == 0
    last = server.lines[-1]
    assert last.startswith(ending.name + ": served 3 transfers (2 pulls, 1 push), 1.5 MiB, to 2 clients; refused 0")


def test_a_server_that_is_ended_leaves_no_socket(start, tmp_path):
    server = start.server(*SMALL)
    assert server.end() == 0
    assert not [path for path in tmp_path.rglob("*.sock")]


def test_a_client_that_ends_is_not_called_dead(start):
    server = start.server(*SMALL)
    assert server.pull(*SMALL).returncode == 0
    line = server.wait_for(r"^disconnected.*").group(0)
    assert "died" not in line
    assert line.count("(pid ") == 1


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_server_that_dies_ends_the_client(start, size):
    server = start.server(*size)
    client = start("pull", "--port", server.port, *size, *FOREVER)
    client.wait_for(r"#3 ")
    server.process.kill()
    began = time.monotonic()
    assert client.wait(60) == 3
    assert time.monotonic() - began < NOTICED_S
    assert "kvferry pull: " in client.lines[-1]


def test_a_server_that_leaves_ends_the_client(start):
    server = start.server(*SMALL)
    client = start("pull", "--port", server.port, *SMALL, *FOREVER)
    client.wait_for(r"#3 ")
    assert server.end() == 0
    assert client.wait(60) in (3, 4)


def test_a_client_that_dies_does_not_stop_the_server(start):
    server = start.server(*LARGE, "--fill", "indexed")
    client = start("pull", "--port", server.port, *LARGE, *FOREVER)
    client.wait_for(r"#3 ")
    client.process.kill()
    server.wait_for(r"^disconnected.*died", timeout=NOTICED_S)
    assert server.pull(*LARGE, "--blocks", "scattered:1").returncode == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_an_interrupted_client_says_so(start, ending, size):
    server = start.server(*size)
    client = start("pull", "--port", server.port, *size, *FOREVER)
    client.wait_for(r"#2 ")
    assert client.end(ending) == 130
    assert f"interrupted by {ending.name}" in client.text()
    assert re.search(r"(?m)^  summary .* over [0-9,]+ transfers", client.text())
    assert re.search(r"(?m)^  [0-9]+ of 1000000 transfers done$", client.text())
    server.wait_for(r"^disconnected")
    assert server.pull(*size).returncode == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_client_is_interrupted_while_it_connects(start, ending):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = start("pull", "--port", str(silent.getsockname()[1]), *SMALL)
        held = silent.accept()
        began = time.monotonic()
        assert client.end(ending) == 130
        assert time.monotonic() - began < 1.5  # of 5 s that it would wait
        held[0].close()
        assert f"interrupted by {ending.name}" in client.text()


def test_an_interrupted_verification(start):
    server = start.server(*LARGE, "--fill", "indexed")
    client = start("pull", "--port", server.port, *LARGE, "--count", "1000000")
    client.wait_for(r"#2 ")
    assert client.end() == 130
