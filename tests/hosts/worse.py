"""proxy.py as an object."""

import pathlib
import subprocess
import sys

PROXY = pathlib.Path(__file__).with_name("proxy.py")


class WorseNetwork:
    """What connects to `port` of `host` goes on to the address behind it. Call it with a command of proxy.py."""

    def __init__(self, host, port, to_ip, to_port):
        self.ip, self.port = host.ip, port
        self.process = host.popen(
            *(sys.executable, PROXY, host.ip, port, to_ip, to_port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer[:1] == ["ok"], answer
        return answer[1] if len(answer) > 1 else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
