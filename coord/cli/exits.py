"""What `coordctl` says with its exit code. Nothing is imported here: help must be quick."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2  #: what was typed cannot be done, or means several things
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5  #: not in this state, or somebody else has it
    UNREACHABLE = 6  #: the hub, or what it needs
    WORK_FAILED = 7  #: awaited sessions ended otherwise than completed
    TIMEOUT = 8
    ABORTED = 9
    PARTIAL = 10  #: some of it, not all
