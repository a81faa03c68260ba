"""What one side of a connection said and heard, so that it can go on over another wire.

Pure bookkeeping, the same on both sides. A connection is carried by one wire after the other; a
wire keeps the order of its frames and may lose the last ones, in both directions. Four promises,
whatever the wires do:

1. Every frame that was said is heard once, in the order in which it was said, as long as the
   connection is resumed.
2. A wire that was fenced is heard no more, however late its frames arrive.
3. Nothing is kept that the far side has acknowledged.
4. Where the first promise cannot be kept, the resume is refused.

A ledger that does not keep (the far side never comes back, or is not welcome yet) is only a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NewType

from protocol.errors import FailedPrecondition, ProtocolViolation
from protocol.limits import ACK_BYTES, ACK_FRAMES, CLOSE_VIOLATION

Turn = NewType("Turn", int)  #: which wire of a connection: 1, 2, 3 ...


class Ledger:
    def __init__(self) -> None:
        self.turn = Turn(0)
        self.keeps = False
        self.heard = 0  #: frames of the far side, over all wires
        self.size = 0  #: bytes said and not done with: not written, or not acknowledged
        self._told = 0  # the last `heard` that was acknowledged,
        self._untold = 0  # and the bytes that came after it
        self._forgotten = 0  # frames said, acknowledged and dropped
        self._loose: deque[bytes] = deque()  # not counted: acks, and what is said before a welcome
        self._waiting: deque[bytes] = deque()  # to be written
        self._unheard: deque[bytes] = deque()  # written, and not acknowledged

    def keep(self) -> None:
        """From now on frames are counted and kept, in both directions. What waits is not."""
        self.keeps = True
        self._loose.extend(self._waiting)
        self._waiting.clear()

    # What this side says.

    def say(self, text: bytes) -> None:
        self._waiting.append(text)
        self.size += len(text)

    def say_loose(self, texts: Iterable[bytes]) -> None:
        """Say it on this wire, uncounted and before all else; no other wire repeats it."""
        for text in texts:
            self._loose.append(text)
            self.size += len(text)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_more(self) -> bool:
        return bool(self._loose or self._waiting)

    def take(self, most: int) -> list[bytes]:
        """What to write next: in order, ``most`` bytes or a little more."""
        all_of_it = self.size <= most
        loose = _first(self._loose, most, all_of_it)
        left = most - sum(map(len, loose)) if loose else most
        waiting = _first(self._waiting, left, all_of_it)
        if self.keeps:
            self._unheard += waiting
            self.size -= sum(map(len, loose))
        else:
            self.size -= sum(map(len, loose)) + sum(map(len, waiting))
        return loose + waiting

    def acknowledge(self, heard: int) -> None:
        """The far side heard so many of our frames. Raises ProtocolViolation when we said fewer."""
        if heard > self._forgotten + len(self._unheard):
            raise ProtocolViolation(CLOSE_VIOLATION, "it heard more than was said")
        while self._forgotten < heard:
            self.size -= len(self._unheard.popleft())
            self._forgotten += 1

    # What this side hears.

    def hear(self, turn: Turn, size: int) -> bool:
        """Whether a frame that a wire brought is heard; it is counted then."""
        if turn != self.turn:
            return False
        if self.keeps:
            self.heard += 1
            self._untold += size
        return True

    def owes_ack(self) -> bool:
        return self.heard - self._told >= ACK_FRAMES or self._untold >= ACK_BYTES

    def told(self) -> int:
        """The number to acknowledge now: it counts as said."""
        self._told, self._untold = self.heard, 0
        return self.heard

    # From one wire to the next.

    def fence(self) -> Turn:
        """Hear no wire that was used up to now. The count of what was heard stands still."""
        self.turn = Turn(self.turn + 1)
        return self.turn

    def check_resume(self, heard: int) -> None:
        """What comes after the first ``heard`` frames is still here.

        Raises FailedPrecondition (RESUME_EXPIRED).
        """
        if not self.keeps or not 0 <= heard - self._forgotten <= len(self._unheard):
            raise expired("what it says it heard is not what was said")

    def resume(self, heard: int) -> None:
        """The next wire begins: say again what the far side has not heard.

        Raises FailedPrecondition (RESUME_EXPIRED); nothing has changed then.
        """
        self.check_resume(heard)
        self.size -= sum(map(len, self._loose))
        self._loose.clear()
        self.acknowledge(heard)
        self._waiting.extendleft(reversed(self._unheard))
        self._unheard.clear()


def _first(queue: deque[bytes], most: int, all_of_it: bool) -> list[bytes]:
    """Out of a queue: ``most`` bytes or a little more."""
    if all_of_it:
        everything = list(queue)
        queue.clear()
        return everything
    taken: list[bytes] = []
    while queue and most > 0:
        taken.append(text := queue.popleft())
        most -= len(text)
    return taken


def expired(why: str) -> FailedPrecondition:
    """How a resume is refused."""
    return FailedPrecondition(
        "RESUME_EXPIRED",
        f"this connection cannot be taken up again: {why}",
        advice="say initialize without resume, and ask again what is safe to ask again",
    )
