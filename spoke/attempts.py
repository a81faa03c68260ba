"""All attempts of this spoke: orders in, what is held, and taking over after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal

from protocol.errors import CallError
from protocol.handshake import Verdict
from protocol.ops.wire import (
    AnswerOrder,
    InventoryItem,
    MessageOrder,
    Order,
    OrdersTaken,
    Refusal,
    StartOrder,
    StopOrder,
)
from protocol.words import is_id
from spoke.attempt import Attempt
from spoke.chores import Chores
from spoke.core import story
from spoke.core.supervise import Phase
from spoke.flight import in_thread
from spoke.folder import Folder
from spoke.journal import Journal, Key
from spoke.outfit import Rooms
from spoke.settings import Places

_log = logging.getLogger(__name__)

_FIND_S: Final = 5.0  #: for which the first hello waits to know who is alive
_LEAVE_S: Final = 5.0  #: in which a supervisor leaves that has told the end


class Attempts:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._attempts: dict[Key, Attempt] = {}
        self._chores = Chores()
        self._intake = asyncio.Lock()
        self._late: set[Key] = set()  #: taken over, and not found when the last hello was said

    @property
    def last_seq(self) -> int:
        return self._rooms.journal.last_seq

    @property
    def live(self) -> int:
        return sum(not attempt.over.is_set() for attempt in self._attempts.values())

    @property
    def is_fenced(self) -> bool:
        """Whether an agent lives here that ends itself when contact is lost for too long."""
        return any(
            attempt.is_fenced and not attempt.over.is_set() for attempt in self._attempts.values()
        )

    async def is_live(self, session_id: str) -> bool:
        """Whether an agent of this session lives here, or is about to.

        Its hub hears of an end before the supervisor has left: that is waited for, a moment.
        """
        for attempt in self._of(session_id):
            if attempt.tail.has_ended:
                with suppress(TimeoutError):
                    await asyncio.wait_for(attempt.over.wait(), _LEAVE_S)
        return any(not attempt.over.is_set() for attempt in self._of(session_id))

    def inventory(self) -> list[InventoryItem]:
        """For a hello; what it cannot say yet of an attempt, the next one says."""
        self._late = self._unknown(self._late)
        return [attempt.item() for attempt in self._attempts.values()]

    def held(self) -> list[tuple[Key, bool]]:
        """All attempts, each with whether it is damaged and left alone."""
        return [(key, attempt.is_damaged) for key, attempt in self._attempts.items()]

    async def take_over(self) -> None:
        """Take up what the journal holds: attempts that live on, ended, or never began."""
        for key, held in self._rooms.journal.held.items():
            if held.start is None:
                continue
            attempt = self._add(key, held.start)
            for message in held.messages:
                attempt.say(message)
            for answer in held.answers:
                attempt.answer(answer)
            for stop in held.stops:
                attempt.tell(story.StopOrdered(_stop(stop)))
            self._chores.start(self._find(attempt), f"taking over {key}")
        waits = {
            self._chores.start(attempt.known.wait(), f"finding {key}")
            for key, attempt in self._attempts.items()
        }
        late = (await asyncio.wait(waits, timeout=_FIND_S))[1] if waits else waits
        if late:
            _log.warning("some attempts are still being looked for")
            self._late = self._unknown(self._attempts)
            self._chores.start(self._tell_late(late), "telling who was found late")

    async def _tell_late(self, late: set[asyncio.Task[Literal[True]]]) -> None:
        """The first hello could not say that they run; and nothing but a hello says it to a hub
        that calls them unknown.
        """
        while late:
            await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
            late = (await asyncio.wait(late, timeout=_FIND_S))[1]
            await self._rooms.uplink.say_hello()

    async def take(self, orders: Sequence[Order]) -> OrdersTaken:
        """Orders from the hub; on disk when this returns. What was seen before is not acted on.

        Raises OSError when the disk does not take them.
        """
        task = self._chores.start(self._take(orders), "orders", quiet=True)
        return await asyncio.shield(task)  # a caller who leaves must not part disk and deed

    def heed(self, verdicts: Sequence[Verdict]) -> None:
        """What a hub's welcome says of each attempt of the inventory."""
        for verdict in verdicts:
            key = Key(verdict.session_id, verdict.attempt)
            attempt = self._attempts.get(key)
            if attempt is not None and key in self._late and verdict.verdict == "superseded":
                attempt.tail.hold()  # it may have ended, and that be wanted: the next hello asks
            elif attempt is not None:
                _heed(attempt, verdict)

    async def close(self) -> None:
        """Attend to none of them any more; agents go on."""
        await self._chores.close()
        await asyncio.gather(*(attempt.close() for attempt in self._attempts.values()))

    async def _take(self, orders: Sequence[Order]) -> OrdersTaken:
        async with self._intake:
            new = {order.seq: order for order in orders if order.seq > self.last_seq}
            faults = {seq: fault for seq, order in new.items() if (fault := _fault(order))}
            fresh = [new[seq] for seq in sorted(new.keys() - faults.keys())]
            are_stops = all(isinstance(order.body, StopOrder) for order in fresh)
            if are_stops:  # no disk holds up a stop: the hub says it again until we have it
                self._act_on(fresh)
            if new:
                await in_thread(self._rooms.journal.accept, fresh, faults.keys())
            if not are_stops:
                self._act_on(fresh)
        refused = [Refusal(seq=seq, reason=fault) for seq, fault in faults.items()]
        return OrdersTaken(accepted=self.last_seq, refused=refused)

    def _act_on(self, orders: Sequence[Order]) -> None:
        behind = sum(isinstance(order.body, StopOrder) for order in orders)
        for order in orders:
            behind -= isinstance(order.body, StopOrder)
            self._act(order, behind)

    def _act(self, order: Order, behind: int) -> None:
        key = Key(order.session_id, order.attempt)
        attempt = self._attempts.get(key)
        if isinstance(order.body, StartOrder):
            if attempt is None:
                self._begin(key, order.body)
            return
        if attempt is None:
            _log.info("%s for %s, which is done with", order.kind, key)
            return
        match order.body:
            case MessageOrder() as message:
                attempt.say(message)
            case AnswerOrder() as answer:
                attempt.answer(answer)
            case StopOrder() as stop:
                attempt.tell(story.StopOrdered(replace(_stop(stop), behind=behind)))
            case None:
                attempt.tell(story.Stored())

    def _begin(self, key: Key, order: StartOrder) -> None:
        attempt = self._add(key, order)
        if self._older(key):
            self._chores.start(self._begin_alone(attempt), f"waiting to begin {key}")
        else:
            attempt.tell(story.Ordered())

    async def _begin_alone(self, attempt: Attempt) -> None:
        await self._end_older(attempt.key)
        attempt.tell(story.Ordered())

    async def _end_older(self, key: Key) -> None:
        """Two agents in one worktree would spoil each other's work."""
        for older in self._older(key):
            await older.known.wait()
            if not older.over.is_set():
                older.tell(story.Superseded())
            await older.over.wait()

    def _unknown(self, keys: Iterable[Key]) -> set[Key]:
        return {
            key for key in keys if key in self._attempts and not self._attempts[key].known.is_set()
        }

    def _older(self, key: Key) -> list[Attempt]:
        """Attempts of the same session that may have an agent."""
        return [
            attempt
            for attempt in self._of(key.session_id)
            if attempt.key.attempt < key.attempt and not attempt.over.is_set()
        ]

    def _of(self, session_id: str) -> list[Attempt]:
        return [one for key, one in self._attempts.items() if key.session_id == session_id]

    def _add(self, key: Key, order: StartOrder) -> Attempt:
        attempt = self._attempts[key] = Attempt(key, order, self._rooms)
        self._chores.start(self._drop(attempt), f"life of {key}")
        return attempt

    async def _drop(self, attempt: Attempt) -> None:
        await attempt.forgotten.wait()
        del self._attempts[attempt.key]

    async def _find(self, attempt: Attempt) -> None:
        await self._end_older(attempt.key)
        try:
            await attempt.find()
        except CallError as error:
            _log.error("%s is left alone: %s", attempt.key, error)
            attempt.is_damaged = True
            attempt.tell(story.Unreadable())
            attempt.known.set()


def erase_done(places: Places, journal: Journal) -> None:
    """What a crash left of attempts that were done with."""
    for key in journal.done:
        Folder(places, key).remove()


def _heed(attempt: Attempt, verdict: Verdict) -> None:
    match verdict.verdict:
        case "continue" | "stop":  # the stop itself comes as an order
            attempt.tail.resume(verdict.stored)
        case "superseded":
            attempt.tell(story.Superseded())
        case "finalize":
            if attempt.phase is not Phase.ENDED:
                _log.warning("%s lives, and the hub believes that it ended", attempt.key)
            attempt.tell(story.Stored())
        case "quarantine":
            _log.warning("%s is unknown to the hub; it is left alone", attempt.key)
            attempt.tail.hold()


_BODIES: Final[Mapping[str, type[object]]] = {
    "start": StartOrder,
    "message": MessageOrder,
    "answer": AnswerOrder,
    "stop": StopOrder,
    "forget": type(None),
}


def _fault(order: Order) -> str | None:
    """Why an order cannot be taken at all."""
    if not is_id(order.session_id) or order.attempt < 1:
        return "BAD_ID"
    return None if type(order.body) is _BODIES[order.kind] else "BAD_ORDER"


def _stop(order: StopOrder) -> story.Stop:
    return story.Stop(
        order.outcome,
        order.reason,
        now=order.now or order.grace_ms == 0,
        grace_ms=order.grace_ms,
        by=order.abort_id or "",
    )
