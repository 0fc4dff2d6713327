"""Path ucx from the command line. No RDMA card is at hand: over UCX's TCP, which copies in software."""

import ctypes
import os
import pathlib
import re
import shlex

import pytest
from conftest import SMALL, kvferry

OVER_TCP = ["--ucx-transports", "tcp"]
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "rdma.md"


def why_no_ucx():
    try:
        ctypes.CDLL("libucp.so.0")
    except OSError as error:
        return str(error)
    return None if "--path ucx" in PAGE.read_text() else "no page"


needs_ucx = pytest.mark.skipif(why_no_ucx() is not None, reason=f"UCX: {why_no_ucx()}")


def skip_without(result):
    if "built without UCX" in result.stderr:
        pytest.skip("this kvferry was built without UCX")
    return result


@needs_ucx
def test_the_examples_of_the_page_over_tcp_in_software(start):
    lines = re.findall(r"^    kvferry ((?:serve|pull|push) .*--ucx-transports.*)$", PAGE.read_text(), re.M)
    serve, *clients = [shlex.split(line) for line in lines]
    assert serve[0] == "serve" and [c[0] for c in clients] == ["pull", "push"]
    server = start.server(*serve[1:], "--fill", "indexed")
    for client in clients:
        result = skip_without(kvferry(client[0], "--port", server.port, *client[1:]))
        assert result.returncode == 0, result.stderr
        assert "path      ucx" in result.stdout
        assert "every byte" in result.stdout


@needs_ucx
def test_scattered_blocks_over_tcp_in_software(start):
    server = start.server(*SMALL, "--fill", "indexed", *OVER_TCP)
    result = skip_without(
        server.pull(*SMALL, "--path", "ucx", *OVER_TCP, "--blocks", "scattered:1", "--into", "scattered:2")
    )
    assert result.returncode == 0, result.stderr
    assert "verified  256 blocks x 4 layers" in result.stdout


def test_software_transports_are_refused_unless_named(start):
    if os.path.isdir("/sys/class/infiniband") and os.listdir("/sys/class/infiniband"):
        pytest.skip("there is an RDMA card here")
    server = start.server(*SMALL, *OVER_TCP)
    result = skip_without(server.pull(*SMALL, "--path", "ucx"))
    assert result.returncode == 4
    assert "--ucx-transports" in result.stderr


def test_explain_names_the_path_and_why_not(start):
    server = start.server(*SMALL)
    result = kvferry("explain", "--port", server.port, *SMALL)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^\s*ucx\b.*(RDMA|UCX)", result.stdout, re.M), result.stdout


def test_without_the_library_everything_else_works(start, tmp_path):
    server = start.server(*SMALL)
    (tmp_path / "libucp.so.0").write_text("no library")
    env = dict(os.environ, LD_LIBRARY_PATH=str(tmp_path))
    result = kvferry("pull", "--port", server.port, *SMALL, "--path", "ucx", *OVER_TCP, env=env)
    skip_without(result)
    assert result.returncode == 4
    assert "UCX cannot be loaded" in result.stderr
    assert kvferry("pull", "--port", server.port, *SMALL, env=env).returncode == 0
