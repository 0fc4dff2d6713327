"""What an array of any library says of its memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kvferry import _core
from kvferry._errors import InvalidArgument, Refused
from kvferry._shape import dtype_name

__all__ = ["Array", "describe"]

# DLPack's numbers.
_CPU, _CUDA, _CUDA_HOST = 1, 2, 3
_DLPACK_DTYPES = {
    (0, 8): "int8",
    (2, 16): "fp16",
    (2, 32): "fp32",
    (4, 16): "bf16",
    (10, 8): "fp8_e4m3",
    (12, 8): "fp8_e5m2",
}


@dataclass(frozen=True, slots=True)
class Array:
    """An array's memory. Strides in bytes; `owner` keeps it alive."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    item_bytes: int
    dtype: str
    cuda: bool
    ordinal: int
    read_only: bool
    owner: object

    @property
    def device(self) -> str:
        return f"cuda:{self.ordinal}" if self.cuda else "cpu"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.item_bytes

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape} on {self.device}"


def describe(obj: Any) -> Array:
    """Of a torch tensor, or of anything with an array interface or DLPack.

    Raises:
        InvalidArgument: It is no such array.
        Refused: Its memory cannot be moved from or to.
    """
    module = type(obj).__module__.partition(".")[0]
    if module == "torch" or hasattr(obj, "data_ptr"):
        return _from_torch(obj)
    for name in ("__cuda_array_interface__", "__array_interface__"):
        interface = getattr(obj, name, None)
        if isinstance(interface, dict):
            return _from_interface(obj, interface, cuda=name.startswith("__cuda"))
    return _from_dlpack(obj, module)


def _from_torch(tensor: Any) -> Array:
    kind = tensor.device.type
    if kind not in ("cpu", "cuda"):
        raise Refused(f"the tensor is on {tensor.device}; kvferry moves CPU and CUDA memory")
    if str(tensor.layout) != "torch.strided":
        raise Refused(f"the tensor's layout is {tensor.layout}; a cache is a strided tensor")
    item_bytes = tensor.element_size()
    return Array(
        address=tensor.data_ptr(),
        shape=tuple(tensor.shape),
        strides=tuple(stride * item_bytes for stride in tensor.stride()),
        item_bytes=item_bytes,
        dtype=dtype_name(tensor.dtype),
        cuda=kind == "cuda",
        ordinal=tensor.device.index or 0,
        read_only=False,
        # Of a view, too, the storage stays; a detached one keeps no graph.
        owner=tensor.detach(),
    )


def _from_interface(obj: Any, interface: dict[str, Any], *, cuda: bool) -> Array:
    shape = tuple(interface["shape"])
    item_bytes = int(interface["typestr"][2:])
    strides = interface.get("strides")
    if strides is None:
        strides = _dense_strides(shape, item_bytes)
    data = interface.get("data")
    if not isinstance(data, tuple):
        raise Refused(f"a {type(obj).__qualname__} does not say where its memory is")
    address, read_only = data
    return Array(
        address=address,
        shape=shape,
        strides=tuple(strides),
        item_bytes=item_bytes,
        # As the array itself says: typestr has no name for bfloat16.
        dtype=dtype_name(getattr(obj, "dtype", interface["typestr"])),
        cuda=cuda,
        ordinal=_ordinal(obj) if cuda else 0,
        read_only=bool(read_only),
        owner=obj,
    )


def _ordinal(obj: Any) -> int:
    """Of CuPy and Numba arrays; kvferry asks the driver where the memory really is."""
    device = getattr(obj, "device", None)
    ordinal = getattr(device, "id", 0)
    return ordinal if isinstance(ordinal, int) else 0


def _from_dlpack(obj: Any, module: str) -> Array:
    found = _core.describe_dlpack(obj) if hasattr(obj, "__dlpack__") else None
    if found is None:
        raise InvalidArgument(
            f"a {type(obj).__module__}.{type(obj).__qualname__} is no array that kvferry can read: give torch "
            "tensors, or arrays with __dlpack__ or __cuda_array_interface__"
        )
    address, shape, strides, code, bits, lanes, device, ordinal, read_only, owner = found
    if device not in (_CPU, _CUDA, _CUDA_HOST) or lanes != 1:
        raise Refused(f"DLPack device {device} with {lanes} lanes: kvferry moves CPU and CUDA memory")
    return Array(
        address=address,
        shape=shape,
        strides=strides,
        item_bytes=bits // 8,
        dtype=_DLPACK_DTYPES.get((code, bits), f"uint{bits}" if code != 2 else f"float{bits}"),
        cuda=device == _CUDA,
        ordinal=ordinal,
        # JAX promises its arrays' users that they never change.
        read_only=read_only or module in ("jax", "jaxlib"),
        owner=(obj, owner),
    )


def _dense_strides(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    return tuple(item_bytes * math.prod(shape[d + 1 :]) for d in range(len(shape)))
