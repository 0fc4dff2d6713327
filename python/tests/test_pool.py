"""Pools and their memory as arrays."""

import gc
import pickle
import weakref

import numpy
import pytest

import kvferry
import serving


def dimensions(layer):
    return kvferry._core.describe_dlpack(layer)[1]


def test_what_it_is():
    pool = kvferry.Pool.allocate(serving.SHAPE, 8, "cpu", name="mine", tag="hello", writable=True)
    assert (pool.name, pool.tag, pool.blocks, pool.device, pool.writable) == ("mine", "hello", 8, "cpu", True)
    assert (pool.generation, pool.kv_parts, pool.block_stride) == (1, 1, 512)
    assert pool.nbytes == 8 * 4 * 512
    assert pool.shape == serving.SHAPE
    assert "8 blocks" in repr(pool)
    pool.revoke()
    assert pool.generation == 2


@pytest.mark.parametrize("dtype", ["fp16", "fp32", "int8"])
def test_layers_are_arrays(dtype):
    shape = kvferry.CacheShape(layers=2, kv_heads=2, head_dim=16, block_tokens=4, dtype=dtype)
    pool = kvferry.Pool.allocate(shape, 8)
    layer = numpy.from_dlpack(pool.layer(1))
    assert layer.shape == (8, 2, 4, 2, 16)
    assert layer.dtype == {"fp16": numpy.float16, "fp32": numpy.float32, "int8": numpy.int8}[dtype]
    layer[3] = 5
    assert (numpy.asarray(pool.layer(1))[3] == 5).all()
    assert (numpy.asarray(pool.layer(-1, part=1))[3] == 5).all()
    assert (numpy.asarray(pool.layer(0)) == 0).all()
    numpy.asarray(pool.layer(0, part=1))[2] = 9
    assert (numpy.asarray(pool.layer(0))[2, 1] == 9).all()
    assert (numpy.asarray(pool.layer(0))[2, 0] == 0).all()
    assert numpy.asarray(pool.layer(0, raw=True)).shape == (8, shape.block_bytes)


def test_what_numpy_does_not_know():
    pool = kvferry.Pool.allocate(serving.SHAPE, 8)
    with pytest.raises(TypeError, match="raw=True"):
        numpy.asarray(pool.layer(0))
    assert numpy.asarray(pool.layer(0, raw=True)).dtype == numpy.uint8


def test_hnd():
    pool = kvferry.Pool.allocate(serving.SHAPE, 8, layout="HND")
    assert pool.tag == "layout=kv,heads,tokens,dim"
    assert dimensions(pool.layer(0)) == (8, 2, 2, 4, 16)


def test_an_array_keeps_the_memory():
    pool = kvferry.Pool.allocate(serving.SHAPE, 8)
    gone = weakref.ref(pool)
    layer = numpy.asarray(pool.layer(0, raw=True))
    again = numpy.from_dlpack(pool.layer(0, raw=True))
    del pool
    gc.collect()
    assert gone() is None
    layer[:] = 7
    del layer
    assert (again == 7).all()


@pytest.mark.parametrize("layer", [4, -5])
def test_no_such_layer(layer):
    with pytest.raises(kvferry.InvalidArgument, match="the pool has 4"):
        kvferry.Pool.allocate(serving.SHAPE, 8).layer(layer)


def test_parts():
    pool = kvferry.Pool.allocate(serving.SHAPE, 8)
    with pytest.raises(kvferry.InvalidArgument, match="part 2"):
        pool.layer(0, 2)
    apart = kvferry.Pool.attach([numpy.zeros((2, 8, 4, 2, 16), numpy.uint16) for _ in range(4)], serving.SHAPE)
    with pytest.raises(kvferry.InvalidArgument, match="apart"):
        apart.layer(0)
    assert dimensions(apart.layer(3, 1)) == (8, 4, 2, 16)
    mla = kvferry.Pool.allocate(kvferry.CacheShape(layers=2, kv=1, kv_heads=1, head_dim=576, dtype="fp16"), 4)
    assert numpy.asarray(mla.layer(0)).shape == (4, 16, 1, 576)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"blocks": 0}, kvferry.InvalidArgument, "blocks is 0"),
        ({"blocks": 8, "name": "a b"}, kvferry.InvalidArgument, "name"),
        ({"blocks": 8, "device": "tpu"}, kvferry.InvalidArgument, "device 'tpu'"),
        ({"blocks": 8, "device": "cuda:99"}, kvferry.ResourceError, "(?i)cuda"),
        ({"blocks": 1 << 31}, kvferry.ResourceError, "memory"),
        ({"blocks": 8, "layout": "DHN"}, kvferry.InvalidArgument, "NHD"),
    ],
)
def test_what_cannot_be_allocated(arguments, error, says):
    with pytest.raises(error, match=says):
        kvferry.Pool.allocate(serving.SHAPE, **arguments)


def test_errors():
    with pytest.raises(kvferry.InvalidArgument) as caught:
        kvferry.Pool.allocate(serving.SHAPE, 0)
    error = caught.value
    assert isinstance(error, kvferry.Error)
    assert isinstance(error, ValueError)
    assert error.code == 2
    assert type(error).__module__ == "kvferry"
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)
    bases = {kvferry.Unreachable: ConnectionError, kvferry.DeadlineExceeded: TimeoutError}
    for error, base in bases.items():
        assert issubclass(error, base)
    codes = [c.code for c in kvferry.Error.__subclasses__()]
    assert sorted(codes) == [1, 2, 3, 4, 5, 6, 7]


def test_pools_are_not_made_by_their_class():
    with pytest.raises(TypeError, match=r"Pool\.allocate"):
        kvferry.Pool()
