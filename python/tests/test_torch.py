"""PyTorch on the CPU: tensors as pools, pools as tensors, ids."""

import asyncio

import numpy
import pytest

import kvferry
import serving

torch = pytest.importorskip("torch", reason="needs PyTorch")

N = 64
SHAPE = serving.SHAPE


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().reshape(-1)


def test_ids(pair, check):
    _, pool, peer = pair
    for dtype in (torch.int64, torch.int32, torch.uint8):
        peer.pull(torch.tensor([7, 3], dtype=dtype), torch.arange(2)).wait()
        check(pool, [(7, 0), (3, 1)])
    with pytest.raises(kvferry.InvalidArgument, match="no integers"):
        peer.pull(torch.tensor([1.0]), [0])
    with pytest.raises(kvferry.InvalidArgument, match="2 dimensions"):
        peer.pull(torch.tensor([[1]]), [0])


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32", "fp8_e4m3", "fp8_e5m2", "int8"])
def test_pools_are_tensors(dtype):
    shape = kvferry.CacheShape(layers=2, kv_heads=2, head_dim=16, block_tokens=4, dtype=dtype)
    pool = kvferry.Pool.allocate(shape, 8)
    tensors = pool.tensors()
    assert [tuple(t.shape) for t in tensors] == [(8, 2, 4, 2, 16)] * 2
    assert kvferry.CacheShape(dtype=tensors[0].dtype).dtype == dtype
    tensors[1][3].copy_(torch.ones(2, 4, 2, 16).to(tensors[1].dtype))
    one = torch.ones(1).to(tensors[1].dtype).view(torch.uint8).numpy()
    assert (numpy.asarray(pool.layer(1, raw=True))[3].reshape(-1, shape.dtype_bytes) == one).all()
    del pool
    assert (raw(tensors[1][2]) == 0).all()


def test_pools_whose_keys_are_apart_are_pairs():
    caches = [torch.zeros(2, 8, 4, 2, 16, dtype=torch.bfloat16) for _ in range(4)]
    pool = kvferry.Pool.attach(caches, SHAPE)
    keys, values = pool.tensors()[3]
    values[5] = 3
    assert (caches[3][1, 5] == 3).all()
    assert keys.data_ptr() == caches[3].data_ptr()
    assert values.shape == (8, 4, 2, 16)


# As engines make them: (sizes of a layer, permutation to the dimensions the engine sees).
LAYOUTS = {
    "(2, blocks, tokens, heads, dim)": ((2, N, 4, 2, 16), None),
    "(blocks, 2, tokens, heads, dim)": ((N, 2, 4, 2, 16), None),
    "(blocks, 2, heads, tokens, dim)": ((N, 2, 2, 4, 16), None),
    "HND seen as NHD": ((2, N, 2, 4, 16), (0, 1, 3, 2, 4)),
    "blocks first seen second": ((N, 2, 4, 2, 16), (1, 0, 2, 3, 4)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_as_pools(serve, node, layout):
    server = serve()
    sizes, permutation = LAYOUTS[layout]
    plain = [torch.zeros(sizes, dtype=torch.bfloat16) for _ in range(4)]
    caches = [t if permutation is None else t.permute(permutation) for t in plain]
    node.add(kvferry.Pool.attach(caches, SHAPE))
    node.connect(server.address).pull([7, 3], [10, 11]).wait()
    blocks = sizes.index(N)
    for layer, tensor in enumerate(plain):
        moved = tensor.movedim(blocks, 0)
        for theirs, ours in ((7, 10), (3, 11)):
            numpy.testing.assert_array_equal(raw(moved[ours]), serving.row(SHAPE, layer, theirs))
        assert moved[:10].count_nonzero() == 0
        assert moved[12:].count_nonzero() == 0


def test_one_storage_for_all_layers(serve, node):
    """What an engine cuts from one allocation: views at odd places of it, with room between them."""
    server = serve()
    storage = torch.zeros(1 << 20, dtype=torch.bfloat16)
    caches = [storage[3 + i * 40000 :].as_strided((N, 2, 4, 2, 16), (300, 128, 32, 16, 1)) for i in range(4)]
    pool = kvferry.Pool.attach(caches, SHAPE)
    assert pool.block_stride == 600
    node.add(pool)
    before = storage.clone()
    node.connect(server.address).pull([7], [10]).wait()
    for layer, cache in enumerate(caches):
        numpy.testing.assert_array_equal(raw(cache[10]), serving.row(SHAPE, layer, 7))
        cache[10] = 0
    assert torch.equal(storage, before)


def test_mla(node):
    shape = kvferry.CacheShape(layers=3, kv=1, kv_heads=1, head_dim=576, dtype=torch.bfloat16)
    caches = [torch.randn(N, 16, 576).to(torch.bfloat16) for _ in range(3)]
    with kvferry.Node() as owner:
        owner.add(kvferry.Pool.attach(caches, shape))
        pool = kvferry.Pool.allocate(shape, N)
        node.add(pool)
        node.connect(owner.listen(port=0)).pull(range(N), range(N)[::-1]).wait()
    for cache, tensor in zip(caches, pool.tensors(), strict=True):
        assert torch.equal(tensor[:, :, 0].flip(0), cache)


def test_a_tensor_that_is_no_cache():
    with pytest.raises(kvferry.Refused, match="sparse"):
        kvferry.Pool.attach([torch.zeros(4, 4).to_sparse()] * 4, SHAPE)
    with pytest.raises(kvferry.Refused, match="meta"):
        kvferry.Pool.attach([torch.zeros(N, 2, 4, 2, 16, device="meta", dtype=torch.bfloat16)] * 4, SHAPE)
    with pytest.raises(kvferry.InvalidArgument, match="fp16, the shape says bf16"):
        kvferry.Pool.attach([torch.zeros(N, 2, 4, 2, 16, dtype=torch.float16)] * 4, SHAPE)


def test_parameters_and_uint8_caches(node):
    node.add(kvferry.Pool.attach([torch.zeros(N, 512, dtype=torch.uint8) for _ in range(4)], SHAPE))
    weights = torch.nn.Parameter(torch.zeros(4, N, 2, 4, 2, 16))
    shape = kvferry.CacheShape(layers=4, kv_heads=2, head_dim=16, block_tokens=4, dtype=torch.float32)
    pool = kvferry.Pool.attach(weights, shape, name="w", layout="layers blocks kv tokens heads dim")
    assert not pool.tensors()[0].requires_grad


def test_await(pair):
    _, _, peer = pair

    async def main():
        return await peer.pull(torch.arange(8), torch.arange(8))

    assert asyncio.run(main()).blocks == 8
