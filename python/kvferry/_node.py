"""One process's end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from kvferry import _background, _core
from kvferry._credentials import Credentials, Permission
from kvferry._errors import InvalidArgument, ResourceError
from kvferry._events import Events, Notice
from kvferry._peer import Peer
from kvferry._pool import Pool

__all__ = ["Node", "PeerEvent"]


class PeerEvent(NamedTuple):
    """Something that happened at a node, for those who want to tell a person about it."""

    kind: str
    """`"connected"`, `"refused"`, `"served"` or `"disconnected"`."""
    peer: str
    """Who: name, pid, address."""
    message: str
    """Refused: why, with the table of differing fields; disconnected: how."""
    direction: str
    """Of a served transfer, as the peer reported it: `"pull"` or `"push"`."""
    pool: str
    path: str
    blocks: int
    bytes: int
    seconds: float


class Node:
    """One process's end: serves pools to peers, and connects to peers.

    A context manager, also an asynchronous one. Without a `with`, `close` it, or let it go: it closes itself when
    nothing refers to it, its peers and transfers any more, and when the interpreter ends.

    Everything may be called from any thread. A child made by `fork` must not use the parent's nodes; importing
    kvferry before the fork is fine.

    Args:
        name: Shown to peers, 1 to 64 of `[A-Za-z0-9._-]`. Empty: `"pid N"`.
        copy_threads: Threads for copies in host memory; 0: as many as help.
        on_event: Called with a `PeerEvent` when a peer connects, is refused, has moved blocks, or goes; in a thread
            of kvferry's that serves all nodes, so return quickly. What it raises is logged.
        log: Where log lines go. None: the logger `kvferry`.
        max_peers: Connected at once; others are turned away. Of more than 16, one address of another host may have
            half.
        credentials: For peers on other hosts, whether they connect or are connected to.
        peer_silence: Seconds, at least 1: a peer on another host that says nothing for so long, although asked, is
            given up.
        max_notices: Notices that wait to be read, of all peers; beyond, they are dropped, which the log says. 0:
            nobody reads them, and none is kept.

    Raises:
        InvalidArgument: The name, or credentials that cannot be used.
        ResourceError: No threads or file descriptors are to be had.
    """

    __slots__ = ("__weakref__", "_address", "_core", "_events", "_listener", "_pools")

    def __init__(
        self,
        name: str = "",
        *,
        copy_threads: int = 0,
        on_event: Callable[[PeerEvent], object] | None = None,
        log: logging.Logger | None = None,
        max_peers: int = 256,
        credentials: Credentials | None = None,
        peer_silence: float = 15.0,
        max_notices: int = 65_536,
    ) -> None:
        tell = None if on_event is None else (lambda fields: on_event(PeerEvent._make(fields)))
        self._listener = _background.Listener(log or _background.log, tell)
        self._core = _core.Node(
            self._listener.number,
            name,
            copy_threads,
            max_peers,
            True,
            on_event is not None,
            (credentials or Credentials())._to_core(),
            peer_silence,
            max_notices,
        )
        self._events = Events(self._core)
        self._pools: list[Pool] = []
        self._address = ""
        _background.start()
        _background.close_at_exit(self)

    def add(self, pool: Pool) -> None:
        """Serves a pool to peers that connect from now on, and makes it usable in transfers.

        Raises:
            InvalidArgument: A pool of that name is there already.
        """
        self._core.add(pool._core)
        self._pools.append(pool)

    @property
    def pools(self) -> list[Pool]:
        """What was added."""
        return list(self._pools)

    def listen(
        self,
        address: str = "127.0.0.1:5555",
        *,
        port: int | None = None,
        socket_path: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        permissions: Sequence[Permission] = (),
    ) -> str:
        """Lets peers connect.

        Peers on this host are only told at the TCP port where the Unix socket is, on which everything happens; they
        must run as the same user. Those of other hosts need a credential.

        Args:
            address: `"127.0.0.1:5555"`, `"[::1]:5555"`, or `"unix:/path"` for a Unix socket alone.
            port: Instead of the address's; 0: any free one, see `port`.
            socket_path: The Unix socket. None: `kvferry-PORT.sock` (with port 0 one of this node's own) in
                `$XDG_RUNTIME_DIR`, or in `/tmp/kvferry-UID`, both closed to others.
            insecure: Your explicit word for letting in anyone who reaches the port, unencrypted. An address beyond
                loopback needs this or `Node(credentials=...)`.
            permissions: What each credential may do; empty: everything.

        Returns:
            The address to connect to.

        Raises:
            ResourceError: The port or socket is in use, or the socket's directory cannot be trusted.
            Refused: An address beyond loopback without credentials or `insecure`.
            InvalidArgument: An address that is none; the node is listening already.
        """
        allowed = [permission._to_core() for permission in permissions]
        if address.startswith("unix:"):
            path = os.path.abspath(address.removeprefix("unix:"))
            self._core.listen("127.0.0.1", 0, False, path, insecure, allowed)
            self._address = f"unix:{path}"
            return self._address
        host, given = _split(address)
        wanted = given if port is None else port
        if not 0 <= wanted <= 65535:
            raise InvalidArgument(f"port {wanted}: give 0 to 65535")
        path = os.fspath(socket_path) if socket_path is not None else _socket_path(wanted)
        self._core.listen(host, wanted, True, os.path.abspath(path), insecure, allowed)
        self._address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        return self._address

    @property
    def port(self) -> int:
        """The TCP port listened on; 0 where there is none."""
        return self._core.port()

    @property
    def address(self) -> str:
        """What peers connect to; empty while not listening."""
        return self._address

    def connect(self, address: str, timeout: float = 5.0, *, insecure: bool = False, server_name: str = "") -> Peer:
        """Connects to a listening node.

        Pools of the same name on both sides must have the same geometry. Blocks, without the GIL; Ctrl-C ends it.

        Args:
            address: `"host:port"`, `"[v6]:port"` or `"unix:/path"`.
            timeout: Seconds.
            insecure: Connect to a peer on another host that demands no credential, unencrypted: whoever is on the way
                can read and change every block.
            server_name: What the server's certificate must be for; empty: what `address` says.

        Raises:
            Unreachable: Nobody answers there.
            Refused: Geometries differ (with a table), or a credential does not satisfy the other side.
            DeadlineExceeded: No answer in time.
        """
        return Peer(self._core.connect(address, timeout, insecure, server_name), self)

    async def connect_async(
        self, address: str, timeout: float = 5.0, *, insecure: bool = False, server_name: str = ""
    ) -> Peer:
        """`connect`, in a thread of the running loop's executor."""
        return await asyncio.to_thread(self.connect, address, timeout, insecure=insecure, server_name=server_name)

    @property
    def peers(self) -> list[Peer]:
        """Who is connected, in either direction."""
        return [Peer(core, self) for core in self._core.peers()]

    def next_notice(self, timeout: float | None = None) -> Notice | None:
        """Waits for the next notice, without the GIL; Ctrl-C interrupts it.

        Args:
            timeout: Seconds; None: without end; 0: do not wait.

        Returns:
            None when the time has passed.

        Raises:
            InvalidArgument: The node is closed.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            if self.closed:
                raise InvalidArgument("this Node is closed")
            if (notice := self._events.take_notice()) is not None:
                return notice
            left = 1.0 if until is None else until - time.monotonic()
            if left <= 0:
                return None
            self._core.await_events(left)

    async def notices(self) -> AsyncIterator[Notice]:
        """`async for notice in node.notices()`: what peers want us to know, until the node is closed.

        Of several that iterate, one gets each notice. At most 8,192 of a peer wait to be read; what comes beyond is
        dropped, with a warning in the log.
        """
        while (notice := await self._events.notice()) is not None:
            yield notice

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._core.closed()

    def close(self) -> None:
        """Ends running transfers as cancelled, then every connection. Does nothing the second time.

        Returns when nothing of ours moves any more; takes up to 3 seconds for a peer that does not answer, and as long
        as a `connect` of another thread that is under way. It does not wait for peers that have a pool of ours mapped:
        `Pool.revoke` before memory is freed that you attached.
        """
        if self._core.closed():
            return
        self._events.begin_close()
        self._core.close()
        self._events.end_close()
        self._pools.clear()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._events.begin_close()
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def __repr__(self) -> str:
        where = "closed" if self.closed else (self._address or "not listening")
        return f"<kvferry.Node {where}, {len(self._pools)} pools>"

    def _only_pool(self) -> Pool:
        if len(self._pools) != 1:
            raise InvalidArgument(f"the node has {len(self._pools)} pools: say which with pool=")
        return self._pools[0]


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon:
        return address, 5555
    if not port.isdecimal():
        raise InvalidArgument(f"address '{address}': give 'host:port' or 'unix:/path'")
    return host.removeprefix("[").removesuffix("]"), int(port)


_unnamed = itertools.count(1)


def _socket_path(port: int) -> str:
    """As the command line chooses it, so that both find the same directory."""
    name = f"kvferry-{port}.sock" if port else f"kvferry-pid{os.getpid()}-{next(_unnamed)}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and not _unfit(runtime):
        return os.path.join(runtime, name)
    directory = f"/tmp/kvferry-{os.geteuid()}"
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ResourceError(
            f"cannot make the socket's directory {directory}: {error.strerror}; give another place with socket_path="
        ) from error
    if why := _unfit(directory):
        raise ResourceError(
            f"the socket's directory {directory} cannot be trusted: {why}; remove it, or give another place with "
            "socket_path="
        )
    return os.path.join(directory, name)


def _unfit(directory: str) -> str:
    """Why a directory is not fit for a socket that only we may reach; empty: it is."""
    try:
        info = os.lstat(directory)
    except OSError as error:
        return error.strerror or "it cannot be read"
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a directory"
    if info.st_uid != os.geteuid():
        return f"it belongs to user {info.st_uid}, not to {os.geteuid()}"
    if info.st_mode & 0o077:
        return f"it is open to others (mode {stat.S_IMODE(info.st_mode):04o}, want 0700)"
    return ""
