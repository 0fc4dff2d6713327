"""Runs the kvferry program as its users do. KVFERRY_BIN names it."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

BIN = os.environ.get("KVFERRY_BIN", "kvferry")

# A small cache: 4 layers, 5242 blocks of 512 bytes.
SMALL = "--device host --layers 4 --heads 2 --dims 16 --block-size 4 --available-memory 0.01".split()
# The default shape on a quarter of a GiB: 102 blocks of 64 KiB in 40 layers.
LARGE = "--device host --available-memory 0.25".split()

TIMEOUT_S = 120


def kvferry(*args, env=None, timeout=TIMEOUT_S):
    """One command from start to end: .returncode, .stdout, .stderr."""
    return subprocess.run(
        [BIN, *args], capture_output=True, text=True, timeout=timeout, env=env, stdin=subprocess.DEVNULL
    )


class Running:
    """A command that goes on: its lines arrive in .lines as it prints them."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [BIN, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern, timeout=TIMEOUT_S):
        """The first line that matches; fails if the command ends or the time passes without one."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(10)
            for line in list(self.lines):
                match = re.search(pattern, line)
                if match:
                    return match
            assert not ended, f"ended with {self.process.returncode} before {pattern!r}: {self.text()}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {timeout} s: {self.text()}"
            time.sleep(0.01)

    def text(self):
        return "\n".join(self.lines)

    def end(self, with_signal=signal.SIGINT, timeout=30):
        """Sends the signal and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.wait(timeout)

    def wait(self, timeout=30):
        code = self.process.wait(timeout)
        self._reader.join(10)
        return code


class Server(Running):
    def __init__(self, directory, *args):
        self.socket = str(directory / "kvferry.sock")
        super().__init__("serve", "--port", "0", "--socket", self.socket, *args)
        self.port = self.wait_for(r"^ready: .* at 127\.0\.0\.1:(\d+)").group(1)

    def pull(self, *args, **kwargs):
        return kvferry("pull", "--port", self.port, *args, **kwargs)

    def push(self, *args, **kwargs):
        return kvferry("push", "--port", self.port, *args, **kwargs)


@pytest.fixture
def start(tmp_path):
    """start(command, ...) and start.server(...): whatever still runs at the end is killed."""
    running = []
    private = tmp_path / "sockets"
    private.mkdir(mode=0o700)

    def start_command(*args):
        running.append(Running(*args))
        return running[-1]

    def start_server(*args):
        directory = private / str(len(running))
        directory.mkdir(mode=0o700)
        running.append(Server(directory, *args))
        return running[-1]

    start_command.server = start_server
    yield start_command
    for command in running:
        if command.process.poll() is None:
            command.process.kill()
        command.wait()
