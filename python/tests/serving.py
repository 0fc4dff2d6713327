"""The other process of the tests: serves a pool, and does with it what it is asked."""

import time
import traceback

import numpy

import kvferry

SHAPE = kvferry.CacheShape(layers=4, kv_heads=2, head_dim=16, block_tokens=4)  # blocks of 512 bytes


def row(shape, layer, block):
    """What block `block` of a layer holds: no two rows are alike."""
    return numpy.random.default_rng([layer, block]).integers(0, 256, shape.block_bytes, dtype=numpy.uint8)


def fill(pool):
    for layer in range(pool.shape.layers):
        rows = numpy.asarray(pool.layer(layer, raw=True))
        for block in range(pool.blocks):
            rows[block] = row(pool.shape, layer, block)


class Owner:
    def __init__(self, shape=SHAPE, blocks=64, filled=True, **options):
        self.events = []
        self.node = kvferry.Node("server", on_event=self.events.append)
        self.pool = kvferry.Pool.allocate(shape, blocks, **options)
        if filled:
            fill(self.pool)
        self.node.add(self.pool)
        self.address = self.node.listen(port=0)

    def bytes_of(self, layer, block):
        return numpy.asarray(self.pool.layer(layer, raw=True))[block].tobytes()

    def notice(self, timeout=10):
        notice = self.node.next_notice(timeout)
        return None if notice is None else notice._asdict()

    def events_of(self, kind, count=1):
        until = time.monotonic() + 10
        while len(found := [e for e in self.events if e.kind == kind]) < count and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def revoke(self):
        self.pool.revoke(timeout=5)

    def push_back(self, remote_ids, local_ids):
        """Moves blocks the other way over the connection that the client has made."""
        peer = self.node.peers[0]
        return peer.push(remote_ids, local_ids, self.pool).wait()._asdict()


def run(questions, answers, options):
    owner = Owner(**options)
    answers.put(("ok", owner.address))
    while (question := questions.get())[0] != "end":
        what, *arguments = question
        try:
            answers.put(("ok", getattr(owner, what)(*arguments)))
        except Exception:
            answers.put(("error", traceback.format_exc()))
    owner.node.close()
