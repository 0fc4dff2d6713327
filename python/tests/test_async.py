"""Awaiting transfers and notices: by the node's eventfd, in any loop."""

import asyncio
import contextlib
import threading
import time

import numpy
import pytest
from conftest import Server

import kvferry
import serving

LARGE = kvferry.CacheShape(layers=40, block_tokens=16)  # blocks of 64 KiB


@pytest.fixture(scope="module")
def large_server(spawn):
    """160 MiB to move: long enough to be seen moving."""
    server = Server(spawn, {"shape": LARGE, "blocks": 64, "filled": False})
    yield server
    server.end()


@pytest.fixture(scope="module")
def large_pool():
    return kvferry.Pool.allocate(LARGE, 64)


@pytest.fixture
def large(large_server, large_pool, node):
    node.add(large_pool)
    return large_server, large_pool, node.connect(large_server.address)


def test_await(pair, check):
    _, pool, peer = pair

    async def main():
        report = await peer.pull([7, 3], [0, 1])
        assert report.blocks == 2
        return report

    assert asyncio.run(main()).path == "host_shm"
    check(pool, [(7, 0), (3, 1)])


def test_many_at_once(pair, check):
    _, pool, peer = pair

    async def main():
        transfers = [peer.pull([i], [63 - i]) for i in range(64)]
        reports = await asyncio.gather(*transfers)
        assert [r.blocks for r in reports] == [1] * 64

    asyncio.run(main())
    check(pool, [(i, 63 - i) for i in range(64)])


def test_ten_thousand_in_flight(pair):
    _, _, peer = pair

    async def one(i):
        return await peer.pull([i % 64], [i % 64])

    async def main():
        return await asyncio.gather(*(one(i) for i in range(10_000)))

    started = time.monotonic()
    assert len(asyncio.run(main())) == 10_000
    assert time.monotonic() - started < 30


def test_while_it_moves_the_loop_runs(large):
    _, _, peer = large
    peer.prepare()
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def main():
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        before = ticks
        await peer.pull(range(64), range(64))
        assert ticks > before + 3
        ticking.cancel()

    asyncio.run(main())


def test_await_again_and_by_several(large):
    _, _, peer = large

    async def wait(transfer):
        return await transfer

    async def main():
        transfer = peer.pull(range(64), range(64))
        reports = await asyncio.gather(*(wait(transfer) for _ in range(5)))
        assert len(set(reports)) == 1
        assert await transfer == reports[0]
        assert transfer.wait() == reports[0]

    asyncio.run(main())


def test_posted_without_a_loop(large):
    _, _, peer = large
    transfer = peer.pull(range(64), range(64))

    async def main():
        return await transfer

    assert asyncio.run(main()).blocks == 64
    assert asyncio.run(main()).blocks == 64  # another loop, and it has ended


def test_loops_in_several_threads(large):
    _, _, peer = large
    failures = []

    async def main(own):
        for i in range(20):
            await asyncio.gather(*(peer.pull([j], [own * 16 + j]) for j in range(16)))
            await peer.pull([i], [own * 16])

    def run(own):
        try:
            asyncio.run(asyncio.wait_for(main(own), 60))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_one_transfer_awaited_in_two_loops(large):
    _, _, peer = large
    transfer = peer.pull(range(64), range(64))
    reports = []

    async def wait():
        reports.append(await transfer)

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(reports) == 4


def test_cancelling_the_task_cancels_the_transfer(large):
    _, pool, peer = large
    peer.prepare()

    async def main(delay):
        transfer = peer.pull(range(64), range(64))
        task = asyncio.create_task(_wait(transfer))
        await asyncio.sleep(delay)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        # Quiet: what is written now stays.
        assert transfer.done()
        for layer in (0, 39):
            numpy.asarray(pool.layer(layer, raw=True))[:] = 77
        await asyncio.sleep(0.05)
        for layer in (0, 39):
            assert (numpy.asarray(pool.layer(layer, raw=True)) == 77).all()
        return task.cancelled(), transfer.state

    outcomes = {asyncio.run(main(delay)) for delay in (0, 0, 0, 0.001, 0.002, 0.004)}
    assert (True, "cancelled") in outcomes
    assert outcomes <= {(True, "cancelled"), (True, "done"), (False, "done")}


def test_timeout(large):
    _, _, peer = large
    peer.prepare()

    async def main():
        for _ in range(20):
            transfer = peer.pull(range(64), range(64))
            try:
                async with asyncio.timeout(0.001):
                    await transfer
            except TimeoutError:
                if transfer.state == "cancelled":
                    break
            # A busy machine may run this thread again only after the copy's end.
            assert transfer.state == "done"
        else:
            pytest.fail("20 transfers of 160 MiB ended within 1 ms each")
        with pytest.raises(kvferry.Cancelled):
            await transfer

    asyncio.run(main())


def test_errors_are_raised(large):
    _, _, peer = large

    async def main():
        for _ in range(20):
            try:
                await peer.pull(range(64), range(64), deadline=0.002)
            except kvferry.DeadlineExceeded:
                break
        else:  # a busy machine may hear of a deadline only after the copy's end, but not so often
            pytest.fail("20 transfers of 160 MiB ended within 2 ms each")
        with pytest.raises(kvferry.InvalidArgument):
            await peer.pull([1], [64])

    asyncio.run(main())


def test_closing_the_node_ends_those_who_wait(large_server, large_pool):
    async def main():
        async with kvferry.Node() as node:
            node.add(large_pool)
            peer = await node.connect_async(large_server.address)
            peer.prepare()
            moving = [asyncio.ensure_future(_wait(peer.pull(range(64), range(64)))) for _ in range(4)]
            reading = asyncio.ensure_future(anext(aiter(node.notices()), None))
            await asyncio.sleep(0.001)
        results = await asyncio.wait_for(asyncio.gather(*moving, return_exceptions=True), 10)
        assert all(isinstance(r, kvferry.Cancelled | kvferry.TransferReport) for r in results)
        assert any(isinstance(r, kvferry.Cancelled) for r in results)
        assert await asyncio.wait_for(reading, 10) is None
        with pytest.raises(kvferry.InvalidArgument, match="closed"):
            node.connect(large_server.address)

    asyncio.run(main())


async def _wait(transfer):
    return await transfer


def test_notices(node):
    served = kvferry.Pool.allocate(serving.SHAPE, 8, name="mine")

    async def main():
        async with kvferry.Node("reader") as reader:
            reader.add(served)
            address = reader.listen(port=0)
            texts = []

            async def read():
                async for notice in reader.notices():
                    texts.append(notice.text)
                    if len(texts) == 10:
                        return

            reading = asyncio.create_task(read())
            there = await node.connect_async(address)
            mine = kvferry.Pool.allocate(serving.SHAPE, 8, name="mine")
            for i in range(10):
                await there.pull([0], [0], mine, notice=f"n{i}")
            await asyncio.wait_for(reading, 10)
            assert texts == [f"n{i}" for i in range(10)]

    asyncio.run(main())


def test_notices_that_nobody_reads_are_dropped(node, caplog):
    with kvferry.Node("reader", max_notices=2) as reader:
        reader.add(kvferry.Pool.allocate(serving.SHAPE, 8, name="mine"))
        there = node.connect(reader.listen(port=0))
        mine = kvferry.Pool.allocate(serving.SHAPE, 8, name="mine")
        for i in range(4):
            there.pull([0], [0], mine, notice=f"n{i}").wait()
        deadline = time.monotonic() + 10
        while "NodeOptions::max_notices" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "2 wait to be read (NodeOptions::max_notices)" in caplog.text
        assert [reader.next_notice(timeout=1).text for _ in range(2)] == ["n0", "n1"]


def test_notices_wait_for_who_comes_later(serve):
    server = serve(shape=serving.SHAPE)
    with kvferry.Node() as node:
        node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
        peer = node.connect(server.address)
        for i in range(5):
            peer.pull([0], [0], notice=f"n{i}").wait()
    assert [server.ask("notice")["text"] for _ in range(5)] == [f"n{i}" for i in range(5)]
    assert server.ask("notice", 0) is None


def test_an_abandoned_wait_for_notices_loses_none(pair):
    _, _, peer = pair

    async def main():
        async with kvferry.Node() as reader:
            reader.add(kvferry.Pool.allocate(serving.SHAPE, 8, name="mine"))
            there = await peer._node.connect_async(reader.listen(port=0))
            mine = kvferry.Pool.allocate(serving.SHAPE, 8, name="mine")
            notices = aiter(reader.notices())
            for i in range(20):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(aiter(reader.notices())), 0.001 * (i % 3))
                there.pull([0], [0], mine, notice=str(i)).wait()
                assert (await asyncio.wait_for(anext(notices), 10)).text == str(i)

    asyncio.run(main())


def test_a_node_that_is_let_go_stops_being_watched(serve):
    server = serve()

    async def main():
        for _ in range(3):
            node = kvferry.Node()
            node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
            peer = node.connect(server.address)
            await peer.pull([0], [0])
            del node, peer
            await asyncio.sleep(0.01)
        # In this loop again, on what may be the same descriptor.
        async with kvferry.Node() as node:
            node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
            await node.connect(server.address).pull([0], [0])

    asyncio.run(main())


def test_a_waiting_server_sleeps(pair):
    """Idle CPU below 1 %, with a loop that waits for notices."""

    async def main():
        async with kvferry.Node() as node:
            node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
            node.listen(port=0)
            reading = asyncio.create_task(anext(aiter(node.notices()), None))
            await asyncio.sleep(0.2)
            started, before = time.monotonic(), time.process_time()
            await asyncio.sleep(2)
            used = (time.process_time() - before) / (time.monotonic() - started)
            assert used < 0.01, f"{used:.2%} of a core"
            reading.cancel()

    asyncio.run(main())
