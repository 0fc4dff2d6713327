"""The documentation's examples, as they are."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORT = 5555


def blocks(page, language="python"):
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_quick_start(tmp_path):
    """The README's two programs, pasted into files; at most 25 lines each."""
    server, client = blocks("README.md")
    if in_use(PORT):
        server, client = (text.replace(str(PORT), "5597") for text in (server, client))
    for name, text in (("server", server), ("client", client)):
        assert len(text.splitlines()) <= 25
        (tmp_path / f"{name}.py").write_text(text)
    serving = subprocess.Popen(
        [sys.executable, "server.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        port = 5597 if "5597" in server else PORT
        until = time.monotonic() + 30
        while not in_use(port) and serving.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        done = subprocess.run(
            [sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "7,864,320 bytes by" in done.stdout
        said, _ = serving.communicate(timeout=30)
        assert serving.returncode == 0, said
        assert "text='thanks'" in said
    finally:
        serving.kill()
        serving.wait()


def test_guide(tmp_path):
    """docs/python.md: its examples in their order are one program."""
    program = "\n".join(blocks("docs/python.md"))
    assert program.count("\n") > 50
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "64 2 layout=kv,tokens,heads,dim" in done.stdout
    assert "request 42 64" in done.stdout


def test_guide_for_gpus_is_python():
    for text in blocks("docs/python.md", "py"):
        compile(text, "docs/python.md", "exec")


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_names_in_the_pages_exist(page):
    import kvferry

    for name in re.findall(r"\bkvferry\.([A-Z]\w+)", (ROOT / page).read_text()):
        assert hasattr(kvferry, name), name
