"""One simulated day: hubs, machines, callers and faults from one seed, then a look at it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from spoke.core import story
from tests.simulation.database import Database, Spoke
from tests.simulation.exchange import HEARTBEAT, Hub, Link
from tests.simulation.machine import Machine
from tests.simulation.timeline import Timeline
from tests.support.invariants import Seen, violations

HUBS, MACHINES = 2, 3
FAULTS = (
    "hub killed", "hub frozen", "daemon killed", "machine rebooted", "supervisor killed",
    "agent killed", "link cut", "link held", "link stranded",
)  # fmt: skip
DAY, REST = 600.0, 3_000.0  # seconds: faults fall into the first, all ends within the second


@dataclass(slots=True)
class World:
    seed: int
    time: Timeline = field(init=False)
    db: Database = field(default_factory=Database)
    machines: dict[str, Machine] = field(default_factory=dict[str, Machine])
    hubs: list[Hub] = field(default_factory=list[Hub])
    broken: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self.time = Timeline(self.seed)
        for n in range(MACHINES):
            machine = self.machines[f"m{n}"] = Machine(f"m{n}", self.time)
            self.db.spokes[f"m{n}"] = Spoke()
            machine.redial = self.dial
        self.hubs = [Hub(self.db, self.time, self.machines) for _ in range(HUBS)]
        for hub in self.hubs:
            self.time.every(2.0, hub.turn)
        for machine in self.machines.values():
            machine.start()
            self.time.every(1.0, lambda one=machine: self._report(one))
            self.time.every(HEARTBEAT, lambda one=machine: self._beat(one))

    def run(self) -> list[str]:
        """The day, the night, and what does not hold then."""
        self._plan()
        self.time.run_until(DAY)
        for hub in self.hubs:
            hub.is_frozen = False
            if not hub.is_up:
                hub.start()
        for machine in self.machines.values():
            machine.start()
        while self.time.now < DAY + REST and not self._is_quiet():
            self.time.run_until(self.time.now + 60)
        return violations(self.seen())

    def _is_quiet(self) -> bool:
        busy = any(one.running or one.lives for one in self.machines.values())
        return not busy and all(row.state.ended for row in self.db.rows.values())

    def seen(self) -> Seen:
        alive = [key for one in self.machines.values() for key in one.running]
        spools = {key: spool for one in self.machines.values()
                  for key, spool in one.disk.spools.items()}  # fmt: skip
        return Seen(
            sessions=self.db.sessions(),
            holds=self.db.holds(),
            events=self.db.events(),
            spools=spools,
            processes=dict(enumerate(alive)),
        )

    # What the links carry.

    def dial(self, machine: Machine) -> None:
        if not machine.is_up or machine.link is not None or machine.dialling is not None:
            return
        up = [hub for hub in self.hubs if hub.is_up]
        if not up or not machine.is_known:
            machine.soon(lambda: self.dial(machine), 0.5, 3)
            return
        hub = self.time.chance.choice(up)
        link = machine.dialling = Link(machine, hub)
        link.send("up", lambda: hub.greet(link))
        machine.soon(lambda: link.cut() if machine.dialling is link else None, 8, 12)

    def _beat(self, machine: Machine) -> None:
        link = machine.link
        if machine.is_up and link is not None:
            link.send("up", lambda: link.hub.heard.update({machine.name: self.time.now}))
            if self.time.now - max(link.hub.heard.get(machine.name, 0), 0) > 5 * HEARTBEAT:
                link.cut()  # no answer for long: the daemon dials again

    def _report(self, machine: Machine) -> None:
        link = machine.link
        if not machine.is_up or link is None:
            return
        for key in list(machine.tails):
            tail, spool = machine.tails[key], machine.disk.spools.get(key, [])
            if tail.held or tail.asked:
                continue
            if tail.stored >= len(spool):
                if spool and spool[-1].kind == "exited":
                    machine.tell(key, story.Stored())
                continue
            tail.asked = True
            first = tail.stored + 1
            link.send(
                "up",
                lambda key=key, first=first, tail=tail: link.hub.append(link, key, first, tail),
            )

    # What happens in a day.

    def _plan(self) -> None:
        chance = self.time.chance
        for n in range(chance.randint(4, 14)):
            self.time.later(chance.uniform(0, 0.7 * DAY), lambda n=n: self._spawn(n))
        for _ in range(chance.randint(0, 5)):
            self.time.later(chance.uniform(0, DAY), self._abort)
        for _ in range(chance.randint(0, 3)):
            self.time.later(chance.uniform(0, DAY), self._reopen)
        for _ in range(chance.randint(1, 12)):
            self.time.later(chance.uniform(0, DAY), self._break)

    def _spawn(self, n: int) -> None:
        chance, ids = self.time.chance, list(self.db.rows)
        parent = chance.choice(ids) if ids and chance.random() < 0.4 else None
        for _ in range(chance.randint(1, 2)):  # a caller that repeats itself
            self.db.spawn(self.time.now, f"key {n}", parent)

    def _abort(self) -> None:
        if self.db.rows:
            self.db.abort(self.time.now, self.time.chance.choice(list(self.db.rows)))

    def _reopen(self) -> None:
        if self.db.rows:
            self.db.reopen(self.time.now, self.time.chance.choice(list(self.db.rows)))

    def _break(self) -> None:
        chance = self.time.chance
        machine = chance.choice(list(self.machines.values()))
        hub = chance.choice(self.hubs)
        lasts = chance.choice((1.0, 10.0, 100.0, 700.0)) * chance.uniform(0.5, 1)
        running = list(machine.running)
        fault = chance.choice(FAULTS)
        match fault:
            case "hub killed":
                hub.kill()
                self.time.later(lasts, hub.start)
            case "hub frozen":
                hub.is_frozen = True
                self.time.later(lasts, lambda: setattr(hub, "is_frozen", False))
            case "daemon killed":
                machine.kill_daemon()
                self.time.later(lasts, machine.start)
            case "machine rebooted":
                machine.reboot()
                self.time.later(lasts, machine.start)
            case "supervisor killed" if running:
                machine.kill_supervisor(chance.choice(running))
            case "agent killed" if running:
                machine.kill_agent(chance.choice(running))
            case "link cut" if machine.link is not None:
                machine.link.cut()
            case "link held" if machine.link is not None:
                machine.link.held_until = self.time.now + lasts
            case "link stranded" if machine.link is not None:
                machine.link.held_until = self.time.now + lasts
                machine.link.strands = True
                machine.link.cut()
            case _:
                return
        self.broken[fault] += 1
