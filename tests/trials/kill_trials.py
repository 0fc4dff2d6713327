#!/usr/bin/env python3
"""Kills servers and clients with SIGKILL at random moments and looks at who is left.

Whatever the moment: the survivor notices within 2 s, ends in one clear state (the client with exit code 3, or 0 if it was done
already), serves on or can be used again, holds no wrong byte, and gives back memory and descriptors.

    tests/trials/kill_trials.py --kvferry build/release/tools/kvferry/kvferry --trials 200 [--device host|cuda:0] [--seed N]
        [--path tcp | --path ucx --ucx-transports tcp]
"""

import argparse
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

NOTICE_S = 2.0
STARTUP_S = 20.0


class Server:
    """One `kvferry serve` with a pool of its own."""

    def __init__(self, options, directory, number, writable):
        self.log_path = pathlib.Path(directory, f"serve-{number}.log")
        self.socket = str(pathlib.Path(directory, f"s{number}"))
        command = [
            options.kvferry, "serve", "--port", "0", "--socket", self.socket,
            "--device", options.device, "--fill", "indexed", "--available-memory", options.memory,
            *options.of_both,
        ]  # fmt: skip
        if writable:
            command.append("--writable")
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.wait_for(r"(?m)^ready:", 60)

    def text(self):
        return self.log_path.read_text(errors="replace")

    def wait_for(self, what, seconds, occurrences=1):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(re.findall(what, self.text())) >= occurrences:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise AssertionError(f"server did not say '{what}' within {seconds} s:\n{self.text()}")

    def usage(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
        return resident, len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=10)
        self.log.close()
        assert code == 0, f"serve ended with {code}:\n{self.text()}"


def client(options, server, verb, count, *more):
    command = [
        options.kvferry, verb, "--socket", server.socket, "--device", options.client_device,
        "--available-memory", options.memory, "--input-tokens", options.tokens,
        "--blocks", "scattered:1", "--into", "scattered:2", "--count", str(count),
        "--path", options.path, *options.of_both, *more,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process, seconds, codes, what):
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"{what}: still running after {seconds} s:\n{output.decode()}")
    text = output.decode(errors="replace")
    if process.returncode not in codes:
        raise AssertionError(f"{what}: exit code {process.returncode}, expected {codes}:\n{text}")
    return text


def verified_pull(options, server):
    try:
        finish(client(options, server, "pull", 1), 60, {0}, "the pull after the kill")
    except AssertionError as failure:
        tail = "\n".join(server.text().splitlines()[-20:])
        raise AssertionError(f"{failure}\nthe server said last:\n{tail}") from None


def kill_a_server(options, directory, number, chance):
    server = Server(options, directory, number, writable=True)
    try:
        verb = chance.choice(["pull", "push"])
        process = client(options, server, verb, 100000, "--no-verify")
        time.sleep(chance.uniform(0.0, options.window))
        met = "connected  " in server.text()
    finally:
        server.kill()
    killed = time.monotonic()
    # A client that had not met its server yet has its pool to make and fill first.
    patience = NOTICE_S if met else STARTUP_S
    finish(process, patience, {3}, f"trial {number}: {verb} whose server was killed")
    return time.monotonic() - killed if met else 0.0


def kill_a_client(options, server, number, chance):
    gone = len(re.findall("disconnected", server.text()))
    process = client(options, server, "pull", 100000, "--no-verify")
    time.sleep(chance.uniform(0.0, options.window))
    process.kill()
    process.wait()
    killed = time.monotonic()
    joined = len(re.findall(r"(?m)^connected", server.text()))
    if joined > gone:
        server.wait_for(r"(?m)^disconnected", NOTICE_S, joined)
    noticed = time.monotonic() - killed
    if number % 10 == 0:
        verified_pull(options, server)
    return noticed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kvferry", default=os.environ.get("KVFERRY_BIN", "kvferry"))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--device", default="host", help="of the server")
    parser.add_argument("--client-device", default=None, help="default: as the server's")
    parser.add_argument("--memory", default="0.25", help="GB of each pool")
    parser.add_argument("--tokens", default="512")
    parser.add_argument("--window", type=float, default=0.5, help="kill within so many seconds of the client's start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-servers", action="store_true", help="kill no client: UCX 1.13's tcp aborts its server then")
    parser.add_argument("--path", default="auto", help="of every transfer, by name: tcp or ucx for example")
    parser.add_argument("--ucx-transports", help="of both sides, where there is no RDMA card, e.g. tcp")
    options = parser.parse_args()
    options.of_both = ["--ucx-transports", options.ucx_transports] if options.ucx_transports else []
    options.client_device = options.client_device or options.device
    chance = random.Random(options.seed)
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="kvferry-trials-") as directory:
        os.chmod(directory, 0o700)
        of_servers = options.trials if options.only_servers else options.trials // 2
        for number in range(of_servers):
            slowest = max(slowest, kill_a_server(options, directory, number, chance))
        survivor = Server(options, directory, "survivor", writable=False)
        try:
            verified_pull(options, survivor)
            before = survivor.usage()
            for number in range(options.trials - of_servers):
                slowest = max(slowest, kill_a_client(options, survivor, number, chance))
            verified_pull(options, survivor)
            time.sleep(0.5)
            after = survivor.usage()
            survivor.stop()
        finally:
            survivor.kill()
    grown_kib, grown_fds = after[0] - before[0], after[1] - before[1]
    assert grown_kib < 8192, f"the survivor's memory grew by {grown_kib} KiB"
    assert grown_fds <= 0, f"the survivor keeps {grown_fds} descriptors"
    print(
        f"{options.trials} kills: slowest notice {slowest * 1000:.0f} ms; the survivor grew by "
        f"{grown_kib} KiB and {grown_fds} descriptors; no wrong byte"
    )


if __name__ == "__main__":
    try:
        main()
    except AssertionError as failure:
        sys.exit(f"FAILED: {failure}")
