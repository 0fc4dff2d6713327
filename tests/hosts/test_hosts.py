"""Hosts that misbehave: every transfer ends by its deadline in one state, with the right bytes or an error, and whoever
is well goes on."""

import json
import re
import signal
import time

import pytest
from world import LARGE, SLACK_S
from worse import WorseNetwork

FOREVER = ["--count", "1000000", "--no-verify"]
DEADLINE_S = 4
BY_DEADLINE = ["--deadline", f"{DEADLINE_S}s"]
# A silent peer is given up after NodeOptions::peer_silence, 15 s, and what it takes to be sure.
SILENCE_S = 25
# 160 MiB at this rate take 13 s: whatever happens, happens within a transfer.
SLOW = "100mbit"

OK, UNREACHABLE, REFUSED, DEADLINE = 0, 3, 4, 5


def well(world, **kwargs):
    """The server serves: a pull of every kind of block, verified to the byte."""
    client = world.pull("--blocks", "scattered:5", "--into", "scattered:6", **kwargs)
    assert client.wait() == OK, client.text()
    assert "every byte" in client.text()
    return client


def well_after(command, world):
    """The same after transfers that failed: what a push left behind is whatever, so another one is pulled back."""
    if command == "pull":
        return well(world, size=LARGE)
    client = world.push(size=LARGE)
    assert client.wait(90) == OK, client.text()
    assert "pulled back, every byte" in client.text()
    return client


def in_transfer(world, command="pull", *args, host=None):
    """A client in the middle of its first large transfer, over a slow cable."""
    (world.server_host if command == "pull" else world.client_host).limit(SLOW)
    client = world.client(command, *args, size=LARGE)
    client.wait_for(r"^ +mapped ")
    time.sleep(1.5)
    assert client.process.poll() is None, client.text()
    return client


def after_deadline(client):
    assert client.wait(DEADLINE_S + 60) == DEADLINE, client.text()


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize("command", ["pull", "push"])
def test_between_hosts(world, family, command):
    ip = getattr(world.server_host, family)
    world.serve("--writable", "--fill", "indexed", ip=ip)
    args = ["--blocks", "scattered:1", "--into", "scattered:2", "--count", "3", "--json", "-"]
    client = world.client(command, *args, ip=ip)
    assert client.wait() == OK, client.text()
    # The text goes to standard error, which is here the same.
    document = json.loads(client.text()[client.text().index("\n{\n") :])
    assert document["path"] == "tcp"
    assert document["verification"]["checked"] and document["verification"]["mismatched_bytes"] == 0


@pytest.mark.parametrize("how", ["unplug", "isolate"])
@pytest.mark.parametrize("command", ["pull", "push"])
def test_a_cable_pulled_in_a_transfer_with_a_deadline(world, command, how):
    server = world.serve("--writable", size=LARGE)
    client = in_transfer(world, command, "--no-verify", *BY_DEADLINE)
    getattr(world.server_host, how)()
    began = time.monotonic()
    after_deadline(client)
    assert time.monotonic() - began < DEADLINE_S + SLACK_S
    world.server_host.plug_in()
    well_after(command, world)
    assert server.process.poll() is None


def test_a_cable_pulled_in_a_transfer_without_a_deadline(world):
    world.serve(size=LARGE)
    client = in_transfer(world, "pull", "--no-verify")
    world.server_host.isolate()
    assert client.wait(SILENCE_S + SLACK_S) == UNREACHABLE, client.text()
    world.server_host.plug_in()
    well(world, size=LARGE)


def test_a_cable_that_is_out_for_a_moment_costs_time_only(world):
    world.serve("--fill", "indexed", size=LARGE)
    client = in_transfer(world, "pull")
    world.server_host.isolate()
    time.sleep(2)
    world.server_host.plug_in()
    assert client.wait(90) == OK, client.text()
    assert "every byte" in client.text()


def test_a_half_open_connection(world):
    """The server is gone, and could not say so: its host was out of reach when it died."""
    server = world.serve(size=LARGE)
    client = in_transfer(world, "pull", "--no-verify")
    world.server_host.isolate()
    server.kill()
    world.server_host.plug_in()
    assert client.wait(SILENCE_S + SLACK_S) == UNREACHABLE, client.text()


def test_a_client_that_vanishes_leaves_its_place(world):
    server = world.serve(size=LARGE)
    well(world, size=LARGE)  # what the network path needs once, it has then
    before = server.descriptors()
    client = in_transfer(world, "pull", "--no-verify")
    world.client_host.isolate()
    client.kill()
    deadline = time.monotonic() + SILENCE_S + SLACK_S
    while server.text().count("\ndisconnected ") < 2:
        assert time.monotonic() < deadline, server.text()
        time.sleep(0.05)
    deadline = time.monotonic() + SLACK_S
    while server.descriptors() > before:
        assert time.monotonic() < deadline, f"{before} descriptors have become {server.descriptors()}"
        time.sleep(0.05)


@pytest.mark.parametrize("command", ["pull", "push"])
def test_a_server_restarted_at_the_same_address(world, command):
    server = world.serve("--writable", size=LARGE)
    client = in_transfer(world, command, *FOREVER)
    server.kill()
    world.serve("--writable", size=LARGE)
    # The new one knows nothing of the old one's clients, and gets none of their bytes.
    assert client.wait(SILENCE_S + SLACK_S) == UNREACHABLE, client.text()
    well(world, size=LARGE)


@pytest.mark.parametrize("command", ["pull", "push"])
def test_a_stopped_server(world, command):
    server = world.serve("--writable", size=LARGE)
    client = in_transfer(world, command, "--no-verify", *BY_DEADLINE)
    server.signal(signal.SIGSTOP)
    after_deadline(client)
    server.signal(signal.SIGCONT)
    # What had come for it while it was stopped is of a transfer that has ended: none of it lands now.
    well_after(command, world)
    assert server.process.poll() is None


def test_a_stopped_client_holds_up_nobody(world):
    world.serve(size=LARGE)
    client = in_transfer(world, "pull", "--no-verify")
    client.signal(signal.SIGSTOP)
    other = world.pull("--input-tokens", "160", size=LARGE, host=world.middle)
    assert other.wait() == OK, other.text()


def test_a_slow_reader_holds_up_nobody(world):
    server = world.serve(size=LARGE)
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        reader = world.pull(*FOREVER, *BY_DEADLINE, size=LARGE, ip=world.middle.ip)
        reader.wait_for(r"#1 ")
        worse("stall-down")
        for _ in range(3):
            well(world, size=LARGE)
        after_deadline(reader)
        worse("go")
        assert server.process.poll() is None


def seconds_of(action):
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_a_slow_reader_delays_nobody(world):
    world.serve(size=LARGE)
    alone = seconds_of(lambda: well(world, size=LARGE))
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        worse("slow", 1_000_000)
        reader = world.pull("--no-verify", size=LARGE, ip=world.middle.ip)
        reader.wait_for(r"^ +mapped ")
        time.sleep(1)  # its buffers are full
        for _ in range(3):
            beside = seconds_of(lambda: well(world, size=LARGE))
            assert beside < 2 * alone + 2, f"alone {alone:.1f} s, beside a slow reader {beside:.1f} s"
        assert reader.process.poll() is None, reader.text()


def test_a_port_that_is_mapped(world):
    """A container's published port, or a tunnel: clients know another port than the server does."""
    world.serve()
    with WorseNetwork(world.middle, 6666, world.server_host.ip, 5555):
        well(world, ip=world.middle.ip, port=6666)


@pytest.mark.parametrize("delay_ms", [0.2, 5, 50])
def test_latency(world, delay_ms):
    world.serve("--writable", "--fill", "indexed")
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        worse("delay", delay_ms)
        for command in ("pull", "push"):
            client = world.client(command, "--count", "3", ip=world.middle.ip)
            assert client.wait() == OK, client.text()


def test_connections_that_are_reset(world):
    server = world.serve()
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        for _ in range(5):
            client = world.pull(*FOREVER, ip=world.middle.ip)
            client.wait_for(r"#3 ")
            worse("drop")
            assert client.wait() == UNREACHABLE, client.text()
        worse("refuse")
        client = world.pull(ip=world.middle.ip, port=5555)
        assert client.wait() == UNREACHABLE, client.text()
    well(world)
    assert server.process.poll() is None


def test_64_clients(world):
    server = world.serve("--fill", "indexed")
    well(world)
    before = server.descriptors()
    clients = [
        world.pull("--blocks", f"scattered:{i}", "--count", "3", host=[world.client_host, world.middle][i % 2])
        for i in range(64)
    ]
    for client in clients:
        assert client.wait(300) == OK, client.text()
    deadline = time.monotonic() + 10
    while server.descriptors() > before:
        assert time.monotonic() < deadline, f"{before} descriptors have become {server.descriptors()}"
        time.sleep(0.05)
    last = server.end()
    assert last == OK
    assert re.search(r"served 193 transfers .* to 65 clients; refused 0", server.lines[-1]), server.lines[-1]


def test_many_bad_endings_leave_nothing_behind(world):
    server = world.serve()
    well(world)
    descriptors, threads, resident = server.descriptors(), server.threads(), server.resident_mib()
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        for i in range(12):
            client = world.pull(*FOREVER, ip=world.middle.ip)
            client.wait_for(r"#2 ")
            [lambda: worse("drop"), client.kill, lambda: client.signal(signal.SIGINT)][i % 3]()
            client.wait()
    deadline = time.monotonic() + 10
    while server.descriptors() > descriptors:
        assert time.monotonic() < deadline, f"{descriptors} descriptors have become {server.descriptors()}"
        time.sleep(0.05)
    assert server.threads() <= threads + 1
    assert server.resident_mib() < resident + 16
    well(world)
