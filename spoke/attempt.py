"""One attempt: carries out what `spoke.core.supervise` asks for, and tells it what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, assert_never

from pydantic import JsonValue

from protocol.errors import CallError
from protocol.ops.wire import AnswerOrder, InventoryItem, MessageOrder, StartOrder
from spoke import outfit
from spoke.chores import Chores
from spoke.core import story
from spoke.core.supervise import Life, Phase, advance
from spoke.flight import in_thread, until_done
from spoke.folder import Folder
from spoke.journal import Key
from spoke.outfit import Outfit, Rooms
from spoke.sweep import kill_marked
from spoke.uplink import Ears
from spoke.watch import Watch

T = TypeVar("T")
_log = logging.getLogger(__name__)

_INTRODUCTION_S: Final = 2.0  #: within it, a supervisor that got its assignment says who it is
_LOOK_S: Final = 0.01
_AGAIN_S: Final = 5.0  #: before the end is written again to a disk that did not take it

_STOPPED: Final = story.Fault("CANCELLED", "it was stopped")
_STATES: Final = {Phase.UP: "running", Phase.ENDED: "exited", Phase.FORGOTTEN: "exited"}


class Attempt:
    def __init__(self, key: Key, order: StartOrder, rooms: Rooms) -> None:
        self.key = key
        self.over = asyncio.Event()  #: no agent of it lives, and none will
        self.known = asyncio.Event()  #: whether it has a supervisor; without one, its end
        self.forgotten = asyncio.Event()
        self.is_damaged = False  #: what is on disk of it cannot be read
        self._order = order
        self._rooms = rooms
        self._folder = Folder(rooms.settings.places, key)
        self._life = Life()
        self._messages: dict[str, MessageOrder] = {}
        self._answers: dict[int, AnswerOrder] = {}
        self._making: asyncio.Task[Outfit] | None = None
        self._outfit: Outfit | None = None
        self._worktree = Path(order.worktree) if order.worktree else None
        self._chores = Chores()
        self._saver = rooms.saves.of(key)
        ears = Ears(
            settled=lambda message: self.tell(story.MessageSettled(message)),
            stored=lambda: self.tell(story.Stored()),
            superseded=lambda: self.tell(story.Superseded()),
            supervisor=self._supervisor,
            ended=self._saver.ended,
        )
        self.tail = rooms.uplink.follow(key, self._folder.spool, ears)
        self._watch = Watch(self._folder, self.tail.grew)

    @property
    def phase(self) -> Phase:
        return self._life.phase

    @property
    def is_fenced(self) -> bool:
        return self._order.fence_ms is not None

    def item(self) -> InventoryItem:
        """It has exited as soon as its supervisor says so, which may stay until that lasts: an end
        is believed also where the session was given up, and an agent that runs is not.
        """
        return InventoryItem.model_validate(
            {
                "session_id": self.key.session_id,
                "attempt": self.key.attempt,
                "state": "exited" if self.tail.has_ended else _STATES.get(self.phase, "starting"),
                "last_record": self.tail.last,
            }
        )

    def tell(self, fact: story.Fact) -> None:
        before = self._life.phase
        self._life, effects = advance(self._life, fact)
        if self._life.phase is not before:
            _log.debug("%s: %s -> %s", self.key, before, self._life.phase)
        if self._life.phase in (Phase.ENDED, Phase.FORGOTTEN):
            self.over.set()
        if self._life.phase not in (Phase.NEW, Phase.LAUNCHING, Phase.SWEEPING):
            self.known.set()
        for effect in effects:
            self._carry_out(effect)

    def say(self, message: MessageOrder) -> None:
        if message.message_id in self._messages:  # told again: the first answer was lost
            return
        self._messages[message.message_id] = message
        self.tell(story.MessageOrdered(message.message_id))

    def answer(self, order: AnswerOrder) -> None:
        self._answers.setdefault(order.question, order)
        self.tell(story.AnswerOrdered(order.question))

    async def find(self) -> None:
        """After a restart: take it up where the daemon before us left it.

        Raises DataLoss when its spool is broken; it is then left alone.
        """
        contents = await self._on_disk(lambda: in_thread(self._folder.read))
        self.tail.last = contents.last
        self._worktree = contents.worktree or self._worktree
        for id in contents.settled:
            self.tell(story.MessageSettled(id))
        if self._worktree is not None:
            self._saver.found(self._worktree)
        was_launched = await self._on_disk(lambda: in_thread(self._folder.was_launched))
        if contents.ended or was_launched:
            self.tell(story.Adopted(contents.ended))
        else:
            self.tell(story.Ordered())
        self.tail.look()

    async def close(self) -> None:
        """Stop attending to it: what runs goes on, what git makes is rolled back."""
        await self._chores.close()

    # Effects.

    def _carry_out(self, effect: story.Effect) -> None:
        match effect:
            case story.MakeWorktree():
                making = outfit.make(self.key, self._order, self._folder, self._rooms)
                self._making = self._chores.start(making, f"worktree of {self.key}", quiet=True)
                self._making.add_done_callback(self._made)
            case story.CancelWorktree():
                if self._making is not None:
                    self._making.cancel()
            case story.Mute():
                self.tail.hold()
            case story.SendStop(stop):  # behind the messages before it: their chores begin first
                asyncio.get_running_loop().call_soon(self._watch.stop, stop)
            case story.SendStored():
                self._watch.stored()
            case _:
                self._chores.start(self._do(effect), f"{effect} of {self.key}")

    async def _do(self, effect: story.Work) -> None:
        match effect:
            case story.UndoWorktree():
                await self._undo_worktree()
                self.tell(story.WorktreeFailed(_STOPPED))
            case story.Launch():
                await self._launch()
            case story.Attach():
                await self._attach()
            case story.KillMarked():
                await self._sweep()
            case story.WriteExited(exit, undelivered):
                await self._write_exited(exit, undelivered)
            case story.Salvage():
                await self._salvage()
            case story.Forget():
                await self._forget()
            case _:
                await self._speak(effect)

    async def _speak(self, effect: story.Speech) -> None:
        match effect:
            case story.SendAnswer(question):
                await self._watch.answer(self._answers[question])
            case story.SendMessage(id):
                said = self._messages[id]
                await self._watch.message(id, said.text, said.mode)
            case story.WaitGrace(ms):
                await asyncio.sleep(ms / 1_000)
                self.tell(story.GraceOver())
            case _:
                assert_never(effect)

    def _made(self, making: asyncio.Task[Outfit]) -> None:
        if making.cancelled():
            if self._life.phase is Phase.UNDOING:  # else the daemon is closing
                self.tell(story.WorktreeFailed(_STOPPED))
            return
        error = making.exception()
        if error is None:
            self._outfit = making.result()
            self._worktree = self._outfit.worktree.path
            self.tell(story.WorktreeMade())
        else:
            self.tell(story.WorktreeFailed(_fault(error)))

    async def _launch(self) -> None:
        assert self._outfit is not None  # noqa: S101 - only what is made is launched
        made = self._outfit
        try:
            self._folder.mark_launched()
            given = outfit.assignment(
                self.key, self._order, self._folder, self._rooms, made, told=bool(self._messages)
            )
            is_new = not (self._order.resume or self._order.resumed)
            begin = self._saver.born if is_new else self._saver.found
            begin(made.worktree.path)
            # To the end, even if we are closing: a cancelled start kills the agent.
            await until_done(self._rooms.supervisors.start(given))
        except (CallError, OSError) as error:
            recorded = await self._on_disk(lambda: in_thread(self._folder.is_ended))
            if recorded:  # before its end is told: who hears of it may want the branch again
                await self._undo_worktree()
            self.tell(story.SupervisorRefused(_fault(error), recorded))
            self.tail.look()
            return
        self.tail.look()
        await self._attend()

    async def _attach(self) -> None:
        """Look for the supervisor of a daemon that may have died before it was introduced."""
        deadline = time.monotonic() + _INTRODUCTION_S
        while self._folder.supervisor() is None:
            if time.monotonic() > deadline:
                await self._on_disk(lambda: in_thread(self._folder.bar))
                break
            await asyncio.sleep(_LOOK_S)
        await self._attend()

    async def _attend(self) -> None:
        up = story.SupervisorUp()
        recorded = await self._on_disk(lambda: self._watch.keep(lambda: self.tell(up)))
        rebooted = not recorded and await self._on_disk(
            lambda: in_thread(self._folder.is_of_another_boot)
        )
        self.tell(story.SupervisorGone(recorded, rebooted))
        self.tail.look()

    async def _undo_worktree(self) -> None:
        """Only what was made now and nobody has touched; else it stays, as after any attempt."""
        if self._worktree is None or self._order.resume:
            return
        try:
            found = await self._rooms.worktrees.inspect(self._worktree)
            if not found.dirty and found.head == found.base:
                await self._rooms.worktrees.remove(self._worktree, delete_branch=True)
        except (CallError, OSError) as error:
            _log.warning("the worktree of %s stays: %s", self.key, error)

    async def _sweep(self) -> None:
        group = await in_thread(self._folder.group)
        swept = await kill_marked(self.key.session_id, self.key.attempt, group)
        self.tell(story.Swept(len(swept.ended), len(swept.survivors)))

    async def _write_exited(self, exit: story.Exit, undelivered: Sequence[str]) -> None:
        await self._on_disk(lambda: in_thread(self._folder.make))
        await self._on_disk(lambda: in_thread(self._folder.write_exit, exit, tuple(undelivered)))
        self.tail.look()

    async def _on_disk(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns, once the disk takes it: it may be full for a while."""
        while True:
            try:
                return await work()
            except OSError as error:
                _log.warning("the disk does not take what %s needs: %s", self.key, error)
                await asyncio.sleep(_AGAIN_S)

    async def _salvage(self) -> None:
        await self._saver.salvage()
        self.tell(story.Salvaged())

    async def _forget(self) -> None:
        self.tail.end()
        await (self._saver.leave() if self._life.muted else self._saver.settle())
        await self._on_disk(lambda: self._rooms.tidier.forget(self.key, self._folder))
        self.forgotten.set()

    def _supervisor(self) -> JsonValue:
        match self._folder.supervisor():
            case {"pid": int(pid), "startTime": int(start)}:
                return {"pid": pid, "startTime": start}
            case _:
                return None


def _fault(error: BaseException) -> story.Fault:
    if isinstance(error, CallError):
        return story.Fault(error.reason, error.message, error.advice)
    if not isinstance(error, OSError):
        _log.error("an attempt could not begin", exc_info=error)
    advice = "the spoke's log has the story"
    return story.Fault("SPOKE_FAULT", f"{type(error).__name__}: {error}", advice)
