"""What the interpreter does around kvferry: signals, threads, forks, its own end."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import kvferry
import serving

PRELUDE = """
import asyncio, os, signal, sys, threading, time
import numpy
import kvferry

SHAPE = kvferry.CacheShape(layers=4, kv_heads=2, head_dim=16, block_tokens=4)

def meet(shape=SHAPE, blocks=8):
    server = kvferry.Node("server")
    server.add(kvferry.Pool.allocate(shape, blocks))
    client = kvferry.Node("client")
    client.add(kvferry.Pool.allocate(shape, blocks))
    return server, client, client.connect(server.listen(port=0))
"""


def run(program, *, expect=0, timeout=60):
    """A program of its own, which must end by itself."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    done.seconds = time.monotonic() - started
    return done


@pytest.mark.parametrize(
    "end",
    [
        "",  # everything still open, in globals
        "del peer; server.close()",
        "keep = [server, client, peer, transfer, step]; keep.append(keep)",  # in a cycle
        "sys.exit(0)",
        "transfers = [peer.pull(range(8), range(8)) for _ in range(100)]",
        "threading.Thread(target=server.next_notice, args=(0.2,)).start()",
        "threading.Thread(target=server.next_notice, daemon=True).start(); time.sleep(0.1)",
        "threading.Thread(target=lambda: [peer.pull([1], [1]).wait() for _ in range(1000000)], daemon=True).start()",
    ],
)
def test_the_end(end):
    done = run(
        f"""
        server, client, peer = meet()
        transfer = peer.pull([1], [2])
        transfer.wait()
        step = peer.prepare_pull([1], [2])
        {end}
        """
    )
    assert done.stderr == ""


def test_the_end_in_a_loop():
    done = run(
        """
        async def main():
            server, client, peer = meet()
            reading = asyncio.create_task(anext(aiter(server.notices())))
            await peer.pull([1], [2])
            return server, client, peer   # open, watched by a loop that is closed
        keep = asyncio.run(main())
        """
    )
    assert done.stderr == ""


def test_the_end_while_attached_memory_is_let_go():
    done = run(
        """
        class Cache(numpy.ndarray): pass
        for _ in range(50):
            server = kvferry.Node()
            cache = numpy.zeros((8, 2, 4, 2, 16), numpy.uint16).view(Cache)
            server.add(kvferry.Pool.attach([cache.copy() for _ in range(4)], SHAPE))
            server.listen(port=0)
        """
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    "waiting",
    [
        "client.next_notice()",
        "client.connect('127.0.0.1:%d' % deaf.getsockname()[1], timeout=50)",
        "slow.wait()",
        "slow.wait(timeout=50)",
        "asyncio.run(forever())",
    ],
)
def test_ctrl_c(waiting):
    done = run(
        f"""
        import socket
        deaf = socket.create_server(("127.0.0.1", 0))
        big = kvferry.CacheShape(layers=80, block_tokens=64)
        server, client, peer = meet(big, 64) if "slow" in {waiting!r} else meet()
        peer.prepare()

        class Slow:
            # One that outlasts the test: as many transfers as it takes.
            def wait(self, timeout=None):
                while True:
                    peer.pull(range(64), range(64)).wait(timeout)
        slow = Slow()

        async def forever():
            async for notice in client.notices(): pass

        def interrupt():
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        started = time.monotonic()
        try:
            {waiting}
        except KeyboardInterrupt:
            print(time.monotonic() - started)
        """
    )
    assert float(done.stdout) < 5


def test_waiting_lets_other_threads_run():
    run(
        """
        server, client, peer = meet()
        counted = 0
        def count():
            global counted
            while True:
                counted += 1
                time.sleep(0.001)
        threading.Thread(target=count, daemon=True).start()
        before = counted
        assert server.next_notice(timeout=0.5) is None
        assert counted > before + 50, counted
        """
    )


def test_fork_after_import(serve, check):
    """The child of a process that has imported kvferry, and even used it, uses it anew."""
    server = serve()
    pool = kvferry.Pool.allocate(serving.SHAPE, 8)
    with kvferry.Node() as node:
        node.add(pool)
        peer = node.connect(server.address)
        peer.pull([1], [1]).wait()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _in_child(server.address, node, peer)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        peer.pull([2], [2]).wait()
        check(pool, [(1, 1), (2, 2)])


def _in_child(address, node, peer):
    for use in (lambda: node.listen(port=0), lambda: peer.pull([1], [1]), lambda: node.pools[0].layer(0)):
        with pytest.raises(kvferry.InvalidArgument, match=r"before fork"):
            use()
    node.close()  # forgets it; the parent's goes on
    lines = []
    with kvferry.Node(on_event=lines.append) as own:
        own.add(kvferry.Pool.allocate(serving.SHAPE, 8))
        own.connect(address).pull([3], [3]).wait()
        until = time.monotonic() + 10
        while not lines and time.monotonic() < until:
            time.sleep(0.01)
    return 0


def _child_of_pool(address):
    with kvferry.Node() as node:
        node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
        return node.connect(address).pull([3], [3]).wait().bytes


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(serve, method):
    server = serve()
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.map(_child_of_pool, [server.address] * 4) == [4 * 512] * 4


def test_events_and_log(serve, caplog):
    events = []

    def on_event(event):
        events.append(event)
        raise RuntimeError("a handler that fails")

    with caplog.at_level(logging.DEBUG, logger="kvferry"), kvferry.Node("owner", on_event=on_event) as owner:
        owner.add(kvferry.Pool.allocate(serving.SHAPE, 8))
        with kvferry.Node("visitor") as node:
            node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
            node.connect(owner.listen(port=0)).pull([1, 2], [3, 4]).wait()
        with kvferry.Node() as other:
            other.add(kvferry.Pool.allocate(kvferry.CacheShape(layers=2), 8))
            with pytest.raises(kvferry.Refused):
                other.connect(owner.address)
        until = time.monotonic() + 10
        kinds = {"connected", "served", "disconnected", "refused"}
        while {e.kind for e in events} < kinds and time.monotonic() < until:
            time.sleep(0.01)
    assert {e.kind for e in events} == kinds
    (served,) = (e for e in events if e.kind == "served")
    assert (served.direction, served.pool, served.blocks, served.bytes) == ("pull", "kv", 2, 2 * 4 * 512)
    assert "visitor" in served.peer
    assert any("a handler that fails" in (r.exc_text or "") for r in caplog.records)
    assert any("connected" in r.message and r.levelno == logging.DEBUG for r in caplog.records)


def test_a_logger_of_ones_own():
    lines = []

    class Handler(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = logging.Logger("mine", logging.DEBUG)
    logger.addHandler(Handler())
    with kvferry.Node(log=logger) as owner, kvferry.Node() as node:
        node.connect(owner.listen(port=0))
        until = time.monotonic() + 10
        while not lines and time.monotonic() < until:
            time.sleep(0.01)
    assert any("connected" in line for line in lines)


def test_use_from_many_threads(pair):
    _, _, peer = pair
    failures = []

    def work(own):
        try:
            for i in range(200):
                peer.pull([(own + i) % 64], [own]).wait()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_closing_while_others_use_it(serve):
    server = serve()
    for _ in range(5):
        node = kvferry.Node()
        node.add(kvferry.Pool.allocate(serving.SHAPE, 64))
        peer = node.connect(server.address)
        outcomes = []

        def work(peer=peer, outcomes=outcomes):
            while True:
                try:
                    peer.pull(range(64), range(64)).wait()
                except kvferry.Error as error:
                    outcomes.append(error)
                    return

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        node.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert len(outcomes) == 3
        assert node.closed


def test_the_program_comes_with_it():
    done = subprocess.run([sys.executable, "-m", "kvferry", "--version"], capture_output=True, text=True)
    if done.returncode != 0 and "install the package again" in done.stderr:
        pytest.skip("run from the source tree, where the program is not beside the package")
    assert kvferry.__version__ in done.stdout
    done = subprocess.run([sys.executable, "-m", "kvferry", "pull", "--port", "1"], capture_output=True, text=True)
    assert done.returncode == 3, "the program's exit codes are the error's codes"


def test_a_killed_server(serve, node):
    server = serve()
    node.add(kvferry.Pool.allocate(serving.SHAPE, 8))
    peer = node.connect(server.address)
    peer.pull([1], [1]).wait()
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.join()
    until = time.monotonic() + 10
    while peer.alive and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(kvferry.Unreachable):
        peer.pull([1], [1])
    with pytest.raises(ConnectionError):
        node.connect(server.address)
