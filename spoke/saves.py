"""Saves the work of every attempt: by the clock, after its end, and when it is superseded.

Nobody waits for git here. Files are looked at without git first, and git runs at idle priority, or
at a low one behind an end, because the receipt of an abort names what is saved soon. What a save
came to is reported, and is never a failure of the session.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import JsonValue

from protocol.errors import CallError, NotFound
from protocol.ops.wire import Saved
from spoke import changes, pushing
from spoke.changes import Mark
from spoke.chores import Chores
from spoke.clones import Clone
from spoke.flight import Together, Turns
from spoke.idle import NICE, NICEST
from spoke.journal import Key
from spoke.place import Place
from spoke.reports import Reports
from spoke.worktrees import Worktrees

_log = logging.getLogger(__name__)

PUSHES: Final = 4  #: at once
PUSH_AGAIN_MOST: Final = 60  #: saving intervals from one try of a push to the next, at most
LATER_PUSHES: Final = 150  #: tries, after an end: five or six days of them
TOLD_SECONDS: Final = 30.0  #: for which a superseded attempt waits until the hub knows its ref
_JITTER: Final = 0.1


@dataclass(slots=True)
class Saves:
    """What all attempts share. `every` is in seconds, 0: never by itself."""

    worktrees: Worktrees
    every: float
    push: bool
    reports: Reports = field(default_factory=Reports)
    chores: Chores = field(default_factory=Chores)
    room: asyncio.Semaphore = field(default_factory=lambda: _room())
    last: asyncio.Semaphore = field(default_factory=lambda: _room())
    pushes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PUSHES))
    turns: Turns = field(default_factory=Turns)  #: of attempts that send to one ref
    looks: Together[tuple[Place, Mark], bool] = field(init=False)  #: at what was touched

    def __post_init__(self) -> None:
        self.looks = Together(_is_touched, self.chores, "looking for changes")

    def start(self) -> None:
        self.chores.start(self.reports.tell(), "reports of saves")

    async def close(self) -> None:
        await self.chores.close()

    def of(self, key: Key) -> Saver:
        return Saver(key, self)


class Saver:
    """Of one attempt. `found` or `born` begin it, `ended` is its last but one word."""

    def __init__(self, key: Key, saves: Saves) -> None:
        self._key = key
        self._saves = saves
        self._path: Path | None = None
        self._place: Place | None = None
        self._mark: Mark | None = None
        self._commit: str | None = None
        self._pushed: tuple[str, str] | None = None  #: the ref and the commit that the source has
        self._tries = 0  #: of a push that failed
        self._said: Saved | None = None
        self._alone = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._final: asyncio.Task[None] | None = None
        self._is_settled = False

    def born(self, worktree: Path) -> None:
        """It was made a moment ago, and its agent is about to start."""
        self.found(worktree)
        try:
            self._place = self._saves.worktrees.place(worktree)
            self._mark = changes.born(self._place)
        except (CallError, OSError):
            self._mark = None

    def found(self, worktree: Path) -> None:
        """It is there; nothing is known of what was done in it."""
        self._path = worktree
        if self._saves.every and self._keeping is None:
            self._keeping = self._saves.chores.start(self._keep(), f"saving {self._key}")

    async def ended(self) -> Mapping[str, JsonValue]:
        """Its agent is dead: what its last record says of its work. Saving goes on behind it."""
        if self._is_settled or not await self._begin_final():
            return self._ref_of(self._commit)
        return {**self._ref_of(self._commit), "saving": True}

    async def settle(self) -> None:
        """Returns when all there was to save at its end is saved, or cannot be."""
        if not self._is_settled and await self._begin_final() and self._final is not None:
            await asyncio.wait([self._final])
        self._is_settled = True

    async def salvage(self) -> None:
        """It is superseded, and about to be stopped: what is here goes to a ref of its own."""
        self._stop_keeping()
        self._is_settled = True
        try:
            await self._write(self._ref("salvage"), NICE)
        except (CallError, OSError) as error:
            _log.warning("%s is superseded and could not be saved: %s", self._key, error)

    async def leave(self) -> None:
        """As `salvage`, after its agent was seen dead; the hub and its repository hear of it."""
        self._stop_keeping()
        self._is_settled = True
        if self._path is None:
            return
        report = await self._save("salvage", final=True)
        if report is not None and not await self._saves.reports.wait_told(report, TOLD_SECONDS):
            _log.warning("the hub was not told where %s is saved: %s", self._key, report.ref)

    async def _begin_final(self) -> bool:
        """Whether there may be something new; then it is being saved."""
        if self._final is None:
            self._stop_keeping()
            if self._path is None or not self._saves.every or not await self._is_changed():
                self._is_settled = True
                return False
            self._final = self._saves.chores.start(self._finish(), f"last save of {self._key}")
        return True

    async def _finish(self) -> None:
        await self._save("wip", final=True)
        self._is_settled = True
        if self._saves.push and not self._is_pushed(self._ref("wip"), self._commit):
            self._saves.chores.start(self._send_later(), f"last push of {self._key}")

    async def _send_later(self) -> None:
        """What the source did not take at its end, while the session has nothing newer, here or
        there: it may have gone on at another spoke. Nobody waits: the work is safe here."""
        commit, ref = self._commit, self._ref("wip")
        for tries in range(LATER_PUSHES):
            await asyncio.sleep(self._saves.every * min(1 << tries, PUSH_AGAIN_MOST))
            try:
                why = await self._push(commit, ref, late=True)
            except (CallError, OSError) as error:
                why = _words(error)
                if isinstance(error, NotFound):
                    return  # it was tidied away meanwhile
            pushed = self._is_pushed(ref, commit)
            if pushed or why:
                self._report("wip", ref, commit, final=True, pushed=pushed, why=why)
            if not why:
                return

    def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()

    async def _keep(self) -> None:
        """The first look is git's own: what an agent did in its first tick leaves no trace."""
        looked = False
        while True:
            spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
            await asyncio.sleep(self._saves.every * spread)
            if not looked or await self._is_changed() or self._owes_push():
                await self._save("wip")
                looked = True

    async def _is_changed(self) -> bool:
        """Also True when nobody can say."""
        mark, path = self._mark, self._path
        if mark is None or path is None:
            return True
        try:
            self._place = self._place or self._saves.worktrees.place(path)
        except CallError:
            return False  # its clone is not there any more
        return await self._saves.looks.do((self._place, mark))

    def _owes_push(self) -> bool:
        """Less often each time that it failed."""
        if not self._saves.push or self._is_pushed(self._ref("wip"), self._commit):
            return False
        self._tries += 1
        return self._tries & (self._tries - 1) == 0 or self._tries % PUSH_AGAIN_MOST == 0

    async def _save(self, kind: Literal["wip", "salvage"], *, final: bool = False) -> Saved | None:
        """What was reported; None where there was nothing to say."""
        ref = self._ref(kind)
        async with self._alone:
            try:
                async with self._saves.last if final else self._saves.room:
                    mark = changes.now()
                    commit = await self._write(ref, NICE if final else NICEST)
            except NotFound:
                return self._report(kind, ref, None, final=final)
            except (CallError, OSError) as error:
                _log.warning("the work of %s could not be saved: %s", self._key, error)
                return self._report(kind, ref, None, final=final, why=_words(error))
            self._mark, self._commit = mark, commit
            if final and kind == "wip":  # who waits for the end need not wait for the push
                self._report(kind, ref, commit, final=True, pushed=self._is_pushed(ref, commit))
            why = await self._push(commit, ref)
            pushed = commit is not None and self._is_pushed(ref, commit)
            return self._report(kind, ref, commit, final=final, pushed=pushed, why=why)

    async def _write(self, ref: str, niceness: int) -> str | None:
        path = self._path
        if path is None:
            return None
        session = self._key.session_id
        return await self._saves.worktrees.save(session, path, ref, niceness=niceness)

    async def _push(self, commit: str | None, ref: str, *, late: bool = False) -> str:
        """Why not."""
        if commit is None or self._path is None or self._is_pushed(ref, commit):
            return ""
        if not self._saves.push:
            return "this spoke pushes no saved work (its setting push_saves)"
        clone = self._saves.worktrees.known(self._path)[0]
        async with self._saves.turns.alone(ref), self._saves.pushes:  # two at once: one fails
            if (await clone.objects(ref))[0] != commit:
                return ""  # a later attempt has saved more, and sends that: never the older over it
            why = await self._send(clone, commit, ref, late=late)
        if not why:
            self._pushed, self._tries = (ref, commit), 0
        return why

    async def _send(self, clone: Clone, commit: str, ref: str, *, late: bool) -> str:
        """Out of the hub's reach, or after the end, another attempt may have the ref by now: leave
        that alone."""
        if (self._saves.reports.is_connected and not late) or ref == self._ref("salvage"):
            return await pushing.push(clone, commit, ref)
        known = self._pushed[1] if self._pushed else None
        return await pushing.push_over(clone, commit, ref, known)

    def _report(
        self,
        kind: Literal["wip", "salvage"],
        ref: str,
        commit: str | None,
        *,
        final: bool,
        pushed: bool = False,
        why: str = "",
    ) -> Saved | None:
        """Only news are told."""
        session, attempt = self._key
        has = self._pushed[1] if self._pushed else None
        report = Saved(
            session_id=session, attempt=attempt, kind=kind, ref=ref, commit=commit,
            pushed=pushed, pushed_commit=has, final=final, why=why,
        )  # fmt: skip
        is_news = commit is not None or why or final
        if is_news and report != self._said:
            self._said = report
            self._saves.reports.say(report)
        return report if is_news else None

    def _is_pushed(self, ref: str, commit: str | None) -> bool:
        return commit is None or self._pushed == (ref, commit)

    def _ref(self, kind: Literal["wip", "salvage"]) -> str:
        session, attempt = self._key
        return f"refs/coord/{kind}/{session}" + (f"/{attempt}" if kind == "salvage" else "")

    def _ref_of(self, commit: str | None) -> Mapping[str, JsonValue]:
        return {"savedRef": self._ref("wip")} if commit else {}


def _is_touched(known: tuple[Place, Mark]) -> bool:
    """Nothing is to be saved of what is not there any more; what we cannot look at may be."""
    place, mark = known
    try:
        return place.tree.exists() and changes.changed(place, mark)
    except OSError:
        return True


def _room() -> asyncio.Semaphore:
    return asyncio.Semaphore(os.cpu_count() or 1)


def _words(error: CallError | OSError) -> str:
    return (error.message if isinstance(error, CallError) else str(error))[:300]
