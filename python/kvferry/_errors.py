"""The exceptions, one for each class of error that a caller acts on."""

from __future__ import annotations

from typing import ClassVar

from kvferry import _core

__all__ = [
    "Cancelled",
    "DeadlineExceeded",
    "Error",
    "InvalidArgument",
    "Refused",
    "ResourceError",
    "TransferFailed",
    "Unreachable",
]


class Error(Exception):
    """What every exception of kvferry is. Its text names the field, the values, and what to do.

    Attributes:
        code: The number of the error's class, which is also the exit code of the `kvferry` program.
    """

    code: ClassVar[int] = 1


class TransferFailed(Error):
    """A transfer ended because the copy itself failed (code 1)."""


class InvalidArgument(Error, ValueError):
    """The arguments cannot be meant; nothing was done (code 2)."""

    code = 2


class Unreachable(Error, ConnectionError):
    """The peer cannot be reached, or it died (code 3)."""

    code = 3


class Refused(Error):
    """The peer, or this side, will not: geometry, layout, capability, permission, a slow path (code 4)."""

    code = 4


class DeadlineExceeded(Error, TimeoutError):
    """The deadline passed; what had landed by then has landed, and nothing lands after (code 5)."""

    code = 5


class ResourceError(Error):
    """Something local is missing: a port in use, no such GPU, too little memory (code 6)."""

    code = 6


class Cancelled(Error):
    """The transfer was cancelled: by `Transfer.cancel`, or because its peer or node was closed (code 7)."""

    code = 7


for _class in (
    TransferFailed,
    InvalidArgument,
    Unreachable,
    Refused,
    DeadlineExceeded,
    ResourceError,
    Cancelled,
):
    _class.__module__ = "kvferry"
    _core.set_error_class(_class.code, _class)
Error.__module__ = "kvferry"
