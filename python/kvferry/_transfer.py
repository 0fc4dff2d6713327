"""What a pull or push becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from kvferry import _core
from kvferry._errors import InvalidArgument

if TYPE_CHECKING:
    from kvferry._node import Node

__all__ = ["PreparedTransfer", "StatusWord", "Transfer", "TransferReport"]


class TransferReport(NamedTuple):
    """What a transfer did. Times in seconds."""

    path: str
    """`"cuda_ipc"`, `"host_shm"`, ..."""
    method: str
    """How it copied, such as `"kernel tma, 24 SMs"` or `"avx512 streaming, 2 threads"`."""
    bytes: int
    """`blocks * layers * block_bytes`."""
    blocks: int
    """Blocks moved in each layer."""
    layers: int
    """Layers moved."""
    pieces: int
    """Contiguous rows copied, after merging neighbours."""
    post_s: float
    """Call to posted."""
    move_s: float
    """Posted to nothing more moving."""
    sync_s: float
    """Nothing more moving to known here."""
    total_s: float
    """Call to known here."""

    @property
    def gb_per_s(self) -> float:
        """10^9 bytes a second, from call to done."""
        return self.bytes / self.total_s / 1e9 if self.total_s > 0 else 0.0


class StatusWord:
    """A 32-bit word that the host and the local GPU can read: 0 while good, else an error's code.

    For GPU work that is ordered behind a transfer on a stream: a transfer that failed does not stop the stream.
    `int(word)` reads it on the host; `word.address` is valid on the GPU as well (pinned memory).
    """

    __slots__ = ("_owner", "address")

    address: int
    """Where it is."""

    def __init__(self, address: int, owner: object) -> None:
        self.address = address
        self._owner = owner

    def __int__(self) -> int:
        return _core.read_word(self.address)

    def __bool__(self) -> bool:
        return int(self) != 0

    def __repr__(self) -> str:
        return f"<kvferry.StatusWord {int(self)} at {self.address:#x}>"


class Transfer:
    """One asynchronous pull or push. Ends in exactly one state, and once it has ended no more bytes land.

    `wait()` for it, `await` it, or give the call that posts it a stream and let the GPU wait. One that nobody waits
    for moves all the same, also when this object is gone.

    Thread-safe.
    """

    __slots__ = ("_core", "_node", "_tag")

    def __init__(self, core: _core.Transfer, node: Node) -> None:
        self._core = core
        # Also what keeps the node, while somebody may wait.
        self._node = node
        self._tag: int | None = None

    def wait(self, timeout: float | None = None) -> TransferReport:
        """Blocks until it has ended, without the GIL; Ctrl-C interrupts the wait, not the transfer.

        Args:
            timeout: Seconds; None: without end.

        Raises:
            TimeoutError: It is still running; wait again, or cancel it. (`DeadlineExceeded`, which is one too, means
                that the transfer itself has ended by its deadline.)
            Error: What it ended with: `Cancelled`, `DeadlineExceeded`, `Unreachable`, `TransferFailed`.
        """
        if not self._core.wait(timeout):
            raise TimeoutError(f"the transfer is still running after {timeout} s; wait again, or cancel() it")
        return TransferReport._make(self._core.result())

    def __await__(self) -> Generator[Any, None, TransferReport]:
        """Waits in the running asyncio loop; errors as `wait`.

        Cancelling the task cancels the transfer, and returns once nothing of it can land any more.
        """
        if not self._core.done():
            loop = asyncio.get_running_loop()
            try:
                yield from self._until_ended(loop)
            except asyncio.CancelledError:
                self._core.cancel()
                while not self._core.done():
                    try:
                        yield from self._until_ended(loop)
                    except asyncio.CancelledError:
                        continue  # not before it is quiet
                raise
        self._core.wait(None)
        return TransferReport._make(self._core.result())

    def _until_ended(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
        future = self._node._events.watch(self, loop)
        if future is not None:
            yield from future
        else:
            # It has ended, or is about to: its node is being closed.
            self._core.wait(None)

    def done(self) -> bool:
        """Whether it has ended, in whatever state. Does not block."""
        return self._core.done()

    @property
    def state(self) -> str:
        """`"running"`, `"done"`, `"failed"`, `"cancelled"`, `"deadline"` or `"peer died"`."""
        return self._core.state()

    def cancel(self) -> None:
        """Asks it to end early. It ends as `"cancelled"`, or as `"done"` if it was too late."""
        self._core.cancel()

    @property
    def report(self) -> TransferReport:
        """What it did, in whatever state it ended.

        Raises:
            InvalidArgument: It is still running.
        """
        return TransferReport._make(self._core.report())

    @property
    def error(self) -> str:
        """Why it did not end as done; empty otherwise.

        Raises:
            InvalidArgument: It is still running.
        """
        return self._core.error()

    @property
    def status_word(self) -> StatusWord | None:
        """For work behind it on a stream. None where the path has none (host memory)."""
        return _status_word(self._core)

    def __repr__(self) -> str:
        return f"<kvferry.Transfer {self.state}>"


class PreparedTransfer:
    """A pull or push whose ids were checked and laid out once, to be posted many times.

    Posting then costs little more than the launch, whatever the number of ids. It does not keep the pools mapped:
    once one of them is revoked, or the connection has ended, posting is refused.
    """

    __slots__ = ("_core", "_node")

    def __init__(self, core: _core.Prepared, node: Node) -> None:
        self._core = core
        self._node = node

    def post(self) -> Transfer:
        """As the pull or push it was prepared from, with its options; a deadline counts from here.

        Posts of one prepared transfer must not overlap: they write the same blocks.

        Raises:
            Refused: The pools are no longer mapped; connect and prepare again.
            Unreachable: The peer has gone.
            ResourceError: Something local is missing.
        """
        return Transfer(self._core.post(), self._node)

    def capture(self, stream: object) -> None:
        """Adds the copy to a stream of the pool's GPU that is being captured into a CUDA graph.

        Each launch of the graph then moves the blocks, without a `Transfer`, a deadline or a notice. Launches must not
        overlap. Prepare with `copy="kernel"`. Once the peer or a pool goes, the captured copy does nothing, and
        `status_word` says why. Destroy the graph before this object.

        Args:
            stream: A `torch.cuda.Stream`, a CuPy stream, or a `cudaStream_t` as an int.

        Raises:
            InvalidArgument: Host memory, a stream that is not being captured, or a copy by the copy engine.
            Refused: The pools are no longer mapped.
        """
        handle = stream_handle(stream)
        if handle is None:
            raise InvalidArgument("stream is None; give the stream that is being captured")
        self._core.capture(handle)

    @property
    def status_word(self) -> StatusWord | None:
        """0 while captured copies copy, an error's code once they do not. None before the first `capture`."""
        return _status_word(self._core)


def _status_word(core: _core.Transfer | _core.Prepared) -> StatusWord | None:
    address = core.status_word()
    return StatusWord(address, core) if address else None


def stream_handle(stream: object) -> int | None:
    """The `cudaStream_t` of a torch or CuPy stream, or of an int; None of None."""
    if stream is None or isinstance(stream, int):
        return stream
    for attribute in ("cuda_stream", "ptr"):
        handle = getattr(stream, attribute, None)
        if isinstance(handle, int):
            return handle
    protocol = getattr(stream, "__cuda_stream__", None)
    if callable(protocol):
        protocol = protocol()
    if isinstance(protocol, tuple) and len(protocol) == 2:
        return int(protocol[1])
    raise InvalidArgument(
        f"stream is a {type(stream).__qualname__}; give a torch.cuda.Stream, a CuPy stream, an int, or 'current'"
    )
