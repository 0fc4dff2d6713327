"""A server and a client on hosts of their own. KVFERRY_BIN names the program."""

import base64
import mmap
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

BIN = os.environ.get("KVFERRY_BIN", "kvferry")

# 4 layers, 5242 blocks of 512 bytes; and blocks of 64 KiB in 40 layers, 102 of them.
SMALL = "--device host --layers 4 --heads 2 --dims 16 --block-size 4 --available-memory 0.01".split()
LARGE = "--device host --available-memory 0.25".split()

# After a deadline, or after a peer is known to be gone: to end a transfer, say so and exit, on a busy machine.
SLACK_S = 3


class Process:
    def __init__(self, host, *args):
        self.host = host
        self.began = time.monotonic()
        self.ended = None
        self.process = host.popen(
            BIN, *args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def wait_for(self, pattern, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            over = self.process.poll() is not None
            if over:
                self.reader.join(10)
            for line in list(self.lines):
                if match := re.search(pattern, line):
                    return match
            assert not over, f"ended with {self.process.returncode} before {pattern!r}:\n{self.text()}"
            assert time.monotonic() < deadline, f"no {pattern!r} in {timeout} s:\n{self.text()}"
            time.sleep(0.01)

    def wait(self, timeout=60):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs after {timeout} s:\n{self.text()}") from None
        self.reader.join(10)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGINT)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()

    # What it holds: for leaks.
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def pool(self):
        """Its pool in host memory, as it is from moment to moment: the largest of its memfds."""
        files = [f"/proc/{self.process.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{self.process.pid}/fd")]
        memfds = [f for f in files if "/memfd:" in os.readlink(f)]
        with open(max(memfds, key=lambda f: os.stat(f).st_size), "rb") as file:
            return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


class World:
    """A server's host, a client's, one in the middle, and a credential that both ends know."""

    def __init__(self, network, directory):
        self.network = network
        self.server_host, self.client_host, self.middle = (network.host(n) for n in ("srv", "cli", "mid"))
        self.directory = directory
        self.token = directory / "token"
        secret = base64.b64encode(os.urandom(32)).decode()
        self.token.write_text(f"tests {secret}\n")
        self.token.chmod(0o600)
        self.sockets = directory / "sockets"
        self.sockets.mkdir(mode=0o700)
        self.running = []

    def start(self, host, *args):
        self.running.append(Process(host, *args))
        return self.running[-1]

    def serve(self, *args, size=SMALL, port=5555, ip=None, host=None):
        host = host or self.server_host
        where = ["--ip", ip or host.ip, "--port", port, "--socket", self.sockets / f"{len(self.running)}.sock"]
        server = self.start(host, "serve", *size, *where, "--token-file", self.token, *args)
        server.wait_for(r"^ready: ")
        return server

    def client(self, command, *args, size=SMALL, ip=None, port=5555, host=None):
        where = ["--ip", ip or self.server_host.ip, "--port", port, "--token-file", self.token]
        return self.start(host or self.client_host, command, *size, *where, *args)

    def pull(self, *args, **kwargs):
        return self.client("pull", *args, **kwargs)

    def push(self, *args, **kwargs):
        return self.client("push", *args, **kwargs)

    def close(self):
        for process in self.running:
            if process.process.poll() is None:
                process.process.kill()
            process.wait()
            process.process.stdout.close()
