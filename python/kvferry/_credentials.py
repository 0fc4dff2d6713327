"""Who may come in from other hosts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from kvferry import _core

__all__ = ["Credentials", "Permission"]

_Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a node proves itself with to peers on other hosts, and what it demands of them.

    Either a token that both sides know, or a certificate of the same authority; `kvferry keygen` makes both. What a
    credential protects is TLS 1.3. Local peers need none: the kernel says who they are.

    Args:
        token_file: One line `NAME SECRET`; a listener's file may hold several, one for each client it lets in. Must not
            be readable by others.
        certificate: Ours, PEM, with what leads from it to the authority. With `key` and `authority`.
        key: Its private key, which must not be readable by others.
        authority: Who signs ours and theirs.
        plain_data: Blocks travel as they are; control stays inside TLS. Both sides must say so.
    """

    token_file: _Path = ""
    certificate: _Path = ""
    key: _Path = ""
    authority: _Path = ""
    plain_data: bool = False

    def _to_core(self) -> _core.Credentials:
        return _core.Credentials(
            os.fspath(self.token_file),
            os.fspath(self.certificate),
            os.fspath(self.key),
            os.fspath(self.authority),
            self.plain_data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the holder of one credential may do with the pools of a listener.

    On top of that a pool must be writable to be pushed into.

    Args:
        credential: Name of a token, or common name of a certificate; `"*"`: any other.
        read: May pull.
        write: May push.
        pools: Names; empty: all.
    """

    credential: str = "*"
    read: bool = True
    write: bool = True
    pools: Sequence[str] = ()

    def _to_core(self) -> _core.Permission:
        return _core.Permission(self.credential, self.read, self.write, list(self.pools))
