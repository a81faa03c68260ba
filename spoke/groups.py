"""Control groups: each supervisor is born into one of its own, and so is all that it starts.

A group is left by nobody who does not ask the kernel for it: not by setsid, not by a second fork,
not by wiping the environment. What is in it can be ended at once, without its supervisor.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path


def find(state: Path) -> Path | None:
    """The group below which those of this state directory are made.

    None where the kernel (before 5.14) or our rights do not allow it.
    """
    ours = _our_group()
    if ours is None:
        return None
    groups = ours / f"coord-{blake2s(os.fsencode(state), digest_size=6).hexdigest()}"
    try:
        groups.mkdir(exist_ok=True)
    except OSError:
        return None
    needed = (ours / "cgroup.procs", groups / "cgroup.procs", groups / "cgroup.kill")
    return groups if all(os.access(path, os.W_OK) for path in needed) else None


def leave(groups: Path) -> None:
    """Take away those that are empty, and the one above them if nobody is left at work."""
    for group in (*groups.glob("*/"), groups):
        with suppress(OSError):
            group.rmdir()


def members(group: Path) -> set[int]:
    """The pids of all that is in it or below it."""
    found: set[int] = set()
    for folder, _, _ in os.walk(group):
        try:
            found |= {int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()}
        except OSError:
            continue  # it is being removed, and empty
    return found


def kill(group: Path) -> None:
    """KILL all that is in it or below it, also what is being forked. No news if it is gone."""
    with suppress(OSError):
        (group / "cgroup.kill").write_text("1")


def _our_group() -> Path | None:
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    roots = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return Path(roots[0]) / paths[0] if roots and paths else None
