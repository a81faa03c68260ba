"""Becomes another program that stops when its parent dies, as nobody where root is refused.

Run by path (`python -I -S launch.py PARENT UID PROGRAM ARGS...`), so it imports the standard
library only. UID is the user to appear as inside a new user namespace, or `-` for none.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

NO_NAMESPACE: Final = 120  #: exit status: the kernel refused a user namespace
NO_PROGRAM: Final = 121  #: exit status: the program could not be executed
ORPHANED: Final = 122  #: exit status: the parent was gone before we could follow it

_CLONE_NEWUSER: Final = 0x10000000
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> NoReturn:
    parent, inner, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if inner != "-":
        _appear_as(libc, int(inner))
    # After the namespace: a change of credentials clears the parent-death signal. SIGINT is
    # what PostgreSQL calls a fast shutdown.
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(ORPHANED)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606 -- an argv array; a shell is what it avoids
    except OSError as error:
        _leave(NO_PROGRAM, f"{command[0]}: {error.strerror}")


def _appear_as(libc: ctypes.CDLL, uid: int) -> None:
    outside = os.geteuid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        _leave(NO_NAMESPACE, os.strerror(ctypes.get_errno()))
    try:
        Path("/proc/self/uid_map").write_text(f"{uid} {outside} 1")
    except OSError as error:
        _leave(NO_NAMESPACE, str(error.strerror))


def _leave(status: int, why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    sys.stderr.flush()
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
