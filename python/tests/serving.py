"""The other process of the tests: serves a pool, and does with it what it is asked."""

import time
import traceback

import numpy

import kvferry

SHAPE = kvferry.CacheShape(layers=4, kv_heads=2, head_dim=16, block_tokens=4)  # blocks of 512 bytes


def row(shape, layer, block):
    """What block `block` of a layer holds: no two rows are alike."""
    return numpy.random.default_rng([layer, block]).integers(0, 256, shape.block_bytes, dtype=numpy.uint8)


def rows(shape, layer, blocks):
    """The rows of all blocks of a layer: (blocks, bytes)."""
    return numpy.stack([row(shape, layer, block) for block in range(blocks)])


def fill(pool):
    for layer in range(pool.shape.layers):
        write(pool, layer, rows(pool.shape, layer, pool.blocks))


def write(pool, layer, values):
    """Sets a layer's bytes, wherever they are, and returns when they are there."""
    if pool.device == "cpu":
        numpy.asarray(pool.layer(layer, raw=True))[:] = values
        return
    import torch

    torch.from_dlpack(pool.layer(layer, raw=True)).copy_(torch.from_numpy(values))
    torch.cuda.synchronize(pool.device)


def read(pool, layer):
    """A copy of a layer's bytes on the host: (blocks, bytes)."""
    if pool.device == "cpu":
        return numpy.asarray(pool.layer(layer, raw=True)).copy()
    import torch

    return torch.from_dlpack(pool.layer(layer, raw=True)).cpu().numpy()


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
        return read(self.pool, layer)[block].tobytes()

    def notice(self, timeout=10):
        notice = self.node.next_notice(timeout)
        return None if notice is None else notice._asdict()

    def events_of(self, kind, count=1):
        until = time.monotonic() + 10
        while len(found := [e for e in self.events if e.kind == kind]) < count and time.monotonic() < until:
            time.sleep(0.01)
        return found

    def layer_bytes(self, layer):
        return read(self.pool, layer)

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
