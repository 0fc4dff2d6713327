"""An etcd of the test's own, that can be stopped, killed and started again at the same address."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

PREFIX = "/kvferry/v1/peers/"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def base64_text(text):
    return base64.b64encode(text.encode()).decode()


class Etcd:
    def __init__(self, directory, tls=None):
        """`tls`: (ca, certificate, key) files; then clients must show a certificate, too."""
        self.program = shutil.which("etcd") or shutil.which("etcd", path="/usr/sbin:/usr/local/bin")
        if self.program is None:
            pytest.skip("etcd was not found (Debian: etcd-server)")
        self.directory = directory
        self.tls = tls
        self.port, self.peer_port = free_port(), free_port()
        self.scheme = "etcds" if tls else "etcd"
        self.registry = f"{self.scheme}://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def start(self, wiped=False):
        data = self.directory / "etcd"
        if wiped:
            shutil.rmtree(data)
        scheme = "https" if self.tls else "http"
        client, peer = f"{scheme}://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.peer_port}"
        command = [
            self.program,
            *("--data-dir", str(data), "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]
        if self.tls:
            ca, certificate, key = self.tls
            command += ["--cert-file", certificate, "--key-file", key]
            command += ["--trusted-ca-file", ca, "--client-cert-auth"]
        # An older etcd knows no --unsafe-no-fsync.
        options = subprocess.run([self.program, "--help"], capture_output=True, text=True)
        if "unsafe-no-fsync" not in options.stdout + options.stderr:
            command.remove("--unsafe-no-fsync")
        self.log = open(self.directory / "etcd.log", "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, (self.directory / "etcd.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "etcd did not start in 60 s"
            time.sleep(0.05)

    def answers(self):
        try:
            if self.tls:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return True
            self.ask("kv/range", {"key": base64_text("x")})
            return True
        except urllib.error.HTTPError:
            return True  # it wants a password, but it is there
        except OSError:
            return False

    def ask(self, call, request):
        url = f"http://127.0.0.1:{self.port}/v3/{call}"
        with urllib.request.urlopen(url, json.dumps(request).encode(), timeout=5) as answer:
            return json.load(answer)

    def put(self, name, value):
        self.ask("kv/put", {"key": base64_text(PREFIX + name), "value": base64_text(value)})

    def delete(self, name):
        self.ask("kv/deleterange", {"key": base64_text(PREFIX + name)})

    def names(self):
        end = PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
        answer = self.ask("kv/range", {"key": base64_text(PREFIX), "range_end": base64_text(end)})
        keys = [base64.b64decode(entry["key"]).decode() for entry in answer.get("kvs", [])]
        return sorted(key[len(PREFIX) :] for key in keys)

    def wait_for(self, names, timeout=30):
        deadline = time.monotonic() + timeout
        while self.names() != sorted(names):
            assert time.monotonic() < deadline, f"{self.names()} instead of {names} after {timeout} s"
            time.sleep(0.05)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
