"""The two processes of one contestant, and the commands they answer."""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import time


class DriverError(Exception):
    """A contestant that cannot go on, and why."""


def _die_with_parent():
    """A stopped process would outlive an orchestrator that was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Driver:
    def __init__(self, arguments, environment, log_path):
        self.log_path = log_path
        self._buffer = b""
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                preexec_fn=_die_with_parent,
            )

    def send(self, command):
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise DriverError(self._ended(command["cmd"])) from None

    def answer(self, name, timeout_s):
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise DriverError(f"{name}: no answer within {timeout_s:.0f} s{self._log_tail()}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise DriverError(self._ended(name))
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        if not answer["ok"]:
            raise DriverError(f"{name}: {answer['error']}{self._log_tail()}")
        return answer

    def _ended(self, name):
        code = self.process.wait(10)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{name}: the driver ended with {how}{self._log_tail()}"

    def _log_tail(self):
        with open(self.log_path, errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return "; it said: " + " / ".join(lines[-3:]) if lines else ""

    def ask_to_end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self):
        self.ask_to_end()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Pair:
    """owner: whose pool is reached; starter: where transfers start."""

    def __init__(self, start):
        self.owner = start("owner")
        try:
            self.starter = start("starter")
        except OSError:
            self.owner.end()
            raise

    def side(self, role):
        return self.owner if role == "owner" else self.starter

    def ask(self, side, timeout_s, **command):
        side.send(command)
        return side.answer(command["cmd"], timeout_s)

    def signal(self, number):
        for side in (self.owner, self.starter):
            if side.process.poll() is None:
                side.process.send_signal(number)

    def ask_to_end(self):
        for side in (self.starter, self.owner):
            side.ask_to_end()

    def end(self):
        for side in (self.starter, self.owner):
            side.end()
