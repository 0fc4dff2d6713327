"""The C ABI by ctypes alone: what any language that can call C has to do."""

import ctypes
import itertools
import os
import select

import pytest

LIBRARY = os.environ.get("KVFERRY_LIBRARY", "libkvferry.so")
HOST = -1
c_text, u32, u64, i32, i64, size_t = (
    ctypes.c_char_p,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.c_size_t,
)


class Sized(ctypes.Structure):
    """A struct of kvferry.h: knows its size, the rest is 0 but for what is given."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class Shape(Sized):
    _fields_ = [("struct_size", size_t)] + [
        (name, u32) for name in ("layers", "kv", "kv_heads", "head_dim", "block_tokens", "dtype")
    ]


class PoolOptions(Sized):
    _fields_ = [
        ("struct_size", size_t),
        ("name", c_text),
        ("tag", c_text),
        ("writable", u32),
        ("reserved", u32),
    ]


Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class AttachOptions(Sized):
    _fields_ = [
        ("struct_size", size_t),
        ("shape", ctypes.POINTER(Shape)),
        ("bases", ctypes.POINTER(ctypes.c_void_p)),
        ("base_count", size_t),
        ("block_stride", u64),
        ("options", ctypes.POINTER(PoolOptions)),
        ("release", Release),
        ("release_user", ctypes.c_void_p),
        ("blocks", u32),
        ("reserved", u32),
    ]


class ListenOptions(Sized):
    _fields_ = [
        ("struct_size", size_t),
        ("ip", c_text),
        ("socket_path", c_text),
        ("permissions", ctypes.c_void_p),
        ("permission_count", size_t),
    ] + [(name, u32) for name in ("port", "no_tcp", "insecure", "reserved")]


class TransferOptions(Sized):
    _fields_ = [
        ("struct_size", size_t),
        ("tag", u64),
        ("deadline_ns", i64),
        ("notice", c_text),
        ("remote_pool", c_text),
        ("path", c_text),
        ("stream", ctypes.c_void_p),
        ("use_stream", u32),
        ("layer_begin", u32),
        ("layer_end", u32),
        ("copy", i32),
        ("max_sms", u32),
        ("allow_slow", u32),
        ("notify_completion", u32),
        ("reserved", u32),
    ]


class Report(Sized):
    _fields_ = (
        [("struct_size", size_t), ("path", c_text), ("method", c_text)]
        + [(name, u64) for name in ("bytes", "blocks", "layers", "pieces")]
        + [(name, ctypes.c_double) for name in ("post_s", "move_s", "sync_s", "total_s")]
    )


class Completion(Sized):
    _fields_ = [
        ("struct_size", size_t),
        ("transfer", ctypes.c_void_p),
        ("tag", u64),
        ("state", i32),
        ("reserved", u32),
    ]


class Failed(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Kvferry:
    """kvferry.node_port(node, byref(port)): calls that end with `error` get one, and raise what is in it."""

    def __init__(self):
        self.library = ctypes.CDLL(LIBRARY)
        self.library.kvferry_error_message.restype = c_text
        self.library.kvferry_build.restype = c_text
        self.library.kvferry_peer_name.restype = c_text

    def __getattr__(self, name):
        function = self.library[f"kvferry_{name}"]

        def call(*arguments):
            error = ctypes.c_void_p()
            code = function(*arguments, ctypes.byref(error))
            if code:
                message = self.library.kvferry_error_message(error).decode()
                self.library.kvferry_error_free(error)
                raise Failed(code, message)

        return call

    def make(self, name, *arguments):
        """A handle: the result before `error`."""
        handle = ctypes.c_void_p()
        getattr(self, name)(*arguments, ctypes.byref(handle))
        return handle

    def free(self, kind, handle):
        self.library[f"kvferry_{kind}_free"](handle)


@pytest.fixture(scope="module")
def kvferry():
    if os.environ.get("KVFERRY_SANITIZE"):
        pytest.skip(f"Python cannot load a library built with -fsanitize={os.environ['KVFERRY_SANITIZE']}")
    return Kvferry()


SMALL = {
    "layers": 3,
    "kv": 2,
    "kv_heads": 1,
    "head_dim": 8,
    "block_tokens": 4,
    "dtype": 1,
}  # blocks of 128 bytes
BYTES = 8 * 128


@pytest.fixture
def two(kvferry, tmp_path):
    """A node that serves 8 blocks of 0x5a, one with 8 of 0, and the connection between them."""
    shape = Shape(**SMALL)
    pools, nodes = [], []
    for fill in (0x5A, 0):
        options = PoolOptions(writable=1)
        pools.append(kvferry.make("pool_allocate", i32(HOST), ctypes.byref(shape), u32(8), ctypes.byref(options)))
        for layer in range(3):
            ctypes.memset(address(kvferry, pools[-1], layer), fill, BYTES)
        nodes.append(kvferry.make("node_create", None))
        kvferry.node_add(nodes[-1], pools[-1])
    socket = str(tmp_path / "s").encode()
    kvferry.node_listen(nodes[0], ctypes.byref(ListenOptions(socket_path=socket)))
    port = ctypes.c_uint16()
    kvferry.node_port(nodes[0], ctypes.byref(port))
    peer = kvferry.make("node_connect", nodes[1], f"127.0.0.1:{port.value}".encode(), None)
    yield pools, nodes, peer
    kvferry.free("peer", peer)
    for node, pool in zip(nodes, pools, strict=True):
        kvferry.free("node", node)
        kvferry.free("pool", pool)


def address(kvferry, pool, layer):
    at = ctypes.c_void_p()
    kvferry.pool_layer(pool, u32(layer), u32(0), ctypes.byref(at))
    return at.value


def ids(*numbers):
    return (u32 * len(numbers))(*numbers)


def test_version(kvferry):
    assert kvferry.library.kvferry_abi_version() // 1000 == 1
    assert kvferry.library.kvferry_build().decode().count(".") >= 2


def test_errors_have_codes_and_messages(kvferry):
    shape = Shape(**{**SMALL, "layers": 0})
    with pytest.raises(Failed, match="layers") as caught:
        kvferry.make("pool_allocate", i32(HOST), ctypes.byref(shape), u32(8), None)
    assert caught.value.code == 2
    node = kvferry.make("node_create", None)
    with pytest.raises(Failed, match="/nonexistent") as caught:
        kvferry.make("node_connect", node, b"unix:/nonexistent/socket", None)
    assert caught.value.code == 3
    kvferry.free("node", node)


def test_pull(kvferry, two):
    pools, _, peer = two
    assert kvferry.library.kvferry_peer_name(peer) == b"pid %d" % os.getpid()
    transfer = kvferry.make("peer_pull", peer, pools[1], ids(7, 0, 3), ids(1, 2, 5), size_t(3), None)
    kvferry.transfer_wait(transfer)
    report = Report()
    kvferry.transfer_get_report(transfer, ctypes.byref(report))
    assert (report.bytes, report.blocks, report.layers, report.path) == (3 * 3 * 128, 3, 3, b"host_shm")
    kvferry.free("transfer", transfer)
    for layer, block in itertools.product(range(3), range(8)):
        bytes_of = ctypes.string_at(address(kvferry, pools[1], layer) + block * 128, 128)
        assert bytes_of == bytes([0x5A if block in (1, 2, 5) else 0]) * 128


def test_push_completion_and_eventfd(kvferry, two):
    pools, nodes, peer = two
    options = TransferOptions(tag=42, notify_completion=1, deadline_ns=10 * 10**9)
    transfer = kvferry.make("peer_push", peer, pools[1], ids(0), ids(0), size_t(1), ctypes.byref(options))
    fd = ctypes.c_int()
    kvferry.node_event_fd(nodes[1], ctypes.byref(fd))
    assert select.select([fd.value], [], [], 10)[0]
    completion = Completion()
    kvferry.node_next_completion(nodes[1], ctypes.byref(completion))
    assert (completion.tag, completion.state) == (42, 1)
    for handle in (ctypes.c_void_p(completion.transfer), transfer):
        kvferry.free("transfer", handle)
    assert ctypes.string_at(address(kvferry, pools[0], 2), 128) == bytes(128)


def test_attached_memory_is_released(kvferry):
    memory = ctypes.create_string_buffer(3 * BYTES)
    base = ctypes.addressof(memory)
    bases = (ctypes.c_void_p * 3)(*(base + layer * BYTES for layer in range(3)))
    released = []
    release = Release(released.append)
    shape = Shape(**SMALL)
    options = AttachOptions(
        shape=ctypes.pointer(shape), bases=bases, base_count=3, blocks=8, release=release, release_user=77
    )
    pool = kvferry.make("pool_attach", ctypes.byref(options))
    assert released == []
    kvferry.free("pool", pool)
    assert released == [77]


def test_ten_thousand_transfers_leak_nothing(kvferry, two):
    pools, _, peer = two

    def move(times):
        for _ in range(times):
            transfer = kvferry.make("peer_pull", peer, pools[1], ids(7, 3), ids(1, 2), size_t(2), None)
            kvferry.transfer_wait(transfer)
            kvferry.free("transfer", transfer)
            with pytest.raises(Failed):
                kvferry.make("peer_pull", peer, pools[1], ids(9), ids(1), size_t(1), None)

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # A leak shows in every round. Messages that wait for a busy node's thread show in some.
    grown = []
    move(1000)
    fds = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        before = resident()
        move(2000)
        grown.append(resident() - before)
    assert len(os.listdir("/proc/self/fd")) == fds
    assert min(grown) < 64 << 10, f"bytes grown in each round of 2000 transfers: {grown}"
