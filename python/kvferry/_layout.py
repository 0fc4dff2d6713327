"""From the tensors of an engine's cache to planes: where block 0 of each layer is, and the way to the next.

Pure: no memory is touched. A plane is one layer, or one layer's keys or values where they are apart; in each, a
block is one dense row of bytes. Whatever order the bytes of a block have stays the engine's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvferry._arrays import Array
from kvferry._errors import InvalidArgument, Refused
from kvferry._shape import CacheShape

__all__ = ["Planes", "derive", "shape_from_layout"]

OUTER = ("layers", "blocks", "kv")
INNER = ("tokens", "heads", "dim")
_NAMES = (*OUTER, *INNER, "slots")
_OPAQUE = ("uint8", "uint16", "uint32", "void16", "void8")


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension: its size, and the bytes from one index to the next."""

    size: int
    stride: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Planes:
    """What `_core.attach` takes, and in which order the elements of a block lie ('' where unknown)."""

    blocks: int
    addresses: tuple[int, ...]
    block_stride: int
    parts: int
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """One way to read a tensor: strides of the outer dimensions, and what is within a block."""

    layer_stride: int
    block_stride: int
    kv_stride: int  # 0: no such dimension, or joint
    order: tuple[str, ...]
    text: str

    @property
    def where(self) -> tuple[int, int, int]:
        return (self.layer_stride, self.block_stride, self.kv_stride)


def shape_from_layout(array: Array, layers: int, pairs: bool, layout: str) -> CacheShape:
    """The shape that named dimensions give."""
    names = _parse(layout)
    if not names or "slots" in names:
        raise InvalidArgument(
            f"layout '{layout}' does not give the geometry; give shape=CacheShape(...), or name every dimension"
        )
    sizes = dict(zip(names, array.shape, strict=False))
    return CacheShape(
        layers=sizes.get("layers", layers),
        kv=2 if pairs else sizes.get("kv", 1),
        kv_heads=sizes.get("heads", 1),
        head_dim=sizes["dim"],
        block_tokens=sizes["tokens"],
        dtype=array.dtype,
    )


def derive(
    tensors: Sequence[Array] | Sequence[tuple[Array, Array]],
    shape: CacheShape,
    blocks: int | None,
    layout: str,
) -> Planes:
    """The planes of one tensor a layer, of a (K, V) pair a layer, or of one tensor with all layers.

    Raises:
        InvalidArgument: Sizes that do not fit, or that could be read in two ways.
        Refused: A layout whose blocks are not dense rows, with what to do.
    """
    flat = [array for item in tensors for array in (item if isinstance(item, tuple) else (item,))]
    pairs = isinstance(tensors[0], tuple)
    _check_alike(flat, shape)
    whole = len(tensors) == 1 and shape.layers > 1
    if not whole and len(tensors) != shape.layers:
        raise InvalidArgument(f"{len(tensors)} layers were given, but the shape has {shape.layers}")
    if pairs and shape.kv != 2:
        raise InvalidArgument("(K, V) pairs were given, but the shape has kv=1")
    found, held = _read(flat[0], shape, layers=whole, kv=shape.kv == 2 and not pairs, layout=layout)
    count = held if blocks is None else blocks
    if count > held:
        raise InvalidArgument(f"blocks is {count}, but {flat[0]} holds {held} of {shape.block_bytes} bytes")
    bases = [array.address for array in flat]
    if whole:
        bases = [base + layer * found.layer_stride for layer in range(shape.layers) for base in bases]
    parts = 2 if pairs else 1
    if found.kv_stride:
        bases = [base + part * found.kv_stride for base in bases for part in (0, 1)]
        parts = 2
    return Planes(count, tuple(bases), found.block_stride, parts, found.order)


def _check_alike(arrays: Iterable[Array], shape: CacheShape) -> None:
    first, *others = arrays
    for at, array in enumerate(others, start=1):
        if (array.shape, array.strides, array.dtype) != (first.shape, first.strides, first.dtype):
            raise Refused(
                f"tensor {at} is {array} with strides {array.strides}, tensor 0 {first} with {first.strides}: "
                "the layers of a pool are alike; attach those that differ as pools of their own"
            )
        if array.device != first.device:
            raise InvalidArgument(f"tensor {at} is on {array.device}, tensor 0 on {first.device}: one device a pool")
    if first.dtype != shape.dtype and first.dtype not in _OPAQUE and not first.dtype.startswith("|V"):
        raise InvalidArgument(f"the tensors hold {first.dtype}, the shape says {shape.dtype}")


def _read(array: Array, shape: CacheShape, *, layers: bool, kv: bool, layout: str) -> tuple[_Found, int]:
    """How the tensor is to be read, and how many blocks it holds."""
    rows = shape.layers if layers else 1
    per_block = shape.block_bytes if kv or shape.kv == 1 else shape.block_bytes // 2
    held, rest = divmod(array.nbytes, rows * per_block)
    if held == 0 or rest:
        raise InvalidArgument(
            f"{array} has {array.nbytes:,} bytes, which is no whole number of blocks: one block is {per_block:,} "
            f"bytes of {shape}" + (f" in each of {rows} layers" if layers else "")
        )
    wanted = {"blocks": held}
    if layers:
        wanted["layers"] = rows
    if kv:
        wanted["kv"] = 2
    names = _parse(layout)
    options = [_named(array, names, wanted, shape)] if names else _possible(array, wanted, shape)
    if not options and kv:
        # Keys and values may be one dimension with others: a flat block.
        options = _possible(array, {name: size for name, size in wanted.items() if name != "kv"}, shape)
    return _choose(array, options, wanted, shape, layout), held


def _dims(array: Array) -> list[Dim]:
    """With the bytes of an element as the last one."""
    pairs = zip(array.shape, array.strides, strict=True)
    return [*(Dim(size, stride) for size, stride in pairs), Dim(array.item_bytes, 1, "byte")]


def _named(array: Array, names: tuple[str, ...], wanted: dict[str, int], shape: CacheShape) -> list[Dim]:
    if len(names) != len(array.shape):
        raise InvalidArgument(f"the layout names {len(names)} dimensions, {array} has {len(array.shape)}")
    sizes = {"tokens": shape.block_tokens, "heads": shape.kv_heads, "dim": shape.head_dim, **wanted}
    sizes["slots"] = wanted["blocks"] * shape.block_tokens
    out: list[Dim] = []
    for name, dim in zip(names, _dims(array), strict=False):
        expected = sizes.get(name, 1)
        if dim.size != expected:
            raise InvalidArgument(f"{array}: its dimension '{name}' has size {dim.size}, not {expected}")
        out += _split(dim, shape) if name == "slots" else [Dim(dim.size, dim.stride, name)]
    given = {dim.name for dim in out}
    for name, size in {**sizes, "slots": 1}.items():
        if size > 1 and name not in given:
            raise InvalidArgument(f"the layout does not name '{name}', which has size {size}")
    return [*out, Dim(array.item_bytes, 1, "byte")]


def _split(slots: Dim, shape: CacheShape) -> list[Dim]:
    tokens = shape.block_tokens
    return [Dim(slots.size // tokens, slots.stride * tokens, "blocks"), Dim(tokens, slots.stride, "tokens")]


def _possible(array: Array, wanted: dict[str, int], shape: CacheShape) -> list[list[Dim]]:
    """Every assignment of the outer names to dimensions of their size; the rest is within a block."""
    dims = [dim for dim in _dims(array) if dim.size > 1 or dim.name]
    names = [name for name, size in wanted.items() if size > 1]
    options: list[list[Dim]] = []
    slots = wanted["blocks"] * shape.block_tokens
    for start in ([], ["slots"]):
        if start and ("blocks" not in names or shape.block_tokens == 1):
            continue
        looked_for = [("slots" if start and name == "blocks" else name) for name in names]
        sizes = {**wanted, "slots": slots}
        for places in itertools.permutations(range(len(dims) - 1), len(looked_for)):
            if any(dims[at].size != sizes[name] for at, name in zip(places, looked_for, strict=True)):
                continue
            of = dict(zip(places, looked_for, strict=True))
            option: list[Dim] = []
            for at, dim in enumerate(dims):
                if of.get(at) == "slots":
                    option += _split(dim, shape)
                else:
                    option.append(Dim(dim.size, dim.stride, of.get(at, dim.name)))
            options.append(option)
    return options


def _choose(array: Array, options: list[list[Dim]], wanted: dict[str, int], shape: CacheShape, layout: str) -> _Found:
    if not options:
        sizes = ", ".join(f"{name} {size}" for name, size in wanted.items())
        raise InvalidArgument(
            f"{array} has no dimensions of {sizes} around blocks of {shape}; if it has the right sizes in another "
            "form, name its dimensions: layout='kv blocks tokens heads dim', say"
        )
    # Engines put what is outside a block first, but for keys and values.
    usual = [option for option in options if _outer_first(option)] or options
    refusals: list[str] = []
    found: dict[tuple[int, int, int], _Found] = {}
    for option in usual:
        read = _rows(option, shape, layout)
        if isinstance(read, str):
            refusals.append(read)
        else:
            found.setdefault(read.where, read)
    if not found:
        raise Refused(
            f"{array} with strides {array.strides} cannot be moved: {refusals[0]}; make the cache with dense blocks "
            "(any order within a block, any distance between blocks), or copy it into a Pool.allocate pool"
        )
    if len(found) > 1:
        texts = " or ".join(f"'{read.text}'" for read in found.values())
        raise InvalidArgument(f"{array} can be read in {len(found)} ways: say which with layout={texts}")
    return next(iter(found.values()))


def _outer_first(dims: Sequence[Dim]) -> bool:
    at = [i for i, dim in enumerate(dims) if dim.name in ("layers", "blocks")]
    inner = [i for i, dim in enumerate(dims) if dim.name not in OUTER]
    return max(at, default=-1) < min(inner)


def _rows(dims: Sequence[Dim], shape: CacheShape, layout: str) -> _Found | str:
    """The reading of one assignment, or why it is none that can be moved."""
    for dim in dims:
        if dim.size > 1 and dim.stride <= 0:
            return f"a stride of {dim.stride} bytes (reversed or repeated elements)"
    outer = {dim.name: dim.stride for dim in dims if dim.name in OUTER}
    inner = [dim for dim in dims if dim.name not in OUTER and dim.size > 1]
    kv = [dim for dim in dims if dim.name == "kv" and dim.size > 1]
    text = " ".join(dim.name or "..." for dim in dims if dim.name != "byte")
    joint = bool(kv) and _dense([*inner, *kv])
    if not joint and not _dense(inner):
        strides = sorted(((dim.stride, dim.size) for dim in inner), reverse=True)
        return "within a block the elements are not adjacent: " + ", ".join(f"{n} x {s} bytes" for s, n in strides)
    row = math.prod(dim.size for dim in inner) * (2 if joint else 1)
    return _Found(
        layer_stride=outer.get("layers", 0),
        block_stride=outer.get("blocks", row),
        kv_stride=0 if joint or not kv else kv[0].stride,
        order=_order([*inner, *kv] if joint else inner, row, shape, layout),
        text=" ".join(dict.fromkeys(text.split(" "))) if "..." in text else text,
    )


def _dense(dims: Iterable[Dim]) -> bool:
    expected = 1
    for dim in sorted(dims, key=lambda d: d.stride):
        if dim.stride != expected:
            return False
        expected *= dim.size
    return True


def _order(dims: Iterable[Dim], row: int, shape: CacheShape, layout: str) -> tuple[str, ...]:
    """The names of a block's dimensions as they lie in memory, slowest first; () where sizes do not tell."""
    in_memory = sorted((dim for dim in dims if dim.name != "byte"), key=lambda d: d.stride, reverse=True)
    joint = shape.kv == 2 and row == shape.block_bytes
    sizes = {"tokens": shape.block_tokens, "heads": shape.kv_heads, "dim": shape.head_dim}
    if joint:
        sizes["kv"] = 2
    orders = [order for order in itertools.permutations(sizes) if _fits(in_memory, order, sizes)]
    wish = layout.strip().upper()
    if wish in ("NHD", "HND"):
        wanted = ("tokens", "heads", "dim") if wish == "NHD" else ("heads", "tokens", "dim")
        orders = [order for order in orders if tuple(n for n in order if n != "kv") == wanted]
        if not orders:
            raise InvalidArgument(f"layout='{layout}', but the blocks' strides are of another order")
    # A dimension of one element may stand anywhere: where it usually does.
    usual = [order for order in orders if order[-1] == "dim"]
    if len({tuple(n for n in order if sizes[n] > 1) for order in usual or orders}) > 1:
        return ()
    best = [order for order in usual if order[:1] == ("kv",)] or usual or orders
    nhd = [order for order in best if order.index("tokens") < order.index("heads")]
    return (nhd or best or [()])[0]


def _fits(in_memory: Sequence[Dim], order: Sequence[str], sizes: dict[str, int]) -> bool:
    """Whether dimensions of these sizes are this order's, some of them perhaps merged into one."""
    names = [name for name in order if sizes[name] > 1]
    for dim in in_memory:
        left = dim.size
        if dim.name:
            if names[:1] != [dim.name]:
                return False
            names.pop(0)
            continue
        while left > 1:
            if not names or left % sizes[names[0]]:
                return False
            left //= sizes[names.pop(0)]
    return not names


def _parse(layout: str) -> tuple[str, ...]:
    """The names of an explicit layout; () for 'auto', 'NHD' and 'HND'."""
    if layout.strip().lower() in ("auto", "nhd", "hnd"):
        return ()
    names = tuple(layout.replace(",", " ").replace("(", " ").replace(")", " ").split())
    unknown = [name for name in names if name not in _NAMES]
    if unknown or len(set(names)) != len(names) or not names:
        raise InvalidArgument(
            f"layout '{layout}': give 'auto', 'NHD', 'HND', or the dimensions' names, each once, of "
            + ", ".join(_NAMES)
        )
    return names
