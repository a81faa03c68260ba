"""The three system calls of Landlock: what a process, and all that it starts, may still reach.

No privilege is needed, and none brings back what was given up. Linux alone; elsewhere the kernel
has no such calls, and `abi` says 0.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from spoke.core.sandboxing import ON_FILES, Right, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OLDEST = 3  # the first that knows what shortens a file
SCOPES = 6  # the first that keeps signals and abstract sockets inside

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_VERSION = 1
_PATH_BENEATH = 1
_SCOPED = 0b11  # abstract unix sockets, signals
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES = range(64)
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Handled(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The version that this kernel has; 0: none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def ruleset(rules: Iterable[Sequence[object]]) -> int:
    """A descriptor that `enter` takes; closed by an exec. What is not there is left out.

    ``rules``: pairs of a path and the `Right`s below it. Raises OSError.
    """
    version = abi()
    if version < OLDEST:
        raise OSError(errno.ENOSYS, f"Landlock {OLDEST} is needed, this kernel has {version}")
    handled = known(version)
    scoped = _SCOPED if version >= SCOPES else 0
    asked = _Handled(handled, 0, scoped)
    size = ctypes.sizeof(asked) if scoped else ctypes.sizeof(ctypes.c_uint64)
    made = _called(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), 0)
    try:
        for path, rights in rules:
            with suppress(FileNotFoundError, NotADirectoryError):
                _allow(made, str(path), Right(int(str(rights))) & handled)
    except BaseException:
        os.close(made)
        raise
    return made


def enter(ruleset: int) -> None:
    """From here on this process is held by it, and can get no privilege back. Raises OSError."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    _called(_RESTRICT_SELF, ruleset, 0)


def _allow(ruleset: int, path: str, rights: Right) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            rights &= ON_FILES
        rule = _Beneath(rights, folder)
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)


def _drop_capabilities() -> None:
    """Root without them is a user like any other, also for a program that it starts."""
    for capability in _CAPABILITIES:
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # this kernel has no more of them
                return
            if error.errno != errno.EPERM or os.geteuid() == 0:
                raise
            return  # somebody without privileges, who can get none


def _called(number: int, *arguments: object) -> int:
    answer = int(_LIBC.syscall(number, *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def _prctl(option: int, argument: int) -> None:
    if _LIBC.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
