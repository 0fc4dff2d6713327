"""Hosts of the test's own: network namespaces, each with a cable to one switch.

Needs root and iproute2. Hosts differ in their network alone: they share kernel, file system and clock. The kernel has
no netem, so bandwidth is tc tbf's, and latency and stalls come from proxy.py, on a host of its own.
"""

import os
import shutil
import subprocess
import sys

TOOLS = ("ip", "tc", "unshare")


def reason_against():
    """Why hosts cannot be built here; None: they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    for tool in TOOLS:
        if shutil.which(tool, path=path) is None:
            return f"{tool} was not found (Debian: iproute2, util-linux)"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
        return "this machine lets us make no network namespace"
    if not os.access("/run", os.W_OK):
        return "/run cannot be written, where ip keeps its namespaces"
    return None


def command(*args):
    result = subprocess.run(args, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(args)}: {result.stderr}"
    return result.stdout


class Host:
    """`ip` and `ip6` are its addresses; a command runs there with popen()."""

    def __init__(self, network, name, number):
        self.network = network
        self.name = name
        self.namespace = f"{network.prefix}-{name}"
        self.port = f"p{number}"  # of the switch
        self.ip, self.ip6 = f"10.77.0.{number}", f"fd77::{number}"
        command("ip", "netns", "add", self.namespace)
        network.namespaces.append(self.namespace)
        pair = ["link", "add", "eth0", "type", "veth", "peer", "name", self.port, "netns", network.switch]
        self.ip_command(*pair)
        network.on_switch("link", "set", self.port, "master", "br0", "up")
        self.ip_command("link", "set", "lo", "up")
        self.ip_command("link", "set", "eth0", "up")
        self.ip_command("addr", "add", f"{self.ip}/24", "dev", "eth0")
        self.ip_command("addr", "add", f"{self.ip6}/64", "dev", "eth0", "nodad")

    def ip_command(self, *args):
        return command("ip", "-n", self.namespace, *args)

    def argv(self, *args):
        return ["ip", "netns", "exec", self.namespace, *map(str, args)]

    def popen(self, *args, **kwargs):
        # ip replaces itself by the command: signals reach it.
        return subprocess.Popen(self.argv(*args), **kwargs)

    def run(self, *args, timeout=60, **kwargs):
        return subprocess.run(self.argv(*args), capture_output=True, text=True, timeout=timeout, **kwargs)

    def python(self, source, **kwargs):
        return self.run(sys.executable, "-c", source, **kwargs)

    def unplug(self):
        """The cable is out: both ends see it."""
        self.network.on_switch("link", "set", self.port, "down")

    def plug_in(self):
        self.network.on_switch("link", "set", self.port, "up")
        self.network.on_switch("link", "set", self.port, "master", "br0")

    def isolate(self):
        """Nothing gets through any more, and no end sees a reason."""
        self.network.on_switch("link", "set", self.port, "nomaster")

    def limit(self, rate):
        """What this host sends: tc's words, such as 200mbit."""
        tbf = ["root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms"]
        self.ip_command_tc("qdisc", "replace", "dev", "eth0", *tbf)

    def ip_command_tc(self, *args):
        return command("tc", "-n", self.namespace, *args)


class Network:
    count = 0

    def __init__(self):
        Network.count += 1
        self.prefix = f"kvf{os.getpid()}-{Network.count}"
        self.namespaces = []
        self.hosts = []
        self.switch = f"{self.prefix}-sw"
        command("ip", "netns", "add", self.switch)
        self.namespaces.append(self.switch)
        self.on_switch("link", "add", "br0", "type", "bridge")
        self.on_switch("link", "set", "br0", "up")

    def on_switch(self, *args):
        return command("ip", "-n", self.switch, *args)

    def host(self, name):
        self.hosts.append(Host(self, name, len(self.hosts) + 1))
        return self.hosts[-1]

    def remove(self):
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
