"""The front door: `coord.connect()` for programs, `coordctl` for people.

Names are loaded when they are first used, so that `coordctl --help` does not pay for a websocket.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coord import blocking
    from coord.client import Hub, connect
    from protocol.errors import (
        AlreadyExists,
        CallError,
        Cancelled,
        Conflict,
        CoordError,
        DataLoss,
        DeadlineExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        LinkLost,
        NotFound,
        OutOfRange,
        PermissionDenied,
        ResourceExhausted,
        Unauthenticated,
        Unavailable,
        Unimplemented,
    )

__all__ = [
    "AlreadyExists",
    "CallError",
    "Cancelled",
    "Conflict",
    "CoordError",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Hub",
    "Internal",
    "InvalidArgument",
    "LinkLost",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "blocking",
    "connect",
]

_CLIENT = frozenset({"Hub", "connect"})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'coord' has no attribute {name!r}")
    if name == "blocking":
        return import_module("coord.blocking")
    found: object = getattr(
        import_module("coord.client" if name in _CLIENT else "protocol.errors"), name
    )
    globals()[name] = found
    return found
