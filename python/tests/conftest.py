"""Runs kvferry as programs use it: the owner of the blocks is a process of its own."""

import multiprocessing
import queue
import sys

import numpy
import pytest

import kvferry
import serving

TIMEOUT_S = 60


class Server:
    """A process that serves a pool; `ask` has it do things with it (see serving.py)."""

    def __init__(self, context, options):
        self._questions, self._answers = context.Queue(), context.Queue()
        self.process = context.Process(target=serving.run, args=(self._questions, self._answers, options), daemon=True)
        self.process.start()
        self.address = self._answer()

    def _answer(self):
        for _ in range(TIMEOUT_S * 10):
            try:
                kind, value = self._answers.get(timeout=0.1)
            except queue.Empty:
                assert self.process.is_alive(), f"the server ended with {self.process.exitcode}"
                continue
            assert kind == "ok", value
            return value
        raise AssertionError("the server does not answer")

    def ask(self, what, *arguments):
        self._questions.put((what, *arguments))
        return self._answer()

    def tell(self, what, *arguments):
        self._questions.put((what, *arguments))

    def end(self):
        if self.process.is_alive():
            self._questions.put(("end",))
        self.process.join(TIMEOUT_S)
        assert self.process.exitcode == 0


@pytest.fixture(scope="session")
def spawn():
    return multiprocessing.get_context("spawn")


@pytest.fixture
def serve(spawn):
    """serve(shape=..., blocks=..., ...) starts a server; see serving.run for the options."""
    servers = []

    def start(**options):
        servers.append(Server(spawn, options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.exitcode is None:
            server.end()


@pytest.fixture
def node():
    with kvferry.Node("test") as node:
        yield node


@pytest.fixture(scope="session")
def shared_server(spawn):
    """64 small blocks, filled, for tests that change nothing there."""
    server = Server(spawn, {})
    yield server
    server.end()


@pytest.fixture
def pair(shared_server, node):
    """The shared server, a pool of 64 blocks here, and the connection between them."""
    server = shared_server
    pool = kvferry.Pool.allocate(serving.SHAPE, 64)
    node.add(pool)
    return server, pool, node.connect(server.address)


def layer_bytes(pool, layer, part=None):
    """(blocks, bytes) of a layer, writable, without a copy."""
    return numpy.asarray(pool.layer(layer, part, raw=True))


@pytest.fixture
def check():
    """check(pool, moved) fails unless block moved[i] holds the server's block i, and the others nothing."""

    def check(pool, moved, layers=None):
        layers = range(pool.shape.layers) if layers is None else layers
        for layer in range(pool.shape.layers):
            rows = layer_bytes(pool, layer)
            expected = numpy.zeros_like(rows)
            if layer in layers:
                for theirs, ours in moved:
                    expected[ours] = serving.row(pool.shape, layer, theirs)
            numpy.testing.assert_array_equal(rows, expected)

    return check


def pytest_report_header():
    return f"kvferry {kvferry.build_description()}, numpy {numpy.__version__}, python {sys.version.split()[0]}"
