"""A paged KV cache in the memory of a kvferry pool, as transformers wants to see it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache


class BlockAllocator:
    """Block ids of one pool. They are given out in no order, as they are after a minute of use."""

    def __init__(self, blocks: int, seed: int) -> None:
        self._free = list(range(blocks))
        random.Random(seed).shuffle(self._free)

    def take(self, count: int) -> list[int]:
        if count > len(self._free):
            raise RuntimeError(f"{count} blocks are needed and {len(self._free)} are free: a larger pool, please")
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give_back(self, blocks: Sequence[int]) -> None:
        self._free += blocks


@dataclass
class CachedSequence:
    """The tokens of one request that are in the cache: `length` of them, in these blocks, in order."""

    blocks: list[int]
    length: int = 0


class PagedCache(DynamicCache):
    """The cache of a batch of sequences. New keys and values go into their blocks; attention gets copies in
    which the sequences lie side by side, filled up at the end (an engine would have a kernel that reads the
    blocks in place).

    `layers`: one tensor (blocks, 2, block tokens, heads, head dim) for each layer of the model.

    Inherits from DynamicCache to be taken for a cache by every version of transformers, and for nothing else.
    """

    def __init__(
        self, layers: Sequence[torch.Tensor], allocator: BlockAllocator, sequences: Sequence[CachedSequence]
    ) -> None:
        super().__init__()
        self._tensors = layers
        self._block_tokens = int(layers[0].shape[2])
        self._allocator = allocator
        self._sequences = sequences
        self._device = layers[0].device

    def begin(self, tokens: int) -> None:
        """The next forward adds so many tokens to each sequence."""
        if tokens > 1 and (len(self._sequences) > 1 or self._sequences[0].length > 0):
            raise ValueError("a prompt is prefilled alone and at once; then one token at a time")
        size = self._block_tokens
        for sequence in self._sequences:
            missing = -(-(sequence.length + tokens) // size) - len(sequence.blocks)
            sequence.blocks += self._allocator.take(missing)
        positions = [range(s.length, s.length + tokens) for s in self._sequences]
        self._is_prefill = self._sequences[0].length == 0
        self.position_ids = self._tensor([list(p) for p in positions])
        self._to_block = self._tensor(
            [s.blocks[p // size] for s, ps in zip(self._sequences, positions, strict=True) for p in ps]
        )
        self._to_slot = self._tensor([p % size for ps in positions for p in ps])
        # Shorter sequences repeat their first block: what lies there is masked, but must be numbers.
        longest = max(len(s.blocks) for s in self._sequences)
        self._table = self._tensor([s.blocks + s.blocks[:1] * (longest - len(s.blocks)) for s in self._sequences])
        self._lengths = self._tensor([s.length + tokens for s in self._sequences])

    def mask(self, dtype: torch.dtype) -> torch.Tensor | None:
        """What attention may see: of a batch, each its own; of a prompt, what came before (None)."""
        if self._is_prefill:
            return None
        seen = torch.arange(self._table.shape[1] * self._block_tokens, device=self._device) < self._lengths[:, None]
        mask = torch.zeros(seen.shape, dtype=dtype, device=self._device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None, None, :]

    def end(self, tokens: int) -> None:
        for sequence in self._sequences:
            sequence.length += tokens

    # What the model calls. Keys and values: (batch, heads, tokens, head dim).

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        layer = self._tensors[layer_idx]
        for part, states in enumerate((key_states, value_states)):
            layer[self._to_block, part, self._to_slot] = states.transpose(1, 2).flatten(0, 1)
        if self._is_prefill:
            return key_states, value_states
        blocks = layer[self._table]  # (batch, blocks, 2, block tokens, heads, head dim)
        keys, values = (blocks[:, :, part].flatten(1, 2).transpose(1, 2) for part in (0, 1))
        return keys, values

    def get_seq_length(self, layer_idx: int | None = 0, *args: Any, **kwargs: Any) -> int:
        return max(sequence.length for sequence in self._sequences)

    # Newer versions ask these for masks that they make themselves.

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self.get_seq_length()

    def get_mask_sizes(self, query: Any, layer_idx: int = 0) -> tuple[int, int]:
        tokens = int(query.shape[0]) if isinstance(query, torch.Tensor) else int(query)
        return self.get_seq_length() + tokens, 0

    def _tensor(self, values: Sequence[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)
