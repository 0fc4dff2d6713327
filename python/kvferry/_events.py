"""What a node has to tell: transfers that have ended, for those who await them, and notices.

A running event loop watches the node's eventfd; there is no thread and nothing polls. Any number of loops, or none,
may use one node: whoever sees an event hands it to the loop that waits for it.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from kvferry import _core

if TYPE_CHECKING:
    from kvferry._transfer import Transfer

log = logging.getLogger("kvferry")

_MOST_NOTICES = 65536
_Loop = asyncio.AbstractEventLoop
_Future = asyncio.Future[None]


class Notice(NamedTuple):
    """A peer's transfer that touched a pool of ours has landed, and the peer wanted us to know."""

    peer: str
    """Who: name and pid."""
    pool: str
    """Our pool's name."""
    text: str
    """What the peer had to say: its `notice=`."""
    path: str
    """How the bytes moved, such as `"cuda_ipc"`."""
    direction: str
    """`"pull"` or `"push"`, as the peer sees it."""
    blocks: int
    """Blocks moved."""
    bytes: int
    """Bytes moved, all layers."""


class _Reader:
    """Has one loop watch a node's eventfd. Holds neither."""

    __slots__ = ("_close", "_fd", "_loop")

    def __init__(self, loop: _Loop, events: Events) -> None:
        # Of the loop's own: it stays open until the loop has let go of it.
        self._fd = os.dup(events._core.event_fd())
        self._loop = weakref.ref(loop)
        self._close = weakref.finalize(loop, os.close, self._fd)
        self._close.atexit = False
        weakref.finalize(events, self._let_go).atexit = False
        weak = weakref.ref(events)

        def readable() -> None:
            if (events := weak()) is not None:
                events._drain()

        loop.add_reader(self._fd, readable)

    def _let_go(self) -> None:
        if (loop := self._loop()) is not None and self._close.alive:
            _in_loop(loop, self.remove)

    def remove(self) -> None:
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)
        self._close()


class Events:
    """One node's. Thread-safe."""

    __slots__ = ("__weakref__", "_awaited", "_core", "_lock", "_notices", "_readers", "_tags", "_waiters", "closed")

    def __init__(self, core: _core.Node) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._tags = itertools.count(1)
        self._awaited: dict[int, list[_Future]] = {}
        self._notices: collections.deque[Notice] = collections.deque()
        self._waiters: collections.deque[_Future] = collections.deque()
        self._readers: weakref.WeakKeyDictionary[_Loop, _Reader] = weakref.WeakKeyDictionary()
        self.closed = False

    def watch(self, transfer: Transfer, loop: _Loop) -> _Future | None:
        """A future that is resolved when the transfer has ended; None where it has."""
        self._read_in(loop)
        future = loop.create_future()
        with self._lock:
            if self.closed:
                return None  # closing ends every transfer
            tag = transfer._tag
            first = tag is None
            if tag is None:
                tag = transfer._tag = next(self._tags)
                self._awaited[tag] = [future]
            else:
                others = self._awaited.get(tag)
                if others is None:
                    return None
                others.append(future)
        if first and not transfer._core.notify(tag):
            with self._lock:
                others = self._awaited.pop(tag, [])
            for other in others:
                _resolve(other)
            return None
        return future

    def take_notice(self) -> Notice | None:
        """One that has come, if any."""
        self._drain()
        with self._lock:
            return self._notices.popleft() if self._notices else None

    async def notice(self) -> Notice | None:
        """The next one; None once the node is closed."""
        loop = asyncio.get_running_loop()
        while not self.closed:
            self._read_in(loop)
            if (notice := self.take_notice()) is not None:
                return notice
            future = loop.create_future()
            with self._lock:
                if self._notices or self.closed:
                    continue
                self._waiters.append(future)
            try:
                await future
            finally:
                with self._lock:
                    if future in self._waiters:
                        self._waiters.remove(future)
                    elif self._notices and future.cancelled():
                        self._wake_one()
        return None

    def begin_close(self) -> None:
        """Before the node goes: no loop watches it any more."""
        with self._lock:
            self.closed = True
            readers = list(self._readers.items())
            self._readers.clear()
        for loop, reader in readers:
            _in_loop(loop, reader.remove)

    def end_close(self) -> None:
        """Once the node is gone: every transfer has ended."""
        with self._lock:
            waiting = [*itertools.chain.from_iterable(self._awaited.values()), *self._waiters]
            self._awaited.clear()
            self._waiters.clear()
        for future in waiting:
            _resolve(future)

    def _read_in(self, loop: _Loop) -> None:
        with self._lock:
            if not self.closed and loop not in self._readers:
                self._readers[loop] = _Reader(loop, self)

    def _drain(self) -> None:
        with self._lock:
            if self.closed:
                return
            tags, notices = self._core.take_events()
            ended = [future for tag in tags for future in self._awaited.pop(tag, ())]
            room = _MOST_NOTICES - len(self._notices)
            self._notices.extend(map(Notice._make, notices[:room]))
            for _ in notices:
                self._wake_one()
        if len(notices) > room:
            log.warning("%d notices were dropped: nobody reads them", len(notices) - room)
        for future in ended:
            _resolve(future)

    def _wake_one(self) -> None:
        while self._waiters:
            future = self._waiters.popleft()
            if not future.done():
                _resolve(future)
                return


def _resolve(future: _Future) -> None:
    _in_loop(future.get_loop(), _set, future)


def _set(future: _Future) -> None:
    if not future.done():
        future.set_result(None)


def _in_loop(loop: _Loop, function: Any, *arguments: Any) -> None:
    """Now where that loop runs in this thread, else as soon as it can. One that is closed has nobody who waits."""
    if asyncio._get_running_loop() is loop:
        function(*arguments)
        return
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)
