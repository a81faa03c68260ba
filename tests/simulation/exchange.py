"""Hubs on the database, and links that delay, hold, strand and lose; the policies decide."""

from __future__ import annotations

from collections.abc import Callable

from hub.core import leases, placement, reconcile
from protocol.session import State
from spoke.core.story import Superseded
from tests.simulation.database import Database
from tests.simulation.machine import Machine, Tail
from tests.simulation.timeline import Timeline
from tests.support.invariants import Key

LEASE, HEARTBEAT, GRACE, LOST_AFTER = 45.0, 10.0, 120.0, 600.0
AT_ONCE = 16


class Link:
    """Both ways in order. What is under way when it is cut is lost, or comes late if it strands."""

    def __init__(self, machine: Machine, hub: Hub) -> None:
        self.machine = machine
        self.hub = hub
        self.epoch = 0
        self.is_up = True
        self.held_until = 0.0
        self.strands = False
        self._last = {"up": 0.0, "down": 0.0}

    def send(self, way: str, what: Callable[[], None]) -> None:
        """``what`` happens at the far side, if it gets there."""
        time = self.machine.time
        at = max(time.now + time.chance.uniform(0.001, 0.1), self.held_until, self._last[way])
        self._last[way] = at
        late = way == "up"  # a hub may hear, long afterwards, what a stranded link still carried

        def arrive() -> None:
            if self.is_up or (late and self.strands):
                what()

        time.later(at - time.now, arrive)

    def cut(self) -> None:
        if not self.is_up:
            return
        self.is_up = False
        machine = self.machine
        if self in (machine.link, machine.dialling):
            machine.link = machine.dialling = None
            for tail in machine.tails.values():
                tail.asked = False
            machine.soon(lambda: machine.redial(machine), 0.5, 6)
        if not self.strands and self.hub.links.get(machine.name) is self:
            del self.hub.links[machine.name]


class Hub:
    def __init__(self, db: Database, time: Timeline, machines: dict[str, Machine]) -> None:
        self.db = db
        self.time = time
        self.machines = machines
        self.is_up = True
        self.is_frozen = False
        self.links: dict[str, Link] = {}
        self.told: dict[str, int] = {}
        self.began = time.now
        self.looked = time.now
        self.heard: dict[str, float] = {}

    def kill(self) -> None:
        self.is_up = False
        links, self.links = self.links, {}
        self.told.clear()
        for link in links.values():
            link.cut()

    def start(self) -> None:
        self.is_up = True
        self.began = self.looked = self.time.now

    def turn(self) -> None:
        """All that happens by itself."""
        if not self.is_up or self.is_frozen:
            return
        self._place()
        for link in list(self.links.values()):
            self._dispatch(link)
        self._reap()
        self._leave_to_others()

    def greet(self, link: Link) -> None:
        machine, db, now = link.machine, self.db, self.time.now
        if not self.is_up or self.is_frozen:
            link.cut()
            return
        inventory = machine.inventory()
        last_seq = machine.disk.last_seq
        link.epoch, rebooted = db.greet(now, machine.name, machine.boot)
        by = machine.name, link.epoch
        held = [
            reconcile.Held(
                session_id=id, attempt=attempt, current_attempt=db.rows[id].attempt,
                state=db.rows[id].state, aborting=db.rows[id].aborting, stored=mapping.stored,
                live=mapping.live, accepted=mapping.accepted, given_up=mapping.given_up,
            )
            for (id, attempt), mapping in db.held.items()
            if mapping.spoke == machine.name
        ]  # fmt: skip
        known = [
            reconcile.Known(item.session_id, db.rows[item.session_id].attempt) for item in inventory
        ]
        verdicts, decisions = reconcile.decide(inventory, held, known, rebooted=rebooted)
        for decision in decisions:
            key = decision.session_id, decision.attempt
            if isinstance(decision, reconcile.Found):
                db.found(now, key, by)
            else:
                db.give_up(now, key, by=by)
        db.acked(machine.name, last_seq, link.epoch)
        if (old := self.links.get(machine.name)) is not None:
            old.cut()
        self.links[machine.name] = link
        self.told[machine.name] = last_seq
        self.heard[machine.name] = now
        life = machine.life

        def welcome() -> None:
            if machine.is_up and machine.life == life and machine.dialling is link:
                machine.link, machine.dialling = link, None
                machine.heed(verdicts)

        link.send("down", welcome)

    def append(self, link: Link, key: Key, first: int, tail: Tail) -> None:
        """What a daemon asks; the answer goes back on the same link."""
        if self.is_frozen and self.is_up:  # it reads it when it wakes up
            self.time.later(1.0, lambda: self.append(link, key, first, tail))
            return
        if not self.is_up:
            return
        machine = link.machine
        self.heard[machine.name] = self.time.now
        records = machine.disk.spools[key][first - 1 : first - 1 + AT_ONCE]
        verdict, stored = self.db.append(
            self.time.now, machine.name, link.epoch, key, first, records
        )

        def answered() -> None:
            if machine.tails.get(key) is not tail:
                return
            tail.asked = False
            match verdict:
                case "ok":
                    tail.stored = stored
                case "stale_epoch":
                    link.cut()
                case "superseded":
                    tail.held = True
                    machine.tell(key, Superseded())

        link.send("down", answered)

    def _dispatch(self, link: Link) -> None:
        machine, after = link.machine, self.told.get(link.machine.name, 0)
        orders = self.db.pending(machine.name, after)
        if not orders:
            return
        self.told[machine.name] = orders[-1].seq
        life = machine.life

        def arrive() -> None:
            if machine.is_up and machine.life == life and machine.link is link:
                taken = machine.take(orders)
                link.send("up", lambda: self.db.acked(machine.name, taken, link.epoch))

        link.send("down", arrive)

    def _place(self) -> None:
        db = self.db
        live = dict.fromkeys(db.spokes, 0)
        for mapping in db.held.values():
            live[mapping.spoke] += mapping.live
        rooms = [
            placement.Room(name, name, {}, 4, live[name])
            for name, spoke in db.spokes.items()
            if spoke.online and live[name] < 4
        ]
        waiting = [
            placement.Waiting(row.id, None, {})
            for row in db.rows.values()
            if row.state is State.QUEUED
        ]
        for place in placement.decide(waiting, rooms):
            db.assign(self.time.now, place.session_id, place.spoke_id)

    def _leave_to_others(self) -> None:
        """A spoke with a newer connection, or out of reach, comes with a hello."""
        for name, link in list(self.links.items()):
            spoke = self.db.spokes[name]
            if not spoke.online or spoke.epoch != link.epoch:
                link.cut()
                self.links.pop(name, None)

    def _reap(self) -> None:
        db, now = self.db, self.time.now
        for name, link in self.links.items():
            if link.is_up and db.spokes[name].epoch == link.epoch:
                db.spokes[name].heard = max(db.spokes[name].heard, self.heard.get(name, 0))
        online = [name for name, spoke in db.spokes.items() if spoke.online]
        expired = [name for name in online if now - db.spokes[name].heard > LEASE]
        gap, self.looked = now - self.looked, now
        seen = leases.look(
            leases.Snapshot(len(online), expired, now - self.began, gap, grace=GRACE)
        )
        for name in seen.expired:
            db.expire(now, name)
        if seen.may_give_up:
            for row in db.rows.values():
                if row.state is State.UNKNOWN and now - row.since > LOST_AFTER:
                    db.give_up(now, (row.id, row.attempt), only_in=State.UNKNOWN, by=None)
