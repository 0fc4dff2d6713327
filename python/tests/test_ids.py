"""Block ids in every form that callers have them in."""

import array

import numpy
import pytest

import kvferry

WANTED = [5, 0, 63, 17]


class OnlyDLPack:
    """An array of a library that has DLPack and nothing else."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


def read_only(values):
    values.flags.writeable = False
    return values


FORMS = {
    "list": WANTED,
    "tuple": tuple(WANTED),
    "numpy ints": [numpy.int64(i) for i in WANTED],
    "array.array": array.array("q", WANTED),
    "memoryview": memoryview(array.array("I", WANTED)),
    "bytes": bytes(WANTED),
    "strided": numpy.repeat(numpy.array(WANTED), 3)[::3],
    "reversed": numpy.array(WANTED[::-1])[::-1],
    "read-only": read_only(numpy.array(WANTED)),
    "dlpack": OnlyDLPack(numpy.array(WANTED)),
    "dlpack, 32 bits": OnlyDLPack(numpy.array(WANTED, dtype=numpy.uint32)),
    **{
        name: numpy.array(WANTED, dtype=name)
        for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(pair, check, form):
    _, pool, peer = pair
    peer.pull(FORMS[form], range(4)).wait()
    check(pool, list(zip(WANTED, range(4), strict=True)))
    peer.pull(range(4), FORMS[form]).wait()
    check(
        pool,
        [
            (theirs, ours)
            for ours, theirs in {**dict(enumerate(WANTED)), **dict(zip(WANTED, range(4), strict=True))}.items()
        ],
    )


@pytest.mark.parametrize("ids", [range(3, 7), range(7, 3, -1), range(0, 64, 9), range(0)])
def test_ranges(pair, check, ids):
    _, pool, peer = pair
    peer.pull(ids, range(len(ids))).wait()
    check(pool, list(zip(ids, range(len(ids)), strict=True)))


def test_no_ids_is_nothing_to_do(pair):
    _, _, peer = pair
    assert peer.pull([], []).wait().bytes == 0
    assert peer.pull(numpy.array([], dtype=numpy.int64), ()).wait().bytes == 0


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([1, -1], r"remote_ids\[1\] is -1"),
        ([1 << 32], r"remote_ids\[0\] is 4294967296"),
        ([1 << 70], r"remote_ids\[0\] is 1180591620717411303424"),
        ([1.5], r"remote_ids\[0\] is a float"),
        (["1"], r"remote_ids\[0\] is a str"),
        ("12", r"remote_ids is a str"),
        (7, r"remote_ids is a int"),
        (None, r"remote_ids is a NoneType"),
        (range(-1, 2), r"remote_ids\[0\] is -1"),
        (range(0, -3, -1), r"remote_ids\[2\] is -2"),
        (range(1 << 33, (1 << 33) + 1), r"remote_ids\[0\] is 8589934592"),
        (numpy.array([3, -2]), r"remote_ids\[1\] is -2"),
        (numpy.array([1 << 40]), r"remote_ids\[0\] is 1099511627776"),
        (numpy.array([1 << 63], dtype=numpy.uint64), r"remote_ids\[0\] is 9223372036854775808"),
        (numpy.array([1.0]), "no block ids"),
        (OnlyDLPack(numpy.array([1.0])), "no integers"),
        (numpy.array([[1]]), "2 dimensions"),
        (OnlyDLPack(numpy.array([[1]])), "2 dimensions"),
        ([64], "out of range: the pool has 64"),
        (numpy.array([64]), "out of range: the pool has 64"),
    ],
)
def test_what_is_no_block_id_is_refused(pair, check, ids, says):
    _, pool, peer = pair
    with pytest.raises(kvferry.InvalidArgument, match=says):
        peer.pull(ids, range(len(ids) if hasattr(ids, "__len__") else 1))
    check(pool, [])


def test_a_target_that_comes_twice(pair):
    _, _, peer = pair
    with pytest.raises(kvferry.InvalidArgument, match="can be written once"):
        peer.pull([1, 2], [3, 3])


def test_ids_are_copied_before_the_call_returns(pair, check):
    _, pool, peer = pair
    ids = numpy.array([1, 2], dtype=numpy.uint32)
    step = peer.prepare_pull(ids, [0, 1])
    ids[:] = 63
    step.post().wait()
    check(pool, [(1, 0), (2, 1)])


def test_refused_arrays_are_let_go_of(pair):
    _, _, peer = pair
    values = array.array("d", [1.0, 2.0])
    for _ in range(3):
        with pytest.raises(kvferry.InvalidArgument, match="no block ids"):
            peer.pull(values, values)
    values.append(3.0)  # a BufferError while somebody holds it
