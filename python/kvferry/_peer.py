"""A connected node, and what is moved from and to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from kvferry import _core
from kvferry._errors import InvalidArgument, Refused
from kvferry._pool import Pool
from kvferry._shape import CacheShape
from kvferry._transfer import PreparedTransfer, Transfer, stream_handle

if TYPE_CHECKING:
    from kvferry._node import Node

__all__ = ["Explanation", "Peer", "RemotePool", "TransferOptions", "Verdict"]


@dataclass(frozen=True, slots=True)
class RemotePool:
    """A pool that a peer serves."""

    name: str
    tag: str
    shape: CacheShape
    blocks: int
    writable: bool
    """Whether it may be pushed into."""
    generation: int
    device: str
    """`"host"` or `"cuda GPU-<uuid>"`."""


class Verdict(NamedTuple):
    """How one path would serve a pair of pools."""

    path: str
    usable: bool
    slow: bool
    """Slower than what this hardware offers: needs `allow_slow=True`."""
    reason: str
    """What it does, or why it cannot."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which path the bytes between two pools take, and why not another."""

    local_pool: str
    remote_pool: str
    chosen: str
    """The path that transfers take; empty: none."""
    verdicts: list[Verdict]
    """Best first."""


class TransferOptions(TypedDict, total=False):
    """The keyword arguments of `Peer.pull`, `push`, `prepare_pull` and `prepare_push`.

    - `remote_pool`: the peer's pool; default: the one of the local pool's name.
    - `layers`: a `range` or `slice` of step 1, or `(begin, end)`; default: all.
    - `stream`: the transfer starts after the work that is in this stream already, and work put into it later starts
      after the transfer. A `torch.cuda.Stream`, a CuPy stream, a `cudaStream_t` as an int, or `"current"` for
      `torch.cuda.current_stream()` of the pool's device. The host does not wait. Default: none.
    - `deadline`: seconds from the call; past it the transfer ends as `DeadlineExceeded`. Default: none.
    - `notice`: a text of at most 4096 bytes that the peer's node gets once the transfer has landed.
    - `path`: `"auto"`, or a path's name such as `"cuda_ipc"` or `"host_shm"`.
    - `allow_slow`: accept a path that is slower than this hardware offers. Default: False.
    - `copy`: `"auto"`, `"kernel"` (needs SMs) or `"engine"` (needs none). GPU memory only.
    - `max_sms`: at most so many SMs for the copy kernel; 0: as many as help.
    """

    remote_pool: str | None
    layers: range | slice | tuple[int, int] | None
    stream: object
    deadline: float | None
    notice: str | None
    path: str
    allow_slow: bool
    copy: str
    max_sms: int


_DEFAULT = _core.options()


class Peer:
    """A connected node. Made by `Node.connect`. Keeps its node.

    Thread-safe.
    """

    __slots__ = ("__weakref__", "_agreed", "_core", "_node")

    def __init__(self, core: _core.Peer, node: Node) -> None:
        self._core = core
        self._node = node
        self._agreed: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """Who: `"prefill-0 (pid 4711)"`."""
        return self._core.name

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._core.alive

    @property
    def pools(self) -> list[RemotePool]:
        """What it serves, as of when it was connected."""
        return [
            RemotePool(name, tag, CacheShape._of(shape), blocks, writable, generation, device)
            for name, tag, shape, blocks, writable, generation, device in self._core.pools()
        ]

    def explain(self) -> list[Explanation]:
        """For every local pool and the remote pool of its name: the path taken, and for each faster one why not."""
        return [
            Explanation(local, remote, chosen, [Verdict._make(v) for v in verdicts])
            for local, remote, chosen, verdicts in self._core.explain()
        ]

    def pull(
        self, remote_ids: Any, local_ids: Any, pool: Pool | None = None, **options: Unpack[TransferOptions]
    ) -> Transfer:
        """Starts to copy the peer's blocks `remote_ids[i]` into our blocks `local_ids[i]`, in every layer.

        Returns when posted. The first transfer with a pool maps it, which takes some milliseconds; `prepare` does that
        beforehand.

        Args:
            remote_ids: Block ids in the peer's pool: a list, tuple or range, or an array of any integer type (NumPy,
                torch on the CPU, anything with the buffer protocol or DLPack). Copied before the call returns.
            local_ids: As many, each once, in ours.
            pool: Ours. None: the node's only one.
            **options: See `TransferOptions`.

        Raises:
            InvalidArgument: Lengths differ, an id is out of range, a target id comes twice, an option cannot be.
            Refused: No such pool, no path, only a slow one, or layouts that disagree.
            Unreachable: The peer has gone.
            ResourceError: Something local is missing.

        After an exception nothing was written.
        """
        pool, chosen = self._ready(pool, options, reads=False)
        return Transfer(self._core.pull(pool._core, remote_ids, local_ids, chosen), self._node)

    def push(
        self, remote_ids: Any, local_ids: Any, pool: Pool | None = None, **options: Unpack[TransferOptions]
    ) -> Transfer:
        """Starts to copy our blocks `local_ids[i]` into the peer's blocks `remote_ids[i]`, in every layer.

        Arguments and exceptions as `pull`; the peer must serve the pool with `writable=True`, or it is `Refused`.
        """
        pool, chosen = self._ready(pool, options, reads=True)
        return Transfer(self._core.push(pool._core, remote_ids, local_ids, chosen), self._node)

    def prepare_pull(
        self, remote_ids: Any, local_ids: Any, pool: Pool | None = None, **options: Unpack[TransferOptions]
    ) -> PreparedTransfer:
        """The same as `pull`, checked and laid out for many posts. Arguments and exceptions as `pull`."""
        pool, chosen = self._ready(pool, options, reads=False)
        core = self._core.prepare_pull(pool._core, remote_ids, local_ids, chosen)
        return PreparedTransfer(core, self._node)

    def prepare_push(
        self, remote_ids: Any, local_ids: Any, pool: Pool | None = None, **options: Unpack[TransferOptions]
    ) -> PreparedTransfer:
        """The same as `push`, checked and laid out for many posts. Arguments and exceptions as `push`."""
        pool, chosen = self._ready(pool, options, reads=True)
        core = self._core.prepare_push(pool._core, remote_ids, local_ids, chosen)
        return PreparedTransfer(core, self._node)

    def prepare(self, pool: Pool | None = None, **options: Unpack[TransferOptions]) -> None:
        """Maps the peer's pool for use with ours now rather than at the first transfer. Exceptions as `pull`."""
        pool, chosen = self._ready(pool, options, reads=True)
        self._core.prepare(pool._core, chosen)

    def close(self) -> None:
        """Ends the connection; running transfers end as cancelled first. Does nothing the second time."""
        self._core.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kvferry.Peer {self.name}{'' if self.alive else ', gone'}>"

    def _ready(self, pool: Pool | None, options: TransferOptions, *, reads: bool) -> tuple[Pool, _core.Options]:
        if pool is None:
            pool = self._node._only_pool()
        if pool._read_only and not reads:
            raise Refused(f"pool '{pool.name}' is attached to read-only memory; a pull would write to it")
        self._check_order(pool, options.get("remote_pool") or pool.name)
        return pool, _options(pool, options) if options else _DEFAULT

    def _check_order(self, pool: Pool, remote: str) -> None:
        """Two pools that say in which order the elements of a block lie must say the same."""
        ours = pool.tag
        if not ours.startswith("layout=") or (ours, remote) in self._agreed:
            return
        theirs = next((tag for name, tag, *_ in self._core.pools() if name == remote), "")
        if theirs.startswith("layout=") and theirs != ours:
            raise Refused(
                f"the elements of a block lie in another order there: ours {ours}, {self.name} {theirs}; use the same "
                "layout on both sides (if the tag is wrong, give attach() a tag of your own)"
            )
        self._agreed.add((ours, remote))


def _options(pool: Pool, options: TransferOptions) -> _core.Options:
    convert: dict[str, Callable[[Pool, Any], dict[str, Any]]] = {
        "layers": _layers,
        "stream": _stream,
        "remote_pool": lambda _, name: {"remote_pool": name or ""},
    }
    arguments: dict[str, Any] = {}
    for name, value in options.items():
        if name not in TransferOptions.__annotations__:
            raise TypeError(f"unknown option '{name}'; see kvferry.TransferOptions")
        arguments.update(convert[name](pool, value) if name in convert else {name: value})
    return _core.options(**arguments)


def _layers(pool: Pool, layers: Any) -> dict[str, int]:
    if layers is None:
        return {}
    count = pool.shape.layers
    if isinstance(layers, slice):
        layers = range(*layers.indices(count))
    if isinstance(layers, range):
        if layers.step != 1:
            raise InvalidArgument(f"layers is {layers}: a transfer moves neighbouring layers, step 1")
        layers = (layers.start, layers.stop)
    begin, end = layers
    if not 0 <= begin < end <= count:
        raise InvalidArgument(f"layers {begin} to {end}: the pool has 0 to {count}")
    return {"layers_begin": begin, "layers_end": end}


def _stream(pool: Pool, stream: Any) -> dict[str, int | None]:
    if isinstance(stream, str):
        if stream != "current":
            raise InvalidArgument(f"stream '{stream}': give a stream, or 'current'")
        if pool.device == "cpu":
            raise InvalidArgument(f"stream 'current': pool '{pool.name}' is on the host, and has none")
        import torch

        stream = torch.cuda.current_stream(pool.device)
    return {"stream": stream_handle(stream)}
