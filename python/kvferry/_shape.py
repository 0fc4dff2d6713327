"""The geometry of a cache."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvferry import _core

__all__ = ["CacheShape", "dtype_name"]

_Fields = tuple[int, int, int, int, int, str]

# What NumPy, PyTorch, JAX and safetensors call them.
_DTYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8_e4m3",
    "float8_e4m3": "fp8_e4m3",
    "float8_e5m2": "fp8_e5m2",
}


def dtype_name(dtype: object) -> str:
    """The name kvferry uses for a dtype given as text, or as a dtype of PyTorch, NumPy or JAX."""
    if isinstance(dtype, type):  # numpy.float32, jax.numpy.bfloat16
        text = dtype.__name__
    else:
        name = getattr(dtype, "name", None)  # numpy.dtype
        text = name if isinstance(name, str) else str(dtype).removeprefix("torch.")
    return _DTYPES.get(text, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What one block of a paged KV cache is.

    A cache has `layers` tensors; each is cut into blocks of `block_tokens` tokens; a block holds, for every
    token, `kv` x `kv_heads` x `head_dim` elements. The defaults are Mistral-Small-3.1 as vLLM caches it.
    Both sides of a transfer must have the same shape.

    A value: frozen, comparable, hashable, picklable.

    Args:
        layers: Attention layers, 1 to 65,536.
        kv: 2 for keys and values; 1 for an MLA latent.
        kv_heads: Key-value heads of this rank, 1 to 65,536.
        head_dim: Elements of one head, 1 to 65,536.
        block_tokens: Tokens in a block, 1 to 65,536.
        dtype: `"bf16"`, `"fp16"`, `"fp32"`, `"fp8_e4m3"`, `"fp8_e5m2"` or `"int8"`, or a dtype of PyTorch,
            NumPy or JAX that is one of these.

    Raises:
        InvalidArgument: A field is zero or beyond its bound, or a block would exceed 1 GiB.
    """

    layers: int = 40
    kv: int = 2
    kv_heads: int = 8
    head_dim: int = 128
    block_tokens: int = 16
    dtype: str = "bf16"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))
        for field in ("layers", "kv", "kv_heads", "head_dim", "block_tokens"):
            value = getattr(self, field).__index__()
            if not 0 <= value < 1 << 32:
                from kvferry._errors import InvalidArgument

                raise InvalidArgument(f"{field} is {value}; give 1 or more")
            object.__setattr__(self, field, value)
        _core.check_shape(self._fields())

    def _fields(self) -> _Fields:
        return (self.layers, self.kv, self.kv_heads, self.head_dim, self.block_tokens, self.dtype)

    @classmethod
    def _of(cls, fields: _Fields) -> CacheShape:
        layers, kv, kv_heads, head_dim, block_tokens, dtype = fields
        return cls(
            layers=layers,
            kv=kv,
            kv_heads=kv_heads,
            head_dim=head_dim,
            block_tokens=block_tokens,
            dtype=dtype,
        )

    @property
    def block_bytes(self) -> int:
        """Bytes of one block in one layer: `kv * kv_heads * head_dim * block_tokens * dtype_bytes`."""
        return _core.block_bytes(self._fields())

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one element: 1, 2 or 4."""
        return _core.dtype_bytes(self.dtype)

    def blocks_for(self, memory_bytes: int) -> int:
        """Blocks per layer that fit a memory budget in bytes, over all layers, rounded down.

        4 GiB of the default shape: 1638. Zero where not even one block of every layer fits.
        """
        return _core.blocks_for(self._fields(), memory_bytes)

    def blocks_for_tokens(self, tokens: int) -> int:
        """Blocks that hold so many tokens: `ceil(tokens / block_tokens)`."""
        return -(-tokens // self.block_tokens)

    @classmethod
    def from_model_config(
        cls,
        config: str | os.PathLike[str] | Mapping[str, Any] | object,
        *,
        block_tokens: int = 16,
        dtype: object = None,
    ) -> CacheShape:
        """The geometry that a Hugging Face model configuration describes.

        Understands nested `text_config`, Llama, Qwen, Mixtral, GPT-OSS, and MLA latents (DeepSeek: `kv` 1 and
        one head of `kv_lora_rank + qk_rope_head_dim`). It is the whole model's: with tensor parallelism divide
        `kv_heads` yourself.

        Args:
            config: Path of a `config.json` or of the directory that holds it; its text; a dict; or an object
                with `to_dict()`, such as a `transformers.PretrainedConfig`.
            block_tokens: Tokens in a block, which is not the model's to say.
            dtype: Of the cache; None: the configuration's `torch_dtype` (or `dtype`), else bf16.

        Raises:
            InvalidArgument: A field is missing or odd; nothing is guessed.
            OSError: The file cannot be read.
        """
        base = cls(block_tokens=block_tokens)
        fields = _core.shape_from_model_config(_config_text(config), base._fields())
        shape = cls._of(fields)
        if dtype is None:
            return shape
        return cls._of((*shape._fields()[:5], dtype_name(dtype)))

    def __str__(self) -> str:
        return _core.shape_text(self._fields())


def _config_text(config: str | os.PathLike[str] | Mapping[str, Any] | object) -> str:
    if isinstance(config, str) and config.lstrip().startswith("{"):
        return config
    if isinstance(config, str | os.PathLike):
        path = os.fspath(config)
        if os.path.isdir(path):
            path = os.path.join(path, "config.json")
        with open(path, encoding="utf-8") as file:
            return file.read()
    to_dict = getattr(config, "to_dict", None)
    fields = to_dict() if callable(to_dict) else config
    # A torch.dtype in it is written as its name.
    return json.dumps(fields, default=lambda value: str(value).removeprefix("torch."))
