"""The hosts themselves, with plain sockets: what the other tests stand on."""

import subprocess
import threading
import time

import pytest
from worse import WorseNetwork

ECHO = """
import socket, threading
listener = socket.create_server((%r, 9000), family=socket.AF_INET6 if ":" in %r else socket.AF_INET)
print("ready", flush=True)
def echo(connection):
    while data := connection.recv(1 << 20):
        connection.sendall(data)
while True:
    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
"""
SEND = """
import socket, time
connection = socket.create_connection((%r, %d), 5)
connection.settimeout(%g)
began = time.monotonic()
for _ in range(%d):
    connection.sendall(b"x" * %d)
    left = %d
    while left > 0:
        data = connection.recv(1 << 20)
        assert data, "closed"
        left -= len(data)
print(time.monotonic() - began)
"""


def send(host, ip, port=9000, timeout=5, times=1, size=1000):
    return host.python(SEND % (ip, port, timeout, times, size, size))


@pytest.fixture
def echo(network):
    hosts = [network.host(name) for name in ("a", "b", "m")]
    running = []
    for ip in (hosts[0].ip, hosts[0].ip6):
        server = hosts[0].popen("python3", "-c", ECHO % (ip, ip), stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "ready\n"
        running.append(server)
    yield hosts
    for server in running:
        server.kill()
        server.wait()
        server.stdout.close()


def test_hosts_reach_each_other(echo):
    a, b, _ = echo
    for ip in (a.ip, a.ip6):
        result = send(b, ip)
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("how", ["unplug", "isolate"])
def test_a_cable_that_is_pulled(echo, how):
    a, b, _ = echo
    getattr(a, how)()
    assert send(b, a.ip, timeout=1).returncode != 0
    a.plug_in()
    deadline = time.monotonic() + 30
    while send(b, a.ip, timeout=1).returncode != 0:
        assert time.monotonic() < deadline


def test_a_rate(echo):
    a, b, _ = echo
    b.limit("80mbit")
    seconds = float(send(b, a.ip, size=4_000_000, timeout=20).stdout)
    assert 0.25 < seconds < 3, seconds  # 4 MB at 10 MB/s, the burst apart


@pytest.mark.parametrize("delay_ms", [0.2, 5, 50])
def test_latency(echo, delay_ms):
    a, b, m = echo
    with WorseNetwork(m, 9001, a.ip, 9000) as worse:
        worse("delay", delay_ms)
        round_trip = float(send(b, m.ip, 9001, times=10).stdout) / 10
        assert round_trip >= 2 * delay_ms / 1000
        assert round_trip < 2 * delay_ms / 1000 + 0.05


def test_stalls_drops_and_refusals(echo):
    a, b, m = echo
    with WorseNetwork(m, 9001, a.ip, 9000) as worse:
        worse("stall")
        held = []
        client = threading.Thread(target=lambda: held.append(send(b, m.ip, 9001, timeout=20)))
        client.start()
        time.sleep(0.5)
        assert client.is_alive()
        worse("go")
        client.join(20)
        assert held[0].returncode == 0, held[0].stderr
        assert int(worse("bytes")) == 1000
        worse("refuse")
        assert send(b, m.ip, 9001).returncode != 0
        worse("accept")
        assert send(b, m.ip, 9001).returncode == 0
