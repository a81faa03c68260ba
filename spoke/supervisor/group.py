"""A supervisor's own control group, which it enters before it has work."""

from __future__ import annotations

import os
from contextlib import suppress

from spoke.supervisor import tree


def enter(groups: str) -> str | None:
    """Makes the group of this process and moves it there; None if that is not allowed.

    The kernel takes some 10 ms to move a process, not to fork one in its group: a spare does this
    while nobody waits for it.
    """
    _tidy(groups)
    me = tree.look(os.getpid())
    mine = f"{groups}/{os.getpid()}-{me.start if me else 0}"
    while True:
        try:
            with suppress(FileExistsError):
                os.mkdir(mine)  # noqa: PTH102 - pathlib costs 10 ms at start
            procs = os.open(f"{mine}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not os.path.isdir(groups):  # noqa: PTH112 - as above
                return None
            continue  # somebody tidied it away while it was empty
        except OSError:
            return None
        try:
            os.write(procs, b"0")
        except FileNotFoundError:
            continue
        except OSError:
            return None
        finally:
            os.close(procs)
        return mine


def _tidy(groups: str) -> None:
    """Takes away the groups of those who ended: nobody can remove the one that he is in."""
    with suppress(OSError), os.scandir(groups) as entries:
        for entry in entries:
            if entry.is_dir():
                with suppress(OSError):  # it is in use
                    os.rmdir(entry.path)  # noqa: PTH106 - as above
