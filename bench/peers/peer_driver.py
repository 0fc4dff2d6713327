"""One process of one contestant, driven by compare.py through JSON lines; driver.cpp is its twin in C++.

A driver module subclasses Contestant and calls serve(). docs/peers.md has the protocol.
"""

import contextlib
import json
import os
import sys
import time

import numpy as np

UNTOUCHED = 0xA5  # what every byte holds before a verified transfer


class Geometry:
    """The memory of one side: `layers` tensors of `blocks` blocks; device -1 is host memory."""

    def __init__(self, command):
        self.device = command["device"]
        self.layers = command["layers"]
        self.blocks = command["blocks"]
        self.block_bytes = command["block_bytes"]
        self.layer_bytes = self.blocks * self.block_bytes
        self.pool_bytes = self.layers * self.layer_bytes


class Contestant:
    """What moves blocks. serve() calls these in this order, on one thread."""

    def begin(self, geometry, options):
        """Makes the engine: the device's context is there, the pool is not, as in a serving process."""
        raise NotImplementedError

    def own(self, geometry, memory):
        """Registers this side's memory. Returns (address for the other side, settings for the reader)."""
        raise NotImplementedError

    def connect(self, address):
        """Only where transfers start: reaches the side that own() described."""
        raise NotImplementedError

    def choose(self, pull, local, remote):
        """Not timed: what is prepared once for transfers that are repeated. May return figures."""
        raise NotImplementedError

    def transfer(self):
        """One transfer, from the call until it is known to be done."""
        raise NotImplementedError

    def method(self):
        return ""


def make_content(seed, layer, block, words):
    """The content that tells a block from every other."""
    with np.errstate(over="ignore"):
        base = np.uint64((seed * 0xD1342543DE82EF95 + ((layer << 32) | block) * 0x9E3779B97F4A7C15) % 2**64)
        x = np.arange(words, dtype=np.uint64) * np.uint64(0xBF58476D1CE4E5B9) + base
        x ^= x >> np.uint64(29)
        x *= np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(32))


class Server:
    def __init__(self, contestant):
        self.contestant = contestant
        self.geometry = None
        self.memory = None

    def setup(self, command):
        self.geometry = Geometry(command)
        if self.geometry.device < 0:
            from host_memory import HostMemory as Memory
        else:
            from cuda_memory import CudaMemory as Memory
        self.memory = Memory(self.geometry.device)
        self.contestant.begin(self.geometry, command["options"])
        self.memory.allocate(self.geometry.pool_bytes)
        address, settings = self.contestant.own(self.geometry, self.memory)
        return {"address": address, "settings": settings}

    def connect(self, command):
        self.contestant.connect(command["address"])

    def case(self, command):
        return self.contestant.choose(command["direction"] == "pull", command["local"], command["remote"])

    def clear(self, _command):
        self.memory.fill(UNTOUCHED)

    def write(self, command):
        for offset, layer, block in self._places(command["ids"]):
            self.memory.write(offset, make_content(command["seed"], layer, block, self._words()))

    def check(self, command):
        """ids[i] must look as block as[i] that write() made; `untouched` as clear() left them."""
        looks = dict(zip(command["ids"], command["as"], strict=True))
        wrong = 0
        for offset, layer, block in self._places(command["ids"]):
            wanted = make_content(command["seed"], layer, looks[block], self._words())
            wrong += self._wrong(offset, wanted)
        wanted = np.full(self._words(), UNTOUCHED * 0x0101010101010101, dtype=np.uint64)
        for offset, _, _ in self._places(command["untouched"]):
            wrong += self._wrong(offset, wanted)
        return {"wrong_bytes": wrong}

    def round(self, command):
        seconds, spent = [], 0.0
        # One at least, whatever it takes.
        while not seconds or (len(seconds) < command["transfers"] and spent < command["limit_s"]):
            start = time.perf_counter()
            self.contestant.transfer()
            seconds.append(time.perf_counter() - start)
            spent += seconds[-1]
        return {"seconds": seconds, "method": self.contestant.method()}

    def _words(self):
        return self.geometry.block_bytes // 8

    def _places(self, ids):
        for layer in range(self.geometry.layers):
            for block in ids:
                yield layer * self.geometry.layer_bytes + block * self.geometry.block_bytes, layer, block

    def _wrong(self, offset, wanted):
        found = self.memory.read(offset, self.geometry.block_bytes)
        if np.array_equal(found, wanted):
            return 0
        return int(np.count_nonzero(found.view(np.uint8) != wanted.view(np.uint8)))


COMMANDS = ("setup", "connect", "case", "clear", "write", "check", "round")


def serve(contestant):
    """Answers commands until `close` or the end of input, then leaves without unwinding the engine.

    Engines print to standard output too, so what was it becomes ours alone and theirs goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(contestant)
    for line in sys.stdin:
        command = json.loads(line)
        name = command["cmd"]
        try:
            if name != "close" and name not in COMMANDS:
                raise ValueError(f"unknown command {name}")
            answer = {"ok": True, **((getattr(server, name)(command) or {}) if name != "close" else {})}
        except Exception as error:  # whatever an engine throws is the answer
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        # Whoever asked may be gone.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(answer), file=answers, flush=True)
        if name == "close":
            break
    # Some engines crash when they are torn down, which is not what is compared.
    os._exit(0)
