"""A machine with a spoke on it: what survives a kill -9 of its daemon, and what a reboot.

`spoke.core.supervise` decides; here its effects take virtual time, and may be cut off anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.handshake import Verdict
from protocol.ops.wire import InventoryItem
from spoke.core import story
from spoke.core.supervise import Life, Phase, advance
from tests.simulation.database import Order
from tests.simulation.timeline import Timeline
from tests.support.invariants import Key, Line

if TYPE_CHECKING:
    from tests.simulation.exchange import Link

_STATES = {Phase.UP: "running", Phase.ENDED: "exited", Phase.FORGOTTEN: "exited"}


@dataclass(slots=True)
class Supervised:
    """A supervisor and its agent. ``agent`` may outlive it."""

    lines: int
    supervisor: bool = True
    agent: bool = True
    stopping: story.Stop | None = None


@dataclass(slots=True)
class Tail:
    stored: int = 0
    held: bool = False
    asked: bool = False  #: an append is on its way


@dataclass(slots=True)
class Disk:
    orders: list[Order] = field(default_factory=list[Order])
    done: set[Key] = field(default_factory=set[Key])
    launched: set[Key] = field(default_factory=set[Key])
    spools: dict[Key, list[Line]] = field(default_factory=dict[Key, list[Line]])

    @property
    def last_seq(self) -> int:
        return max((order.seq for order in self.orders), default=0)


class Machine:
    def __init__(self, name: str, time: Timeline) -> None:
        self.name = name
        self.time = time
        self.boot = f"{name} boot 1"
        self.disk = Disk()
        self.running: dict[Key, Supervised] = {}
        self.link: Link | None = None
        self.dialling: Link | None = None
        self.life = 0  #: which daemon this is; what an earlier one began ends with it
        self.is_up = False
        self.lives: dict[Key, Life] = {}
        self.tails: dict[Key, Tail] = {}
        self.redial: Callable[[Machine], None] = lambda _: None

    # The machine.

    def start(self) -> None:
        """A daemon starts, and takes over what it finds."""
        if self.is_up:
            return
        self.is_up = True
        self.life += 1
        orders = [order for order in self.disk.orders if order.key not in self.disk.done]
        for order in orders:
            if order.kind == "start":
                self._add(order.key)
        for order in orders:
            if order.kind == "stop" and order.key in self.lives:
                self.tell(order.key, story.StopOrdered(_STOP))
        for key in list(self.lives):
            self._find(key)
        self.soon(lambda: self.redial(self), 0.1, 1)

    def kill_daemon(self) -> None:
        self.is_up = False
        self.lives.clear()
        self.tails.clear()
        for link in (self.link, self.dialling):
            if link is not None:
                link.cut()

    def reboot(self) -> None:
        self.kill_daemon()
        self.running.clear()
        self.boot = f"{self.name} boot {self.life + 1}"

    def kill_supervisor(self, key: Key) -> None:
        """Its agent dies with it; what the agent left behind does not."""
        one = self.running[key]
        if one.supervisor:
            one.supervisor = False
            self._hung_up(key)

    def kill_agent(self, key: Key) -> None:
        if self.running[key].supervisor:
            self._end(key, "failed", "itself")

    # Orders and verdicts.

    def take(self, orders: list[Order]) -> int:
        """On disk, then acted on; what was seen before is neither."""
        new = [order for order in orders if order.seq > self.disk.last_seq]
        self.disk.orders += [Order(one.seq, one.kind, one.key) for one in new]
        for order in new:
            if order.kind == "start":
                self._begin(order.key)
            elif order.key in self.lives:
                self.tell(order.key, story.StopOrdered(_STOP))
        return self.disk.last_seq

    def heed(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            key = verdict.session_id, verdict.attempt
            if key not in self.lives:
                continue
            match verdict.verdict:
                case "continue" | "stop":
                    self.tails[key].held = False
                    self.tails[key].stored = verdict.stored
                case "superseded":
                    self.tell(key, story.Superseded())
                case "finalize":
                    self.tell(key, story.Stored())
                case "quarantine":
                    self.tails[key].held = True

    def inventory(self) -> list[InventoryItem]:
        return [
            InventoryItem.model_validate(
                {
                    "session_id": key[0],
                    "attempt": key[1],
                    "state": _STATES.get(life.phase, "starting"),
                    "last_record": len(self.disk.spools.get(key, [])),
                }
            )
            for key, life in self.lives.items()
        ]

    @property
    def is_known(self) -> bool:
        """Whether the daemon knows of all its attempts who is alive: it says hello only then."""
        return all(life.phase not in (Phase.NEW, Phase.LAUNCHING) for life in self.lives.values())

    def tell(self, key: Key, fact: story.Fact) -> None:
        if key not in self.lives:
            return
        self.lives[key], effects = advance(self.lives[key], fact)
        for effect in effects:
            self._carry_out(key, effect)

    # The daemon's hands.

    def soon(self, what: Callable[[], None], least: float = 0.01, most: float = 0.5) -> None:
        """Unless this daemon is dead by then."""
        life = self.life
        self.time.soon(lambda: what() if self.is_up and self.life == life else None, least, most)

    def _add(self, key: Key) -> None:
        self.lives[key] = Life()
        self.tails[key] = Tail()

    def _begin(self, key: Key) -> None:
        if key in self.lives:
            return
        self._add(key)
        older = [
            other
            for other in self.lives
            if other[0] == key[0] and other[1] < key[1] and self._is_alive(other)
        ]
        for other in older:
            self.tell(other, story.Superseded())
        self._begin_after(key, older)

    def _begin_after(self, key: Key, older: list[Key]) -> None:
        if any(self._is_alive(other) for other in older):
            self.soon(lambda: self._begin_after(key, older), 0.1, 0.3)
        else:
            self.tell(key, story.Ordered())

    def _is_alive(self, key: Key) -> bool:
        life = self.lives.get(key)
        return life is not None and life.phase not in (Phase.ENDED, Phase.FORGOTTEN)

    def _find(self, key: Key) -> None:
        older = [o for o in self.lives if o[0] == key[0] and o[1] < key[1] and self._is_alive(o)]
        if older:
            for other in older:
                self.tell(other, story.Superseded())
            self.soon(lambda: self._find(key), 0.1, 0.3)
            return
        ended = self._is_ended(key)
        if ended or key in self.disk.launched:
            self.tell(key, story.Adopted(ended))
        else:
            self.tell(key, story.Ordered())

    def _is_ended(self, key: Key) -> bool:
        spool = self.disk.spools.get(key, [])
        return bool(spool) and spool[-1].kind == "exited"

    def _carry_out(self, key: Key, effect: story.Effect) -> None:
        chance = self.time.chance
        match effect:
            case story.MakeWorktree():
                self.soon(lambda: self.tell(key, story.WorktreeMade()), 0.05, 2)
            case story.CancelWorktree() | story.UndoWorktree():
                gone = story.WorktreeFailed(story.Fault("CANCELLED", "", ""))
                self.soon(lambda: self.tell(key, gone), 0, 0.1)
            case story.Launch():
                self.disk.launched.add(key)
                self.soon(lambda: self._launch(key), 0, 0.1)
            case story.Attach():
                self.soon(lambda: self._attach(key), 0, 0.1)
            case story.SendStop(stop):
                self.soon(lambda: self._stop(key, stop), 0, 0.05)
            case story.KillMarked():
                self.soon(lambda: self._sweep(key), 0.01, 1)
            case story.WriteExited(exit):
                self.soon(lambda: self._write_exited(key, exit), 0, 0.1)
            case story.Mute():
                self.tails[key].held = True
            case story.Salvage():
                self.soon(lambda: self.tell(key, story.Salvaged()), 0.1, 1 + chance.random())
            case story.Forget():
                self.disk.done.add(key)
                del self.lives[key], self.tails[key]
            case story.SendMessage() | story.WaitGrace() | story.SendStored():
                pass

    def _launch(self, key: Key) -> None:
        self.running[key] = Supervised(self.time.chance.randint(1, 60))
        self._write(key, "starting", {})
        self._write(key, "running", {})
        self._print(key, self.running[key])
        self._attach(key)

    def _attach(self, key: Key) -> None:
        one = self.running.get(key)
        if one is not None and one.supervisor:
            self.tell(key, story.SupervisorUp())
        else:
            self._gone(key)

    def _gone(self, key: Key) -> None:
        rebooted = key not in self.running and key in self.disk.launched
        self.tell(key, story.SupervisorGone(self._is_ended(key), rebooted))

    def _sweep(self, key: Key) -> None:
        left = self.running.pop(key, None)
        self.tell(key, story.Swept(int(left is not None), 0))

    def _write_exited(self, key: Key, exit: story.Exit) -> None:
        if not self._is_ended(key):
            self._write(key, "exited", {"outcome": exit.outcome, "endedBy": exit.ended_by})

    # The supervisor and its agent: they outlive daemons.

    def _print(self, key: Key, one: Supervised) -> None:
        def line() -> None:
            if self.running.get(key) is not one or not one.supervisor:
                return
            if one.lines == 0:
                self._end(key, "completed", "itself")
                return
            one.lines -= 1
            self._write(key, "stdout", {"text": f"{one.lines} to go"})
            self.time.soon(line, 0.1, 2)

        self.time.soon(line, 0.1, 2)

    def _stop(self, key: Key, stop: story.Stop) -> None:
        one = self.running.get(key)
        if one is None or not one.supervisor or one.stopping is not None:
            return
        one.stopping = stop

        def over() -> None:
            if self.running.get(key) is one and one.supervisor:
                self._end(key, stop.outcome, "SIGKILL")

        self.time.soon(over, 0.01, 16)

    def _end(self, key: Key, outcome: str, by: str) -> None:
        del self.running[key]
        self._write(key, "exited", {"outcome": outcome, "endedBy": by})
        self._hung_up(key)

    def _hung_up(self, key: Key) -> None:
        if self.is_up and key in self.lives:
            self.soon(lambda: self._gone(key), 0, 0.05)

    def _write(self, key: Key, kind: str, body: object) -> None:
        self.disk.spools.setdefault(key, []).append(Line(kind, body))


_STOP = story.Stop("aborted", "enough")
