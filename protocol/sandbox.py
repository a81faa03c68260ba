"""The sandboxes that a session may run in, from the widest to the narrowest. Pure, and light.

* off: its agent may do what the user of its spoke may.
* worktree: it changes its worktree and commits, and what its agent keeps for itself; nothing else.
* read-only: as that, but neither its worktree nor git can be changed: for those who review.
"""

from __future__ import annotations

from typing import Final, Literal

Sandbox = Literal["off", "worktree", "read-only"]

SANDBOXES: Final[tuple[Sandbox, ...]] = ("off", "worktree", "read-only")


def strictest(*asked: str | None) -> Sandbox:
    """The narrowest of several, each None or one of `SANDBOXES`; `off` of none."""
    return SANDBOXES[max((SANDBOXES.index(one) for one in asked if one is not None), default=0)]
