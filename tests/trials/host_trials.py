#!/usr/bin/env python3
"""Kills, stops and unplugs hosts at random moments in a transfer, and looks at what becomes of it.

Two hosts of network namespaces (root, iproute2) and a third with a proxy between them. Whatever happens and whenever: the client's
transfer ends by its deadline in one state (exit code 0, 3 or 5), a transfer that ended well has every byte right, the other side
serves on or can be started again at the same address, and gives back descriptors and memory.

    tests/trials/host_trials.py --kvferry build/release/tools/kvferry/kvferry --trials 200 [--seed N]
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hosts"))
sys.dont_write_bytecode = True

DEADLINE_S = 3.0
# To notice, to end, to say so and to exit, on a busy machine.
SLACK_S = 6.0
ENDINGS = {0, 3, 5}
# What the proxy does, and only its clients feel.
BY_PROXY = {"connections reset", "a stall"}


class Trials:
    def __init__(self, world, worse, network, directory, chance, only=(), commands=("pull", "push")):
        self.world = world.World(network, directory)
        self.size = world.LARGE
        self.worse_network = worse.WorseNetwork
        self.chance = chance
        self.only, self.commands = only, commands
        self.counts = collections.Counter()
        self.slowest = 0.0
        self.server = self.world.serve("--writable", "--fill", "indexed", size=self.size)

    def events(self):
        host = self.chance.choice([self.world.server_host, self.world.client_host])
        return {
            "server killed": self.kill_server,
            "server stopped": self.stop_server,
            "client killed": lambda client, worse: client.process.kill(),
            "client stopped": self.stop_client,
            "cable out": lambda client, worse: host.unplug(),
            "nothing gets through": lambda client, worse: host.isolate(),
            "cable out for a moment": lambda client, worse: self.for_a_moment(host),
            "connections reset": lambda client, worse: worse("drop"),
            "a stall": lambda client, worse: worse("stall"),
        }

    def kill_server(self, client, worse):
        self.server.kill()
        self.server = None

    def stop_server(self, client, worse):
        self.server.signal(signal.SIGSTOP)

    def stop_client(self, client, worse):
        client.signal(signal.SIGSTOP)
        time.sleep(0.5)
        client.signal(signal.SIGCONT)

    def for_a_moment(self, host):
        host.isolate()
        time.sleep(0.3)
        host.plug_in()

    def heal(self, worse):
        worse("go")
        for host in self.world.network.hosts:
            host.plug_in()
        if self.server is None:
            self.server = self.world.serve("--writable", "--fill", "indexed", size=self.size)
        else:
            self.server.signal(signal.SIGCONT)

    def one(self, number, worse):
        events = sorted(self.events().items())
        name, event = self.chance.choice([e for e in events if not self.only or e[0] in self.only])
        command = self.chance.choice(self.commands)
        by_proxy = name in BY_PROXY or self.chance.random() < 0.5
        where = {"ip": self.world.middle.ip} if by_proxy else {}
        args = ["--count", "100000", "--no-verify", "--deadline", f"{DEADLINE_S:g}s"]
        client = self.world.client(command, *args, size=self.size, **where)
        time.sleep(self.chance.uniform(0, 1.5))
        event(client, worse)
        began = time.monotonic()
        if "killed" in name or "moment" in name or name in ("connections reset", "client stopped"):
            # These need not end it; a transfer that goes on is ended here.
            if client.process.poll() is None and name != "server killed":
                time.sleep(0.2)
                client.process.send_signal(signal.SIGINT)
        what = f"trial {number}: {name}, {command}{' by the proxy' if where else ''}"
        try:
            code = client.wait(DEADLINE_S + SLACK_S + 20)
        except AssertionError as hangs:
            raise AssertionError(f"{what}: {hangs}") from None
        took = time.monotonic() - began
        allowed = ENDINGS | ({130} if code == 130 else set()) | ({-9} if name == "client killed" else set())
        assert code in allowed, f"{what}: exit code {code}\n{client.text()[-2000:]}"
        if name != "client killed":
            assert took < 5 + DEADLINE_S + SLACK_S, f"{what}: ended after {took:.1f} s\n{client.text()[-2000:]}"
            self.slowest = max(self.slowest, took)
        self.counts[name] += 1
        self.heal(worse)
        self.world.running.remove(client)
        client.process.stdout.close()
        if number % 5 == 0:
            self.verified(what)

    def verified(self, what):
        """A push whose blocks are pulled back: right whatever earlier trials left in them."""
        client = self.world.push("--blocks", "scattered:1", "--into", "scattered:2", size=self.size)
        code = client.wait(60)
        assert code == 0, f"after {what}: exit code {code}\n{client.text()[-2000:]}"
        self.world.running.remove(client)
        client.process.stdout.close()

    def run(self, trials):
        middle, server_host = self.world.middle, self.world.server_host
        with self.worse_network(middle, 5555, server_host.ip, 5555) as worse:
            self.verified("nothing")
            for number in range(1, trials + 1):
                self.one(number, worse)
            self.verified("all trials")
        self.leaks()

    def leaks(self):
        """A server that has seen many bad endings holds what a new one holds after one good one."""
        time.sleep(1)  # the last client has just left
        seen = self.server.descriptors(), self.server.resident_mib()
        self.server.end()
        self.server = self.world.serve("--writable", "--fill", "indexed", size=self.size)
        self.verified("the last restart")
        fresh = self.server.descriptors(), self.server.resident_mib()
        assert seen[0] <= fresh[0] + 4, f"{seen[0]} descriptors, a new server has {fresh[0]}"
        assert seen[1] <= fresh[1] + 32, f"{seen[1]:.0f} MiB, a new server has {fresh[1]:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kvferry", default=os.environ.get("KVFERRY_BIN", "kvferry"))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="EVENT", default=[], help="this event, or these")
    parser.add_argument("--command", action="append", choices=["pull", "push"], default=[], help="this command only")
    options = parser.parse_args()
    os.environ["KVFERRY_BIN"] = options.kvferry
    import net
    import world
    import worse

    reason = net.reason_against()
    if reason:
        print(f"skipped: {reason}")
        return
    network = net.Network()
    try:
        with tempfile.TemporaryDirectory(prefix="kvferry-hosts-") as directory:
            os.chmod(directory, 0o700)
            chance = random.Random(options.seed)
            commands = options.command or ["pull", "push"]
            trials = Trials(world, worse, network, pathlib.Path(directory), chance, options.only, commands)
            try:
                trials.run(options.trials)
            finally:
                trials.world.close()
    finally:
        network.remove()
    counts = ", ".join(f"{count} {name}" for name, count in sorted(trials.counts.items()))
    print(f"{options.trials} trials ({counts}): slowest end after {trials.slowest:.1f} s; no wrong byte, no leak")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as failure:
        sys.exit(f"FAILED: {failure}")
