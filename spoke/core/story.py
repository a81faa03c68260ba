"""What can happen to an attempt on its spoke, and what there is to do about it: pure words.

Facts are what happened, effects what is to be done; `spoke.core.supervise` turns one into the
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Stop:
    outcome: Literal["aborted", "blocked"]
    reason: str
    now: bool = False
    grace_ms: int | None = None
    by: str = ""  #: the abort it belongs to
    behind: int = 0  #: how many others are to be stopped in the same moment, after this one


@dataclass(frozen=True, slots=True)
class Fault:
    """Why it could not begin, or ended without saying why."""

    reason: str
    message: str
    advice: str = ""


DIED: Final = Fault(
    "SUPERVISOR_DIED",
    "the supervisor of this attempt was killed; what was left of its agent was ended",
    "look for the out-of-memory killer in the machine's log, then retry the session",
)
REBOOTED: Final = Fault(
    "REBOOTED",
    "its machine was rebooted; its worktree and its branch are as it left them",
    "start it again on its branch",
)


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended, where no supervisor can say."""

    outcome: Literal["failed", "aborted", "blocked", "lost"]
    ended_by: str
    reason: str
    message: str = ""
    advice: str = ""
    ended: int = 0  #: processes
    survivors: int = 0


# Facts.


@dataclass(frozen=True, slots=True)
class Ordered:
    """Nothing was begun for it on this machine."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A daemon before this one gave it to a supervisor. ``ended``: its end is in the spool."""

    ended: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is on disk of it cannot be read: it is left alone, and an agent of it may live."""


@dataclass(frozen=True, slots=True)
class WorktreeMade:
    pass


@dataclass(frozen=True, slots=True)
class WorktreeFailed:
    """Nothing is left of it. ``fault`` says why it was not made, if it was not cancelled."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class SupervisorUp:
    """There is a line to it; said again whenever the line is new."""


@dataclass(frozen=True, slots=True)
class SupervisorRefused:
    """The agent was not started. ``recorded``: the spool says so already."""

    fault: Fault
    recorded: bool


@dataclass(frozen=True, slots=True)
class SupervisorGone:
    """``rebooted``: it was of an earlier boot of this machine, and all else with it."""

    recorded: bool
    rebooted: bool = False


@dataclass(frozen=True, slots=True)
class StopOrdered:
    stop: Stop


@dataclass(frozen=True, slots=True)
class GraceOver:
    pass


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another attempt is current: this one is to vanish, its work saved, nothing reported."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What there was to save is saved, or cannot be."""


@dataclass(frozen=True, slots=True)
class MessageOrdered:
    id: str


@dataclass(frozen=True, slots=True)
class AnswerOrdered:
    """To a question of this attempt."""

    question: int


@dataclass(frozen=True, slots=True)
class MessageSettled:
    """The spool says what became of it."""

    id: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What a dead supervisor left was killed."""

    ended: int
    survivors: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The hub has its end."""


Fact = (
    Ordered | Adopted | Unreadable | WorktreeMade | WorktreeFailed | SupervisorUp
    | SupervisorRefused | SupervisorGone | StopOrdered | GraceOver | Superseded | Salvaged
    | MessageOrdered | AnswerOrdered | MessageSettled | Swept | Stored
)  # fmt: skip

# Effects.


@dataclass(frozen=True, slots=True)
class MakeWorktree:
    pass


@dataclass(frozen=True, slots=True)
class CancelWorktree:
    """Stop git; `WorktreeFailed` or `WorktreeMade` follows."""


@dataclass(frozen=True, slots=True)
class UndoWorktree:
    """It was made before the stop reached git, and nobody has worked in it; `WorktreeFailed`
    follows."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Give it to a supervisor, then keep a line to it."""


@dataclass(frozen=True, slots=True)
class Attach:
    """Look for the supervisor of a daemon before us, then keep a line to it."""


@dataclass(frozen=True, slots=True)
class SendMessage:
    id: str


@dataclass(frozen=True, slots=True)
class SendAnswer:
    question: int


@dataclass(frozen=True, slots=True)
class SendStop:
    stop: Stop


@dataclass(frozen=True, slots=True)
class SendStored:
    """The supervisor need not wait for its disk."""


@dataclass(frozen=True, slots=True)
class WaitGrace:
    """Say `GraceOver` after this long."""

    ms: int


@dataclass(frozen=True, slots=True)
class KillMarked:
    """Kill what carries the attempt's marks, then say `Swept`."""


@dataclass(frozen=True, slots=True)
class WriteExited:
    """End the spool. ``undelivered``: messages that will not arrive, told before the end."""

    exit: Exit
    undelivered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mute:
    """Report nothing more."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """Save the worktree's state to a ref, then say `Salvaged`."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Note it as done, remove its directory."""


#: What is said to it, and waited for.
Speech = SendMessage | SendAnswer | WaitGrace
#: Effects that take time, and those that are done at once.
Work = UndoWorktree | Launch | Attach | Speech | KillMarked | WriteExited | Salvage | Forget
Effect = Work | MakeWorktree | CancelWorktree | Mute | SendStop | SendStored
