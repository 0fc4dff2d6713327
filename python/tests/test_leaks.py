"""Nothing is left behind: memory, descriptors and references stay flat over many transfers."""

import asyncio
import gc
import os
import threading

import numpy
import pytest

import kvferry
import serving

# The whole check is 100,000 transfers: KVFERRY_LEAK_TRANSFERS=100000.
TRANSFERS = int(os.environ.get("KVFERRY_LEAK_TRANSFERS", "6000"))


def usage():
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {
        "KiB": pages * 4,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "objects": len(gc.get_objects()),
    }


def flat(work, rounds):
    """Fails if what `work` leaves behind grows with the number of rounds."""
    for _ in range(3):
        work(rounds // 6 + 1)  # what is made once and kept
    before = usage()
    work(rounds)
    after = usage()
    assert after["descriptors"] <= before["descriptors"]
    assert after["threads"] <= before["threads"]
    assert after["objects"] <= before["objects"] + 50, (before, after)
    # Of an allocator's habits, not of each round.
    assert after["KiB"] <= before["KiB"] + 1024 + rounds // 100, (before, after)


def test_transfers_waited_for(pair):
    _, _, peer = pair
    ids = numpy.arange(8)

    def work(rounds):
        for _ in range(rounds):
            peer.pull(ids, ids).wait()

    flat(work, TRANSFERS)


def test_prepared_transfers(pair):
    _, _, peer = pair
    step = peer.prepare_pull(range(8), range(8))

    def work(rounds):
        for _ in range(rounds):
            step.post().wait()

    flat(work, TRANSFERS)


def test_transfers_awaited_and_not(pair):
    _, _, peer = pair

    def work(rounds):
        async def main():
            for _ in range(rounds // 20):
                await asyncio.gather(*(peer.pull([i], [i]) for i in range(10)))
                dropped = [peer.pull([i], [i]) for i in range(10)]
                await dropped[-1]

        asyncio.run(main())

    flat(work, TRANSFERS)


def test_transfers_that_fail(pair):
    _, _, peer = pair

    def work(rounds):
        for _ in range(rounds):
            with pytest.raises(kvferry.InvalidArgument):
                peer.pull([1], [64])
            with pytest.raises(kvferry.DeadlineExceeded):
                peer.pull([1], [1], deadline=0).wait()

    flat(work, TRANSFERS // 10)


def test_nodes_peers_and_pools(shared_server):
    def work(rounds):
        for _ in range(rounds):
            with kvferry.Node() as node:
                node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
                caches = [numpy.zeros((8, 2, 4, 2, 16), numpy.uint16) for _ in range(4)]
                node.add(kvferry.Pool.attach(caches, serving.SHAPE, name="mine"))
                peer = node.connect(shared_server.address)
                peer.pull([1], [1], node.pools[0]).wait()
                node.listen(port=0)

    flat(work, max(TRANSFERS // 200, 10))
