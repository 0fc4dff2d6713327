"""No byte enters a pool later than 50 ms and one round trip after a transfer was cancelled, or its deadline has passed.

The tests look into the pool itself, which is a file without a name (memfd)."""

import signal
import time

import pytest
from world import SLACK_S
from worse import WorseNetwork

# 10 blocks of 2.5 MiB; at this rate they take 2.6 s.
POOL = "--device host --available-memory 0.03".split()
RATE = ["--no-verify", "--rate", "10M"]
DELAY_MS = 20
PROMISE_S = 0.050 + 2 * DELAY_MS / 1000
# The processes here share two cores with whatever else runs: one try in so many must keep the time to the letter, and
# every one must be over soon after.
TRIES = 4
SCHEDULING_S = 0.020
DEADLINE_S = 0.7
DEADLINE, INTERRUPTED = 5, 130


class Watch:
    """When a pool changed first and last, to some milliseconds."""

    def __init__(self, process):
        self.view = process.pool()
        self.seen = bytes(self.view)
        self.first = self.last = None

    def look(self):
        now = time.monotonic()
        seen = bytes(self.view)
        if seen != self.seen:
            self.first = self.first or now
            # It may have changed at any time until we looked: the later one counts.
            self.last = time.monotonic()
            self.seen = seen

    def until(self, end):
        while time.monotonic() < end:
            self.look()
            time.sleep(0.002)

    def until_first(self):
        end = time.monotonic() + 30
        while self.first is None:
            assert time.monotonic() < end, "nothing has come in 30 s"
            self.until(time.monotonic() + 0.005)


@pytest.fixture
def far(world):
    """A server 20 ms away."""
    world.server = world.serve("--writable", size=POOL)
    with WorseNetwork(world.middle, 5555, world.server_host.ip, 5555) as worse:
        worse("delay", DELAY_MS)
        world.worse = worse
        yield world


def moving(world, command, number, *args):
    """A transfer some of whose bytes have come. Each number moves others: the same ones would change nothing."""
    into = ",".join(str((block + number) % 10) for block in range(10))
    lists = ["--blocks", "0-9", "--into", into]
    client = world.client(command, *lists, *RATE, *args, size=POOL, ip=world.middle.ip)
    client.wait_for(r"^ +mapped |^ +path ")
    watch = Watch(world.server if command == "push" else client)
    watch.until_first()
    return client, watch


def check(lates):
    print("last bytes after", ", ".join(f"{1000 * late:.0f} ms" for late in lates))
    assert min(lates) < PROMISE_S + SCHEDULING_S, lates
    assert max(lates) < SLACK_S, lates


@pytest.mark.parametrize("command", ["pull", "push"])
def test_after_a_cancel(far, command):
    lates = []
    for number in range(TRIES):
        client, watch = moving(far, command, number)
        watch.until(time.monotonic() + 0.2)
        client.signal(signal.SIGINT)
        cancelled = time.monotonic()
        watch.until(cancelled + 1)
        lates.append(watch.last - cancelled)
        assert client.wait() == INTERRUPTED, client.text()
    check(lates)


@pytest.mark.parametrize("command", ["pull", "push"])
def test_after_a_deadline(far, command):
    lates = []
    for number in range(TRIES):
        client, watch = moving(far, command, number, "--deadline", f"{int(1000 * DEADLINE_S)}ms")
        # The transfer had begun before its first byte came.
        deadline = watch.first + DEADLINE_S
        watch.until(deadline + 1)
        lates.append(watch.last - deadline)
        assert client.wait() == DEADLINE, client.text()
    check(lates)


def test_what_a_network_kept_back_lands_no_more(far):
    """A push whose bytes come through only after its deadline: the owner keeps it by its own clock."""
    client, watch = moving(far, "push", 0, "--deadline", f"{int(1000 * DEADLINE_S)}ms")
    far.worse("stall")
    assert client.wait() == DEADLINE, client.text()
    watch.until(time.monotonic() + 0.1)
    before = watch.last
    far.worse("go")
    watch.until(time.monotonic() + 1)
    assert watch.last == before, f"bytes came {watch.last - before:.2f} s later"
