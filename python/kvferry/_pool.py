"""A cache's memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvferry import _background, _core
from kvferry._arrays import Array, describe
from kvferry._errors import InvalidArgument, Refused
from kvferry._layout import derive, shape_from_layout
from kvferry._shape import CacheShape

if TYPE_CHECKING:
    from kvferry._core import Pool as _CorePool

__all__ = ["Layer", "Pool"]

# DLPack's type code and bits. NumPy knows neither bf16 nor fp8: raw=True gives it the bytes.
_DLPACK = {"bf16": (4, 16), "fp16": (2, 16), "fp32": (2, 32), "int8": (0, 8)}
_FP8 = {"fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}
_ORDERS = {"NHD": ("kv", "tokens", "heads", "dim"), "HND": ("kv", "heads", "tokens", "dim")}
_MOST_TAG_BYTES = 256


class Layer:
    """One layer of a pool, to be imported by any array library: `torch.from_dlpack(pool.layer(0))`.

    Speaks DLPack (and the buffer protocol for host memory, so `numpy.asarray` works too, and is
    writable). Nothing is copied; whatever imports it keeps the pool's memory alive.
    """

    __slots__ = ("_view",)

    def __init__(self, view: Any) -> None:
        self._view = view

    def __dlpack__(self, **options: Any) -> Any:
        """The memory as a DLPack capsule."""
        return self._view.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's (device type, device)."""
        device: tuple[int, int] = self._view.__dlpack_device__()
        return device

    def __buffer__(self, flags: int) -> memoryview:
        """Host memory as a buffer (Python 3.12 and later)."""
        return memoryview(self._view)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Host memory as a NumPy array, writable."""
        import numpy

        try:
            array = numpy.asarray(memoryview(self._view))
        except (BufferError, TypeError) as error:
            raise TypeError("NumPy has no such memory: GPU memory, or bf16 (then use raw=True)") from error
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"{dtype} of {array.dtype} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array


class Pool:
    """A KV cache's memory: `shape.layers` tensors of `blocks` blocks on one device.

    Made by `Pool.allocate` or `Pool.attach`. Its memory lives until this object, every node that serves it and every
    array made from it are gone. The bytes are yours to synchronise: a peer reads what is visible when it pulls.

    Thread-safe.
    """

    __slots__ = ("__weakref__", "_core", "_order", "_read_only", "shape")

    shape: CacheShape
    """The geometry."""
    _core: _CorePool
    _order: tuple[str, ...]
    _read_only: bool

    def __init__(self) -> None:
        raise TypeError("use Pool.allocate(...) or Pool.attach(...)")

    @classmethod
    def _of(cls, core: _CorePool, order: tuple[str, ...], *, read_only: bool = False) -> Pool:
        pool = object.__new__(cls)
        pool._core = core
        pool._order = order
        pool._read_only = read_only
        pool.shape = CacheShape._of(core.shape)
        return pool

    @classmethod
    def allocate(
        cls,
        shape: CacheShape,
        blocks: int,
        device: object = "cpu",
        *,
        name: str = "kv",
        tag: str = "",
        writable: bool = False,
        layout: str = "",
    ) -> Pool:
        """Memory of kvferry's own, which every path can use: the fastest choice.

        On the host it is shared memory, prefaulted and zero; on a GPU it is an exportable allocation outside of
        PyTorch's caching allocator, not cleared.

        Args:
            shape: The geometry.
            blocks: Blocks in each layer; `shape.blocks_for(bytes)` says how many fit a budget.
            device: `"cpu"`, `"cuda"`, `"cuda:1"` or a `torch.device`.
            name: Peers pair pools by name: 1 to 64 of `[A-Za-z0-9._-]`.
            tag: Any text for the other side to see, at most 256 bytes.
            writable: Whether peers may push into it. Not enforced by CUDA on a peer that ignores it.
            layout: `"NHD"` or `"HND"`: in which order `layer` and `tensors` show a block, and what peers are told of
                it (see `attach`). Empty: they show NHD, and peers are told nothing.

        Raises:
            InvalidArgument: The shape, no blocks, the name.
            ResourceError: Too little memory, or no such GPU.
        """
        order = _order_of(layout) if layout else _ORDERS["NHD"]
        cuda, ordinal = _device(device)
        tag = tag or (_order_tag(order, shape) if layout else "")
        core = _core.allocate(shape._fields(), blocks, cuda, ordinal, name, tag, writable)
        return cls._of(core, order)

    @classmethod
    def attach(
        cls,
        tensors: Any,
        shape: CacheShape | None = None,
        blocks: int | None = None,
        *,
        layout: str = "auto",
        name: str = "kv",
        tag: str = "",
        writable: bool = False,
    ) -> Pool:
        """Your own tensors as a pool: nothing is copied, and they are kept alive as long as the pool is.

        Understood are torch tensors, and arrays with `__cuda_array_interface__`, `__array_interface__` or DLPack
        (CuPy, Numba, NumPy, JAX), in the layouts of serving engines; sizes and strides tell which:

        - one tensor a layer: `(2, blocks, tokens, heads, dim)`, `(blocks, 2, tokens, heads, dim)`, `(blocks, 2, heads,
          tokens, dim)`, any order of the inner dimensions, `(blocks, tokens, dim)` of MLA, `(slots, heads, dim)` with
          `slots = blocks * tokens`;
        - a `(keys, values)` pair of tensors a layer;
        - a dict of these by layer name, taken in the order of the numbers in the names;
        - one big tensor with all layers, in front, behind the blocks or anywhere else.

        A block must be dense, in any order of its own, and all blocks of a layer equally far apart; what is not is
        refused with the reason. Sub-allocations of PyTorch's caching allocator are fine. Host memory that kvferry did
        not allocate is read by `process_vm_readv`: slower than `Pool.allocate`.

        The shape does not say in which order the elements of a block lie; both sides of a transfer must agree.
        Where sizes and strides tell it and `tag` is empty, the pool's tag says it (`layout=kv,tokens,heads,dim` and
        the like), and transfers between two pools whose tags disagree are refused.

        Args:
            tensors: See above.
            shape: The geometry. None: taken from `layout`, which must then name every dimension.
            blocks: Blocks in each layer. None: as many as the tensors hold.
            layout: `"auto"`; `"NHD"` or `"HND"` to say the order within a block where sizes do not; or the names of
                the dimensions of each tensor, of `layers`, `blocks`, `kv`, `tokens`, `heads`, `dim` and `slots`,
                such as `"kv blocks tokens heads dim"`.
            name: As in `allocate`.
            tag: As in `allocate`.
            writable: As in `allocate`.

        Raises:
            InvalidArgument: Sizes that do not fit, or that could be read in two ways.
            Refused: A layout or a kind of memory that cannot be moved, with the reason.
        """
        arrays = _arrays(tensors)
        first = arrays[0][0] if isinstance(arrays[0], tuple) else arrays[0]
        if shape is None:
            shape = shape_from_layout(first, len(arrays), isinstance(arrays[0], tuple), layout)
        flat = [a for item in arrays for a in (item if isinstance(item, tuple) else (item,))]
        read_only = any(array.read_only for array in flat)
        if read_only and writable:
            raise Refused("the tensors are read-only; without writable=True peers can still pull from them")
        planes = derive(arrays, shape, blocks, layout)
        _background.start()
        core = _core.attach(
            shape._fields(),
            planes.blocks,
            list(planes.addresses),
            planes.block_stride,
            name,
            tag or _order_tag(planes.order, shape),
            writable,
            [array.owner for array in flat],
        )
        return cls._of(core, planes.order, read_only=read_only)

    @property
    def name(self) -> str:
        """What peers pair it by."""
        return self._core.name

    @property
    def tag(self) -> str:
        """The text that peers see."""
        return self._core.tag

    @property
    def blocks(self) -> int:
        """Blocks in each layer."""
        return self._core.blocks

    @property
    def device(self) -> str:
        """`"cpu"` or `"cuda:0"`."""
        return f"cuda:{self._core.ordinal}" if self._core.is_cuda else "cpu"

    @property
    def writable(self) -> bool:
        """Whether peers may push into it."""
        return self._core.writable

    @property
    def generation(self) -> int:
        """Counts the revocations; starts at 1."""
        return self._core.generation

    @property
    def kv_parts(self) -> int:
        """1 where a block's keys and values are adjacent, 2 where they lie in tensors of their own."""
        return self._core.kv_parts

    @property
    def block_stride(self) -> int:
        """Bytes from one block to the next within a layer (or within its keys or values)."""
        return self._core.block_stride

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks of all layers, without what lies between them."""
        return self.shape.block_bytes * self.blocks * self.shape.layers

    def layer(self, layer: int, part: int | None = None, *, raw: bool = False) -> Layer:
        """One layer's memory, without a copy, for `torch.from_dlpack`, `numpy.from_dlpack` and others.

        Its shape is `(blocks, kv, tokens, heads, dim)`, or with `HND` blocks `(blocks, kv, heads, tokens, dim)`: the
        order in memory; `kv` is left out where it is 1 or `part` is given. Where a pool's order is not known, it is
        `(blocks, elements)`. fp8 is shown as uint8.

        Args:
            layer: 0 to `shape.layers - 1`; negative numbers count from the end.
            part: 0 for the keys, 1 for the values. Required where they are apart (`kv_parts` 2).
            raw: `(blocks, bytes)` of uint8 instead, for libraries that do not know the dtype (NumPy and bf16).

        Raises:
            InvalidArgument: No such layer or part.
        """
        layers = self.shape.layers
        if not -layers <= layer < layers:
            raise InvalidArgument(f"layer {layer}: the pool has {layers}")
        if part is not None and not 0 <= part < self.shape.kv:
            raise InvalidArgument(f"part {part}: give 0 (keys) or 1 (values), of a shape with kv=2")
        if part is None and self.kv_parts == 2:
            raise InvalidArgument("keys and values of this pool are apart: give part=0 (keys) or part=1 (values)")
        return Layer(self._view(layer % layers, part, raw))

    def _view(self, layer: int, part: int | None, raw: bool) -> Any:
        core, stride = self._core, self._core.block_stride
        address = core.address(layer, part if part and self.kv_parts == 2 else 0)
        code, bits = (1, 8) if raw else _DLPACK.get(self.shape.dtype, (1, 8))
        row = self.shape.block_bytes // (self.shape.kv if part is not None else 1)
        sizes, strides = self._block_dims(raw, row, bits // 8)
        if part is not None and self.kv_parts == 1 and self.shape.kv == 2:
            if self._order and self._order[0] != "kv":
                raise InvalidArgument(f"keys and values are interleaved in this pool ({','.join(self._order)})")
            address += part * row
        if stride % (bits // 8):
            raise InvalidArgument(f"blocks are {stride} bytes apart, no multiple of {bits // 8}: use raw=True")
        return core.view(address, [self.blocks, *sizes], [stride // (bits // 8), *strides], code, bits)

    def _block_dims(self, raw: bool, row: int, item_bytes: int) -> tuple[list[int], list[int]]:
        """Sizes and strides, in elements, within one block."""
        shape = self.shape
        sizes = [row // item_bytes]
        if not raw and self._order:
            known = {"kv": shape.kv, "tokens": shape.block_tokens, "heads": shape.kv_heads, "dim": shape.head_dim}
            whole = row == shape.block_bytes and shape.kv == 2
            sizes = [known[name] for name in self._order if name != "kv" or whole]
        strides = [1]
        for size in reversed(sizes[1:]):
            strides.insert(0, strides[0] * size)
        return sizes, strides

    def tensors(self) -> list[Any]:
        """Every layer as a torch tensor, or as a `(keys, values)` pair where they are apart; without a copy.

        Shapes as `layer` says; fp8 caches have PyTorch's fp8 dtypes. Imports torch.
        """
        import torch
        import torch.utils.dlpack

        def tensor(layer: int, part: int | None) -> Any:
            value = torch.utils.dlpack.from_dlpack(self.layer(layer, part))
            name = _FP8.get(self.shape.dtype)
            return value.view(getattr(torch, name)) if name else value

        if self.kv_parts == 2:
            return [(tensor(i, 0), tensor(i, 1)) for i in range(self.shape.layers)]
        return [tensor(i, None) for i in range(self.shape.layers)]

    def revoke(self, timeout: float = 5.0) -> None:
        """Withdraws the pool from every node that serves it, and returns when no peer can touch its memory any more.

        New transfers with it are refused, importers are told to drain and unmap. Add it to a node again to serve
        it again. Do this before you free or reuse the memory of an attached pool.

        Args:
            timeout: Seconds.

        Raises:
            DeadlineExceeded: A peer still holds it, which the text names: do not free the memory.
        """
        self._core.revoke(timeout)

    def __repr__(self) -> str:
        return f"<kvferry.Pool '{self.name}': {self.blocks} blocks of {self.shape} on {self.device}>"


def _device(device: object) -> tuple[bool, int]:
    text = str(device)
    if text in ("cpu", "host"):
        return False, 0
    match = re.fullmatch(r"cuda(?::(\d+))?", text)
    if not match:
        raise InvalidArgument(f"device '{text}': give 'cpu', 'cuda' or 'cuda:0'")
    return True, int(match[1] or 0)


def _order_of(layout: str) -> tuple[str, ...]:
    order = _ORDERS.get(layout.upper())
    if order is None:
        raise InvalidArgument(f"layout '{layout}': give 'NHD' or 'HND'")
    return order


def _order_tag(order: tuple[str, ...], shape: CacheShape) -> str:
    """The same for an order with or without its keys and values in it: halves pair with whole blocks."""
    if not order:
        return ""
    if shape.kv == 2 and "kv" not in order:
        order = ("kv", *order)
    sizes = {"tokens": shape.block_tokens, "heads": shape.kv_heads, "dim": shape.head_dim, "kv": shape.kv}
    return "layout=" + ",".join(name for name in order if sizes[name] > 1)


def _arrays(tensors: Any) -> list[Array] | list[tuple[Array, Array]]:
    """One array, or one (K, V) pair, for each layer; or one for all."""
    if isinstance(tensors, Mapping):
        tensors = [tensors[key] for key in _in_layer_order(list(tensors))]
    if not isinstance(tensors, Sequence | Iterable) or hasattr(tensors, "shape"):
        return [describe(tensors)]
    items = list(tensors)
    if not items:
        raise InvalidArgument("no tensors were given")
    if not isinstance(items[0], list | tuple):
        return [describe(item) for item in items]
    pairs: list[tuple[Array, Array]] = []
    for at, item in enumerate(items):
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise InvalidArgument(f"layer {at}: give one tensor, or a (keys, values) pair of two")
        pairs.append((describe(item[0]), describe(item[1])))
    return pairs


def _in_layer_order(names: list[Any]) -> list[Any]:
    """By the numbers in the names: 'model.layers.10.attn' after 'model.layers.9.attn'."""
    if all(isinstance(name, int) for name in names):
        return sorted(names)
    numbers = [[int(n) for n in re.findall(r"\d+", str(name))] for name in names]
    if not all(numbers) or len({tuple(n) for n in numbers}) != len(names):
        raise InvalidArgument(f"the names {names[:3]}... do not number the layers: give a list in their order")
    return [name for _, name in sorted(zip(numbers, names, strict=True), key=lambda item: item[0])]
