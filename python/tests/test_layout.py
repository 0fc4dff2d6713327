"""Reading an engine's tensors: where every block of every layer is, against plain indexing."""

import itertools

import numpy
import pytest

import kvferry
from kvferry._arrays import describe
from kvferry._layout import derive

L, N, T, H, D = 3, 5, 4, 2, 8
SHAPE = kvferry.CacheShape(layers=L, kv_heads=H, head_dim=D, block_tokens=T, dtype="fp32")
MLA = kvferry.CacheShape(layers=L, kv=1, kv_heads=1, head_dim=24, block_tokens=T, dtype="fp32")
SIZES = {"layers": L, "blocks": N, "kv": 2, "tokens": T, "heads": H, "dim": D}
counter = itertools.count()


def tensor(names, memory=None, sizes=SIZES):
    """Dimensions in the order `names`, lying in memory in the order `memory`; no two elements are alike."""
    names, memory = names.split(), (memory or names).split()
    dense = numpy.empty([sizes[name] for name in memory], dtype=numpy.float32)
    dense.reshape(-1)[:] = numpy.arange(dense.size) + next(counter) * 1e5
    return dense.transpose([memory.index(name) for name in names])


def read(planes, shape, owner, layer, block):
    """The bytes of one block, as whoever moves it sees them."""
    rows = shape.block_bytes // planes.parts
    bases = planes.addresses[layer * planes.parts :][: planes.parts]
    return b"".join(_bytes_at(base + block * planes.block_stride, rows) for base in bases)


def _bytes_at(address, count):
    import ctypes

    return ctypes.string_at(address, count)


# Name of the layout: (dimensions of a layer's tensor, their order in memory, expected order within a block).
PER_LAYER = {
    "flash": ("kv blocks tokens heads dim", None, "tokens heads dim"),
    "flashinfer": ("blocks kv tokens heads dim", None, "kv tokens heads dim"),
    "hnd": ("blocks kv heads tokens dim", None, "kv heads tokens dim"),
    "hnd, seen as nhd": ("kv blocks tokens heads dim", "kv blocks heads tokens dim", "heads tokens dim"),
    "blocks first, seen second": ("kv blocks tokens heads dim", "blocks kv tokens heads dim", "kv tokens heads dim"),
    "interleaved": ("blocks tokens kv heads dim", None, "tokens kv heads dim"),
}


def block_of(array, names, order, block):
    """Block `block` in the order its bytes have in memory."""
    names = names.split()
    chosen = numpy.take(array, block, axis=names.index("blocks"))
    left = [name for name in names if name != "blocks"]
    order = order.split() if "kv" in order else ["kv", *order.split()]
    return numpy.ascontiguousarray(chosen.transpose([left.index(name) for name in order])).tobytes()


@pytest.mark.parametrize("layout", PER_LAYER)
@pytest.mark.parametrize("how", ["auto", "named"])
def test_per_layer(layout, how):
    names, memory, order = PER_LAYER[layout]
    tensors = [tensor(names, memory) for _ in range(L)]
    planes = derive([describe(t) for t in tensors], SHAPE, None, names if how == "named" else "auto")
    assert planes.blocks == N
    assert " ".join(planes.order) == order
    assert planes.parts == (1 if "kv" in order else 2)
    for layer, block in itertools.product(range(L), range(N)):
        assert read(planes, SHAPE, tensors, layer, block) == block_of(tensors[layer], names, order, block)


WHOLE = [
    "layers kv blocks tokens heads dim",
    "layers blocks kv tokens heads dim",
    "blocks layers kv tokens heads dim",
    "kv layers blocks tokens heads dim",
    "blocks kv layers heads tokens dim",
    "kv blocks layers tokens heads dim",
]


@pytest.mark.parametrize("names", WHOLE)
def test_one_tensor(names):
    whole = tensor(names)
    planes = derive([describe(whole)], SHAPE, None, "auto")
    assert planes.blocks == N
    order = "heads tokens dim" if "heads tokens" in names else "tokens heads dim"
    left = [name for name in names.split() if name != "layers"]
    for layer, block in itertools.product(range(L), range(N)):
        one = numpy.take(whole, layer, axis=names.split().index("layers"))
        assert read(planes, SHAPE, whole, layer, block) == block_of(one, " ".join(left), order, block)


def test_pairs_and_slots():
    sizes = {**SIZES, "slots": N * T}
    keys, values = ([tensor("slots heads dim", sizes=sizes) for _ in range(L)] for _ in range(2))
    pairs = [(describe(k), describe(v)) for k, v in zip(keys, values, strict=True)]
    for layout in ("auto", "slots heads dim"):
        planes = derive(pairs, SHAPE, None, layout)
        assert (planes.blocks, planes.parts, planes.order) == (N, 2, ("tokens", "heads", "dim"))
        for layer, block in itertools.product(range(L), range(N)):
            k, v = keys[layer], values[layer]
            expected = k[block * T : (block + 1) * T].tobytes() + v[block * T : (block + 1) * T].tobytes()
            assert read(planes, SHAPE, None, layer, block) == expected


def test_slots_with_room_for_a_page_more():
    sizes = {**SIZES, "slots": (N + 1) * T}
    pairs = [tuple(describe(tensor("slots heads dim", sizes=sizes)) for _ in range(2)) for _ in range(L)]
    assert derive(pairs, SHAPE, None, "auto").blocks == N + 1
    assert derive(pairs, SHAPE, N, "auto").blocks == N


@pytest.mark.parametrize("names", ["blocks tokens dim", "blocks tokens heads dim", "slots dim"])
def test_mla(names):
    sizes = {**SIZES, "heads": 1, "dim": 24, "slots": N * T}
    tensors = [tensor(names, sizes=sizes) for _ in range(L)]
    planes = derive([describe(t) for t in tensors], MLA, None, "auto")
    assert (planes.blocks, planes.parts, planes.block_stride) == (N, 1, MLA.block_bytes)
    for layer, block in itertools.product(range(L), range(N)):
        expected = tensors[layer].reshape(N, -1)[block].tobytes()
        assert read(planes, MLA, tensors, layer, block) == expected


def test_blocks_far_apart_and_flat_blocks():
    apart = numpy.zeros((N * 3, 2, T, H, D), dtype=numpy.float32)[::3]
    planes = derive([describe(apart) for _ in range(L)], SHAPE, None, "auto")
    assert planes.block_stride == 3 * SHAPE.block_bytes
    flat = numpy.zeros((N, SHAPE.block_bytes), dtype=numpy.uint8)
    planes = derive([describe(flat) for _ in range(L)], SHAPE, None, "auto")
    assert (planes.blocks, planes.block_stride, planes.order) == (N, SHAPE.block_bytes, ())


def test_what_cannot_be_moved_is_refused_with_the_reason():
    tokens_outside = [describe(tensor("blocks kv tokens heads dim", "tokens blocks kv heads dim"))] * L
    with pytest.raises(kvferry.Refused, match=r"(?s)not adjacent.*Pool\.allocate"):
        derive(tokens_outside, SHAPE, None, "auto")
    padded = numpy.zeros((N, 2, T, H, D + 1), dtype=numpy.float32)[..., :D]
    with pytest.raises(kvferry.Refused, match="not adjacent"):
        derive([describe(padded)] * L, SHAPE, None, "auto")
    repeated = numpy.broadcast_to(numpy.zeros((1, 2, T, H, D), dtype=numpy.float32), (N, 2, T, H, D))
    with pytest.raises(kvferry.Refused, match="stride of 0"):
        derive([describe(repeated)] * L, SHAPE, None, "auto")
    unlike = [describe(tensor("kv blocks tokens heads dim")) for _ in range(L - 1)]
    unlike.append(describe(tensor("blocks kv tokens heads dim")))
    with pytest.raises(kvferry.Refused, match="tensor 2"):
        derive(unlike, SHAPE, None, "auto")


def test_what_can_be_read_in_two_ways_is_asked_for():
    both = numpy.zeros((2, 2, T, H, D), dtype=numpy.float32)
    with pytest.raises(kvferry.InvalidArgument, match=r"2 ways.*layout='.*kv") as caught:
        derive([describe(both)] * L, SHAPE, None, "auto")
    assert "kv blocks" in str(caught.value)
    assert "blocks kv" in str(caught.value)
    assert derive([describe(both)] * L, SHAPE, None, "kv blocks tokens heads dim").parts == 2
    assert derive([describe(both)] * L, SHAPE, None, "blocks kv tokens heads dim").parts == 1


def test_sizes_that_coincide_are_no_ambiguity_where_the_planes_are_the_same():
    square = kvferry.CacheShape(layers=1, kv_heads=4, head_dim=4, block_tokens=4, dtype="fp32")
    cache = numpy.zeros((4, 2, 4, 4, 4), dtype=numpy.float32)  # four of everything: blocks come first
    planes = derive([describe(cache)], square, None, "auto")
    assert (planes.blocks, planes.block_stride, planes.order) == (4, square.block_bytes, ())
    assert derive([describe(cache)], square, None, "HND").order == ("kv", "heads", "tokens", "dim")


@pytest.mark.parametrize(
    ("array", "layout", "says"),
    [
        (numpy.zeros((N, 2, T, H, D), dtype=numpy.float16), "auto", "fp16, the shape says fp32"),
        (numpy.zeros((N, 2, T, H, D + 1), dtype=numpy.float32), "auto", "no whole number of blocks"),
        (numpy.zeros((2, N, T, H * D), dtype=numpy.float32), "kv blocks tokens heads", "'heads' has size 16, not 2"),
        (numpy.zeros((N, 2, T, H, D), dtype=numpy.float32), "blocks kv tokens dim", "names 4 dimensions"),
        (numpy.zeros((N, 2, T, H, D), dtype=numpy.float32), "blocks kv tokens heads channel", "'blocks kv"),
        (numpy.zeros((N, 2, T, H, D), dtype=numpy.float32), "kv blocks tokens heads dim", "'kv' has size 5"),
        (numpy.zeros((N, 2, T, H, D), dtype=numpy.float32), "HND", "another order"),
    ],
)
def test_sizes_and_names_that_do_not_fit(array, layout, says):
    with pytest.raises(kvferry.InvalidArgument, match=says):
        derive([describe(array)] * L, SHAPE, None, layout)


def test_more_blocks_than_there_are():
    with pytest.raises(kvferry.InvalidArgument, match="holds 5"):
        derive([describe(tensor("blocks kv tokens heads dim"))] * L, SHAPE, N + 1, "auto")
    with pytest.raises(kvferry.InvalidArgument, match="2 layers were given, but the shape has 3"):
        derive([describe(tensor("blocks kv tokens heads dim"))] * 2, SHAPE, None, "auto")
