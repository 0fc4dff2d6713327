"""How the cache of prefilled requests reaches the process that decodes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

import kvferry
from model import Model
from paged_cache import CachedSequence

Prompts = Sequence[Sequence[int]]


@dataclass
class Prefilled:
    """What the prefill process says of a batch: where each request's cache lies, and its first token."""

    sequences: list[CachedSequence]
    firsts: list[int]
    seconds: float  # that the prefill took

    def blocks(self) -> list[int]:
        return blocks_of(self.sequences)


class ByKvferry:
    """Pulls the blocks by their ids. The process that owns them does nothing."""

    name = "kvferry"

    def __init__(self, model: Model, address: str) -> None:
        self._model = model
        self._node = kvferry.Node(name="decode")
        self._node.add(model.pool)
        self._peer = self._node.connect(address)
        self.report: Any = None

    def fetch(self, theirs: Prefilled) -> list[CachedSequence]:
        ours = _room_for(self._model, theirs)
        self.report = self._peer.pull(theirs.blocks(), blocks_of(ours)).wait()
        return ours

    def close(self) -> None:
        self._node.close()


class ByDistributed:
    """Gathers the blocks into one tensor, sends that with torch.distributed, and scatters it."""

    def __init__(self, model: Model, init_file: str, rank: int) -> None:
        self._model = model
        backend = "nccl" if model.device.type == "cuda" else "gloo"
        self.name = f"torch.distributed ({backend})"
        if model.device.type == "cuda":
            torch.cuda.set_device(model.device)
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(backend, init_method=f"file://{init_file}", rank=rank, world_size=2)

    def send(self, prefilled: Prefilled) -> None:
        ids = torch.tensor(prefilled.blocks(), device=self._model.device)
        dist.send(torch.stack([layer[ids] for layer in self._model.layers]), dst=1)
        self._model.synchronize()

    def fetch(self, theirs: Prefilled) -> list[CachedSequence]:
        ours = _room_for(self._model, theirs)
        ids = torch.tensor(blocks_of(ours), device=self._model.device)
        layers = self._model.layers
        received = torch.empty((len(layers), len(ids), *layers[0].shape[1:]), dtype=layers[0].dtype, device=ids.device)
        dist.recv(received, src=0)
        for layer, blocks in zip(layers, received, strict=True):
            layer[ids] = blocks
        self._model.synchronize()
        return ours

    def close(self) -> None:
        dist.destroy_process_group()


def blocks_of(sequences: Sequence[CachedSequence]) -> list[int]:
    return [block for sequence in sequences for block in sequence.blocks]


def _room_for(model: Model, theirs: Prefilled) -> list[CachedSequence]:
    return [CachedSequence(model.allocator.take(len(s.blocks)), s.length) for s in theirs.sequences]
