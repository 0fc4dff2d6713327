"""GPUs: every memory and layout byte by byte, streams, graphs. Run with `pytest python/tests -m gpu`.

Needs PyTorch and a GPU; some need two with peer access.
"""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import time

import numpy
import pytest

import kvferry
import serving

pytestmark = pytest.mark.gpu

try:
    import torch

    GPUS = torch.cuda.device_count()
    WHY = "PyTorch sees no GPU"
except ImportError:
    GPUS, WHY = 0, "needs PyTorch"
if GPUS and not kvferry.cuda_device_count():
    GPUS, WHY = 0, f"kvferry sees no GPU: {kvferry._core.cuda_device_count()[1]}"
if not GPUS:
    pytest.skip(WHY, allow_module_level=True)

two_gpus = pytest.mark.skipif(GPUS < 2, reason="needs two GPUs")
N = 64
SHAPE = kvferry.CacheShape(layers=4, kv_heads=8, head_dim=64, block_tokens=16)  # blocks of 32 KiB
PAIRS = [
    pytest.param("cuda:0", "cuda:0", id="same GPU"),
    pytest.param("cuda:1", "cuda:0", id="NVLink", marks=two_gpus),
    pytest.param("cpu", "cuda:0", id="from the host"),
    pytest.param("cuda:0", "cpu", id="to the host"),
]


def expect(pool, moved):
    for layer in range(pool.shape.layers):
        rows = serving.read(pool, layer)
        expected = numpy.zeros_like(rows)
        for theirs, ours in moved:
            expected[ours] = serving.row(pool.shape, layer, theirs)
        numpy.testing.assert_array_equal(rows, expected)


def empty_pool(device, blocks=N, shape=SHAPE):
    pool = kvferry.Pool.allocate(shape, blocks, device)
    clear(pool)
    return pool


def clear(pool):
    for layer in range(pool.shape.layers):
        serving.write(pool, layer, numpy.zeros((pool.blocks, pool.shape.block_bytes), numpy.uint8))


@pytest.fixture
def meet(serve, node):
    def meet(there="cuda:0", here="cuda:0", **options):
        server = serve(shape=SHAPE, blocks=N, device=there, **options)
        pool = empty_pool(here)
        node.add(pool)
        return server, pool, node.connect(server.address, timeout=30)

    return meet


@pytest.mark.parametrize(("there", "here"), PAIRS)
def test_pull_and_push(meet, there, here):
    server, pool, peer = meet(there, here, writable=True)
    report = peer.pull([7, 3, 42], torch.tensor([0, 1, 2])).wait()
    assert report.path == ("cuda_ipc" if "cuda" in there + here else "host_shm")
    expect(pool, [(7, 0), (3, 1), (42, 2)])
    peer.push([60], [1]).wait()
    for layer in range(4):
        assert server.ask("layer_bytes", layer)[60].tobytes() == serving.row(SHAPE, layer, 3).tobytes()


@pytest.mark.parametrize("copy", ["auto", "kernel", "engine"])
@pytest.mark.parametrize(("there", "here"), PAIRS[:2])
def test_methods(meet, there, here, copy):
    _, pool, peer = meet(there, here)
    ids = numpy.random.default_rng(1).permutation(N)
    report = peer.pull(ids, numpy.arange(N), copy=copy).wait()
    assert copy == "auto" or copy in report.method
    expect(pool, list(zip(ids, range(N), strict=True)))


@pytest.mark.parametrize(("there", "here"), PAIRS[:2])
def test_ordered_on_the_current_stream(meet, there, here):
    """What is in the stream before is done before, what comes after sees the bytes; the host does not wait."""
    _, pool, peer = meet(there, here)
    peer.prepare()
    tensors = pool.tensors()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # PyTorch loads a kernel, and CUDA allocates, when first used: either may wait for the GPU.
        for tensor in tensors:
            tensor.fill_(0).clone()
        torch.cuda._sleep(1)
        stream.synchronize()
        for round_ in range(5):
            torch.cuda._sleep(50_000_000)
            for tensor in tensors:
                tensor.fill_(round_ + 1)
            started = time.perf_counter()
            transfer = peer.pull(range(8), range(8), stream="current" if round_ % 2 else stream)
            posted = time.perf_counter() - started
            copies = [tensor.clone() for tensor in tensors]
            # The very first one may find CUDA still setting things up.
            assert posted < 0.01 or round_ == 0, f"posting round {round_} waits for the stream: {posted} s"
            assert not transfer.done() or round_ == 0
    stream.synchronize()
    transfer.wait()
    for layer, copy in enumerate(copies):
        rows = copy.view(torch.uint8).reshape(N, -1).cpu().numpy()
        numpy.testing.assert_array_equal(rows[:8], numpy.stack([serving.row(SHAPE, layer, b) for b in range(8)]))
        assert (copy[8:] == 5).all()
    assert int(transfer.status_word) == 0


def test_a_deadline_on_a_stream_leaves_a_word(meet):
    _, pool, peer = meet()
    peer.prepare()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(2_000_000_000)
        transfer = peer.pull(range(8), range(8), stream=stream, deadline=0.05)
    with pytest.raises(kvferry.DeadlineExceeded):
        transfer.wait()
    assert int(transfer.status_word) == kvferry.DeadlineExceeded.code
    stream.synchronize()
    expect(pool, [])


@pytest.mark.parametrize(("there", "here"), PAIRS)
def test_await(meet, there, here):
    _, pool, peer = meet(there, here)

    async def main():
        peer.prepare()
        await asyncio.gather(*(peer.pull([i], [i]) for i in range(N)))

    asyncio.run(main())
    expect(pool, [(i, i) for i in range(N)])


def test_awaiting_is_prompt(meet):
    """An await hears of the end at once, though it was not known at the post that somebody would."""
    _, _, peer = meet()
    step = peer.prepare_pull(range(N), range(N))

    async def main():
        took = []
        for _ in range(200):
            started = time.perf_counter()
            await step.post()
            took.append(time.perf_counter() - started)
        return sorted(took)[100]

    median = asyncio.run(main())
    print(f"await of {N} blocks: {median * 1e6:.0f} us")
    assert median < 0.8e-3


def test_ten_thousand_in_flight(meet):
    _, _, peer = meet()
    peer.prepare()

    async def one(i):
        return await peer.pull([i % N], [i % N])

    async def main():
        return await asyncio.gather(*(one(i) for i in range(10_000)))

    assert len(asyncio.run(main())) == 10_000


@pytest.mark.parametrize(("there", "here"), PAIRS[:2])
def test_in_a_cuda_graph(meet, there, here):
    _, pool, peer = meet(there, here)
    step = peer.prepare_pull([5, 6], [1, 0], copy="kernel")
    assert step.status_word is None
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.cuda.graph(graph, stream=stream):
        step.capture(torch.cuda.current_stream())
    for _ in range(3):
        clear(pool)
        graph.replay()
        torch.cuda.synchronize()
        expect(pool, [(5, 1), (6, 0)])
    assert int(step.status_word) == 0
    peer.close()
    assert int(step.status_word) != 0
    clear(pool)
    graph.replay()
    torch.cuda.synchronize()
    expect(pool, [])
    del graph


LAYOUTS = {
    "(2, blocks, tokens, heads, dim)": ((2, N, 16, 8, 64), None),
    "(blocks, 2, tokens, heads, dim)": ((N, 2, 16, 8, 64), None),
    "(blocks, 2, heads, tokens, dim)": ((N, 2, 8, 16, 64), None),
    "HND seen as NHD": ((2, N, 8, 16, 64), (0, 1, 3, 2, 4)),
    "(slots, heads, dim) pairs": ((N * 16, 8, 64), None),
}


@pytest.mark.parametrize("there", ["cuda:0", pytest.param("cuda:1", marks=two_gpus), "cpu"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(serve, node, layout, there):
    server = serve(shape=SHAPE, blocks=N, device=there)
    sizes, permutation = LAYOUTS[layout]
    pairs = "pairs" in layout
    plain = [torch.zeros(sizes, dtype=torch.bfloat16, device="cuda:0") for _ in range(8 if pairs else 4)]
    caches = [t if permutation is None else t.permute(permutation) for t in plain]
    node.add(kvferry.Pool.attach(list(zip(caches[::2], caches[1::2], strict=True)) if pairs else caches, SHAPE))
    node.connect(server.address, timeout=30).pull([7, 3], [10, 11]).wait()
    for layer in range(4):
        if pairs:
            moved = torch.stack([plain[2 * layer + part].reshape(N, -1) for part in (0, 1)], dim=1)
        else:
            moved = plain[layer].movedim(sizes.index(N), 0)
        rows = moved.reshape(N, -1).contiguous().view(torch.uint8).cpu().numpy()
        expected = numpy.zeros_like(rows)
        expected[10], expected[11] = (serving.row(SHAPE, layer, theirs) for theirs in (7, 3))
        numpy.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("sizes", [(4, N, 2, 16, 8, 64), (N, 4, 2, 16, 8, 64), (4, 2, N, 16, 8, 64)])
def test_one_big_tensor(serve, node, sizes):
    server = serve(shape=SHAPE, blocks=N, device="cuda:0")
    whole = torch.zeros(sizes, dtype=torch.bfloat16, device="cuda:0")
    node.add(kvferry.Pool.attach(whole, SHAPE))
    node.connect(server.address, timeout=30).pull([7], [10]).wait()
    ordered = whole.movedim(sizes.index(4), 0)
    for layer in range(4):
        at = [size for size in sizes if size != 4].index(N)
        rows = ordered[layer].movedim(at, 0).reshape(N, -1).contiguous().view(torch.uint8).cpu().numpy()
        numpy.testing.assert_array_equal(rows[10], serving.row(SHAPE, layer, 7))
        assert rows[:10].max() == 0
        assert rows[11:].max() == 0


def test_others_pull_from_a_sub_allocation(node):
    """Tensors of the caching allocator share one allocation: the right offset is served."""
    small = [torch.full((N, 2, 16, 8, 64), i + 1, dtype=torch.bfloat16, device="cuda:0") for i in range(4)]
    with kvferry.Node() as owner:
        owner.add(kvferry.Pool.attach(small, SHAPE))
        torch.cuda.synchronize()
        pool = empty_pool("cuda:0")
        node.add(pool)
        node.connect(owner.listen(port=0), timeout=30).pull(range(N), range(N)).wait()
    for i, tensor in enumerate(pool.tensors()):
        assert (tensor == i + 1).all()


def test_a_tensor_freed_while_attached_is_kept():
    used = torch.cuda.memory_allocated()
    caches = [torch.zeros((N, 2, 16, 8, 64), dtype=torch.bfloat16, device="cuda:0") for _ in range(4)]
    pool = kvferry.Pool.attach(caches, SHAPE)
    del caches
    gc.collect()
    assert torch.cuda.memory_allocated() >= used + pool.nbytes
    view = pool.tensors()[2]
    del pool
    gc.collect()
    assert (view == 0).all()
    del view
    gc.collect()
    assert torch.cuda.memory_allocated() == used


def test_a_revoked_pool_may_be_freed(node):
    """Whoever has mapped a tensor's memory lets it go, and is refused from then on."""
    used = torch.cuda.memory_allocated()
    caches = [torch.ones((N, 2, 16, 8, 64), dtype=torch.bfloat16, device="cuda:0") for _ in range(4)]
    torch.cuda.synchronize()
    ours = kvferry.Pool.allocate(SHAPE, N, "cuda:0")
    node.add(ours)
    with kvferry.Node() as owner:
        pool = kvferry.Pool.attach(caches, SHAPE)
        owner.add(pool)
        peer = node.connect(owner.listen(port=0), timeout=30)
        peer.pull([1], [1]).wait()
        pool.revoke()
        with pytest.raises(kvferry.Refused):
            peer.pull([1], [1])
    del caches, pool, owner
    gc.collect()
    assert torch.cuda.memory_allocated() == used


def test_cuda_array_interface(serve, node):
    """CuPy, Numba and others."""

    class Cache:
        def __init__(self, tensor):
            self.tensor, self.dtype = tensor, "bfloat16"
            self.__cuda_array_interface__ = {
                "shape": tuple(tensor.shape), "typestr": "<V2", "data": (tensor.data_ptr(), False), "version": 3,
            }  # fmt: skip

    server = serve(shape=SHAPE, blocks=N, device="cuda:0")
    caches = [torch.zeros((N, 2, 16, 8, 64), dtype=torch.bfloat16, device="cuda:0") for _ in range(4)]
    node.add(kvferry.Pool.attach([Cache(cache) for cache in caches], SHAPE))
    node.connect(server.address, timeout=30).pull([7], [10]).wait()
    for layer, cache in enumerate(caches):
        row = cache[10].view(torch.uint8).reshape(-1).cpu().numpy()
        numpy.testing.assert_array_equal(row, serving.row(SHAPE, layer, 7))


EXPANDABLE = """
import torch, kvferry
shape = kvferry.CacheShape(layers=4, kv_heads=8, head_dim=64, block_tokens=16)
caches = [torch.zeros((64, 2, 16, 8, 64), dtype=torch.bfloat16, device="cuda:0") for _ in range(4)]
grown = torch.zeros(200 << 20, dtype=torch.uint8, device="cuda:0")
try:
    mine = kvferry.Pool.attach(caches, shape)
except kvferry.Refused as refused:
    assert "POSIX" in str(refused) or "virtual memory" in str(refused), refused
    print("refused:", refused)
else:
    with kvferry.Node() as owner, kvferry.Node() as node:
        owner.add(mine)
        pool = kvferry.Pool.allocate(shape, 64, "cuda:0")
        node.add(pool)
        for i, cache in enumerate(caches):
            cache.fill_(i + 1)
        torch.cuda.synchronize()
        node.connect(owner.listen(port=0), timeout=30).pull(range(64), range(64)).wait()
        assert all((tensor == i + 1).all() for i, tensor in enumerate(pool.tensors()))
    print("works")
"""


@pytest.mark.parametrize("setting", ["expandable_segments:True", "backend:cudaMallocAsync", ""])
def test_allocators_of_pytorch(setting):
    """Expandable segments work, or are refused with the reason; so is cudaMallocAsync."""
    settings = dict.fromkeys(("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"), setting)
    program = EXPANDABLE.replace('"POSIX" in', '"cudaMallocAsync" in str(refused) or "POSIX" in')
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
    )
    print(f"'{setting}': {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    if setting == "":
        assert "works" in done.stdout
    elif "Async" in setting:
        assert "refused" in done.stdout


def test_fork_after_import():
    """The parent has imported kvferry, but not used CUDA."""
    program = """
    import multiprocessing, kvferry

    def child(_):
        shape = kvferry.CacheShape(layers=2)
        with kvferry.Node() as owner, kvferry.Node() as node:
            owner.add(kvferry.Pool.allocate(shape, 4, "cuda:0"))
            node.add(kvferry.Pool.allocate(shape, 4, "cuda:0"))
            return node.connect(owner.listen(port=0), timeout=30).pull([1], [2]).wait().blocks

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(child, range(2)) == [1, 1]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=120)


def test_ids_on_the_gpu_are_refused(meet):
    _, _, peer = meet()
    with pytest.raises(kvferry.InvalidArgument, match=r"ids\.cpu\(\)"):
        peer.pull(torch.tensor([1], device="cuda:0"), [1])


@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3"])
def test_tensors(dtype):
    shape = kvferry.CacheShape(layers=2, kv_heads=2, head_dim=16, block_tokens=4, dtype=dtype)
    pool = kvferry.Pool.allocate(shape, 8, "cuda:0")
    tensors = pool.tensors()
    assert tensors[0].is_cuda
    assert kvferry.CacheShape(dtype=tensors[0].dtype).dtype == dtype
    del pool
    tensors[1].view(torch.uint8).fill_(7)
    torch.cuda.synchronize()
    assert (tensors[1].view(torch.uint8) == 7).all()
