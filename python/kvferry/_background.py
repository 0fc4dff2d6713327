"""Hands what the library's threads have to say to Python: log lines, events, and references to drop.

Those threads never take the GIL, so none of them can be caught by the interpreter's end. One thread for the
process, started with the first node or attached pool; it sleeps while there is nothing to say.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kvferry import _core

if TYPE_CHECKING:
    from kvferry._node import Node

log = logging.getLogger("kvferry")

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class Listener:
    """Where what one node has to say goes. Holds no node."""

    __slots__ = ("__weakref__", "logger", "number", "on_event")

    def __init__(self, logger: logging.Logger, on_event: Callable[[Any], object] | None) -> None:
        self.logger = logger
        self.on_event = on_event
        self.number = next(_numbers)
        _listeners[self.number] = self


_numbers = itertools.count(1)
_listeners: weakref.WeakValueDictionary[int, Listener] = weakref.WeakValueDictionary()
_nodes: weakref.WeakSet[Node] = weakref.WeakSet()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def start() -> None:
    """Starts the thread where it does not run yet."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="kvferry", daemon=True)
            _thread.start()


def close_at_exit(node: Node) -> None:
    """A node that is still open when the interpreter ends says goodbye then."""
    _nodes.add(node)


def _run() -> None:
    while items := _core.take_deliveries():
        for item in items:
            try:
                _deliver(item)
            except Exception:
                log.exception("an event handler of kvferry failed")
        if dropped := _core.dropped_deliveries():
            log.warning("%d log lines and events were dropped: their handlers are too slow", dropped)


def _deliver(item: tuple[Any, ...]) -> None:
    kind, number, *rest = item
    listener = _listeners.get(number)
    if kind == "log":
        level, text = rest
        (listener.logger if listener else log).log(_LEVELS[level], "%s", text)
    elif listener and listener.on_event:
        listener.on_event(tuple(rest))


def _at_exit() -> None:
    for node in list(_nodes):
        node.close()
    _core.stop_deliveries()
    if _thread is not None:
        _thread.join(timeout=5)
    _core.keep_gil_for_the_end()


def _after_fork_in_child() -> None:
    global _lock, _thread
    _lock = threading.Lock()
    _thread = None
    _nodes.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
