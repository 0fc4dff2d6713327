"""Tensors of one's own as pools: moved byte by byte, kept alive, refused with the reason."""

import gc
import weakref

import numpy
import pytest
from conftest import layer_bytes

import kvferry
import serving

N = 64
SHAPE = serving.SHAPE  # bf16: raw 16-bit words here, since NumPy has no bf16
LAYOUTS = {
    "kv blocks tokens heads dim": (2, N, 4, 2, 16),
    "blocks kv tokens heads dim": (N, 2, 4, 2, 16),
    "blocks kv heads tokens dim": (N, 2, 2, 4, 16),
}


def whole_blocks(cache, names):
    """(blocks, bytes) with keys before values, of one layer's tensor."""
    at = names.split().index("blocks")
    return numpy.ascontiguousarray(numpy.moveaxis(cache, at, 0)).view(numpy.uint8).reshape(N, -1)


@pytest.mark.parametrize("names", LAYOUTS)
def test_pull_into_tensors(serve, node, names):
    server = serve()
    caches = [numpy.zeros(LAYOUTS[names], dtype=numpy.uint16) for _ in range(4)]
    node.add(kvferry.Pool.attach(caches, SHAPE))
    node.connect(server.address).pull([7, 3], [10, 11]).wait()
    for layer, cache in enumerate(caches):
        blocks = whole_blocks(cache, names)
        expected = numpy.zeros_like(blocks)
        expected[10], expected[11] = (serving.row(SHAPE, layer, theirs) for theirs in (7, 3))
        numpy.testing.assert_array_equal(blocks, expected)


def test_dicts_pairs_and_one_tensor(serve, node):
    server = serve()
    named = {f"model.layers.{i}.attn": numpy.zeros((N, 2, 4, 2, 16), numpy.uint16) for i in (3, 1, 0, 2)}
    pairs = [tuple(numpy.zeros((N * 4, 2, 16), numpy.uint16) for _ in range(2)) for _ in range(4)]
    one = numpy.zeros((N, 4, 2, 4, 2, 16), numpy.uint16)
    for name, tensors in (("named", named), ("pairs", pairs), ("one", one)):
        node.add(
            kvferry.Pool.attach(
                tensors, SHAPE, name=name, layout="auto" if name != "one" else "blocks layers kv tokens heads dim"
            )
        )
    peer = node.connect(server.address)
    for pool in node.pools:
        peer.pull([5], [9], pool, remote_pool="kv").wait()
    for layer in range(4):
        row = serving.row(SHAPE, layer, 5)
        numpy.testing.assert_array_equal(named[f"model.layers.{layer}.attn"][9].view(numpy.uint8).ravel(), row)
        numpy.testing.assert_array_equal(one[9, layer].view(numpy.uint8).ravel(), row)
        halves = [half[36:40].view(numpy.uint8).ravel() for half in pairs[layer]]
        numpy.testing.assert_array_equal(numpy.concatenate(halves), row)
    assert one[:9].max() == 0
    assert one[10:].max() == 0


def test_others_pull_from_tensors(node):
    caches = [numpy.random.default_rng(i).integers(0, 1 << 16, (N, 2, 4, 2, 16), numpy.uint16) for i in range(4)]
    for cache in caches:
        cache.flags.writeable = False
    with kvferry.Node() as owner:
        owner.add(kvferry.Pool.attach(caches, SHAPE))
        pool = kvferry.Pool.allocate(SHAPE, N)
        node.add(pool)
        node.connect(owner.listen(port=0)).pull(range(N), range(N)).wait()
    for layer, cache in enumerate(caches):
        numpy.testing.assert_array_equal(layer_bytes(pool, layer), cache.view(numpy.uint8).reshape(N, -1))


def test_read_only_memory_is_not_written_to(serve, node):
    server = serve()
    cache = numpy.zeros((N, 2, 4, 2, 16), numpy.uint16)
    cache.flags.writeable = False
    with pytest.raises(kvferry.Refused, match="read-only"):
        kvferry.Pool.attach([cache] * 4, SHAPE, writable=True)
    node.add(kvferry.Pool.attach([cache.copy() if i else cache for i in range(4)], SHAPE))
    with pytest.raises(kvferry.Refused, match="read-only"):
        node.connect(server.address).pull([1], [1])


def test_a_tensor_freed_while_attached_is_kept():
    class Cache(numpy.ndarray):
        pass  # can be watched

    caches = [numpy.zeros((N, 2, 4, 2, 16), numpy.uint16).view(Cache) for _ in range(4)]
    alive = [weakref.ref(cache) for cache in caches]
    pool = kvferry.Pool.attach(caches, SHAPE)
    del caches
    gc.collect()
    assert all(ref() is not None for ref in alive)
    layer = numpy.asarray(pool.layer(2, raw=True))
    del pool
    gc.collect()
    assert alive[2]() is not None  # by the view
    layer[:] = 1
    del layer
    gc.collect()
    assert all(ref() is None for ref in alive)


def test_kept_by_the_node_until_it_goes():
    class Cache(numpy.ndarray):
        pass

    cache = numpy.zeros((4, N, 2, 4, 2, 16), numpy.uint16).view(Cache)
    alive = weakref.ref(cache)
    with kvferry.Node() as node:
        node.add(kvferry.Pool.attach(cache, SHAPE, layout="layers blocks kv tokens heads dim"))
        del cache
        gc.collect()
        assert alive() is not None
    gc.collect()
    assert alive() is None


def test_layouts_that_disagree_are_refused(serve, node):
    server = serve(layout="HND")
    nhd = numpy.zeros((4, N, 2, 4, 2, 16), numpy.uint16)
    pool = kvferry.Pool.attach(nhd, SHAPE, layout="layers blocks kv tokens heads dim")
    assert pool.tag == "layout=kv,tokens,heads,dim"
    node.add(pool)
    node.add(kvferry.Pool.attach(nhd.copy(), SHAPE, layout="layers blocks kv tokens heads dim", name="mine", tag="x"))
    peer = node.connect(server.address)
    with pytest.raises(kvferry.Refused, match="another order there"):
        peer.pull([1], [1], pool)
    peer.pull([1], [1], node.pools[1], remote_pool="kv").wait()


def test_the_shape_may_come_from_the_layout():
    pool = kvferry.Pool.attach(
        [numpy.zeros((2, N, 8, 4, 32), numpy.float32) for _ in range(3)], layout="kv blocks tokens heads dim"
    )
    assert pool.shape == kvferry.CacheShape(layers=3, kv_heads=4, head_dim=32, block_tokens=8, dtype="fp32")
    assert (pool.blocks, pool.kv_parts) == (N, 2)
    with pytest.raises(kvferry.InvalidArgument, match="geometry"):
        kvferry.Pool.attach([numpy.zeros((2, N, 8, 4, 32), numpy.float32)])


@pytest.mark.parametrize(
    ("tensors", "error", "says"),
    [
        ([], kvferry.InvalidArgument, "no tensors"),
        ([1, 2], kvferry.InvalidArgument, "no array"),
        ("cache", kvferry.InvalidArgument, "no array"),
        ({"a": numpy.zeros(3), "b": numpy.zeros(3)}, kvferry.InvalidArgument, "do not number"),
        ([(numpy.zeros(3),)], kvferry.InvalidArgument, "pair"),
    ],
)
def test_what_is_no_cache(tensors, error, says):
    with pytest.raises(error, match=says):
        kvferry.Pool.attach(tensors, SHAPE)
