"""kvferry moves blocks of a paged KV cache between processes: GPU or host memory, at the rate of the wires.

One process serves its cache, another pulls blocks of it by their ids:

    pool = kvferry.Pool.allocate(kvferry.CacheShape(), blocks=100, device="cuda:0")
    with kvferry.Node("prefill-0") as node:
        node.add(pool)
        node.listen("127.0.0.1:5555")

    peer = node.connect("127.0.0.1:5555")
    peer.pull(remote_ids=[7, 3, 42], local_ids=[0, 1, 2]).wait()     # or: await peer.pull(...)

See `Pool` for memory, `Node` for who is there, `Peer` for what moves, and `Transfer` for waiting.
"""

from __future__ import annotations

from kvferry import _core
from kvferry._credentials import Credentials, Permission
from kvferry._errors import (
    Cancelled,
    DeadlineExceeded,
    Error,
    InvalidArgument,
    Refused,
    ResourceError,
    TransferFailed,
    Unreachable,
)
from kvferry._events import Notice
from kvferry._node import Node, PeerEvent
from kvferry._peer import Explanation, Peer, RemotePool, TransferOptions, Verdict
from kvferry._pool import Layer, Pool
from kvferry._shape import CacheShape
from kvferry._transfer import PreparedTransfer, StatusWord, Transfer, TransferReport

__all__ = [
    "CacheShape",
    "Cancelled",
    "Credentials",
    "DeadlineExceeded",
    "Error",
    "Explanation",
    "InvalidArgument",
    "Layer",
    "Node",
    "Notice",
    "Peer",
    "PeerEvent",
    "Permission",
    "Pool",
    "PreparedTransfer",
    "Refused",
    "RemotePool",
    "ResourceError",
    "StatusWord",
    "Transfer",
    "TransferFailed",
    "TransferOptions",
    "TransferReport",
    "Unreachable",
    "Verdict",
    "build_description",
    "cuda_device_count",
]

__version__: str = _core.version()


def build_description() -> str:
    """What this build can do: `"0.1.0, CUDA 13.0 (sm_80 sm_90 sm_100 PTX)"` or `"0.1.0, without CUDA"`."""
    return _core.build_description()


def cuda_device_count() -> int:
    """GPUs that this process can use: 0 where there is no driver, no GPU, or a build without CUDA."""
    return _core.cuda_device_count()[0]
