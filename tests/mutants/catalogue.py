"""Hand-written bugs, one line each; the tests beside each one must catch it.

To add some: append a `Mutant` whose `old` occurs exactly once in `file`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutant:
    """``file`` with ``old`` replaced by ``new``; paths are relative to the repository."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_BOARD: Final = "protocol/switchboard.py"
_BOARD_TESTS: Final = ("tests/model/test_switchboard.py", "tests/unit/test_switchboard.py")


def _board(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, _BOARD, old, new, _BOARD_TESTS)


SWITCHBOARD: Final = (
    _board("answer before children", "        if entry.children:\n", "        if False:\n"),
    _board(
        "no cascade",
        "return effects + self._abort_all(entry.children, why)",
        "return effects",
    ),
    _board(
        "children of a finished call are not aborted",
        'return self._abort_all(entry.children, _cancelled("its parent call is over"))',
        "return []",
    ),
    _board(
        "child accepted under an aborted parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is None or above.outcome)",
    ),
    _board(
        "child accepted under a finished parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is None or above.aborted)",
    ),
    _board(
        "child accepted under an answered parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is not None and (above.aborted or above.outcome))",
    ),
    _board(
        "settle twice",
        "if entry is None or entry.runs_on is not None or entry.outcome is not None:",
        "if entry is None or entry.runs_on is not None:",
    ),
    _board(
        "a handler answers for the far side",
        "if entry is None or entry.runs_on is not None or entry.outcome is not None:",
        "if entry is None or entry.outcome is not None:",
    ),
    _board(
        "lost link not failed",
        "if entry.runs_on == link and entry.call.id in self._calls:",
        "if False:",
    ),
    _board(
        "lost caller not aborted",
        "                if not entry.call.detach:\n",
        "                if False:\n",
    ),
    _board(
        "detached caller aborted",
        "                if not entry.call.detach:\n",
        "                if True:\n",
    ),
    _board(
        "answer sent to a lost caller",
        "                entry.placed_by = None\n",
        "                pass\n",
    ),
    _board(
        "held answer never sent",
        "if above.outcome is not None and not above.children:",
        "if False:",
    ),
    _board(
        "held answer sent at the first child",
        "if above.outcome is not None and not above.children:",
        "if above.outcome is not None:",
    ),
    _board(
        "abort of somebody else's call",
        "if entry is None or entry.placed_by != link:\n                    return []",
        "if entry is None:\n                    return []",
    ),
    _board(
        "abort the whole board",
        "effects + self._abort_all(entry.children, why)",
        "effects + self._abort_all(self._calls, why)",
    ),
    _board(
        "never stop the handler",
        "            effects.append(Stop(entry.call.id, why))",
        "            pass",
    ),
    _board(
        "never tell the far side of an abort",
        "effects.append(Send(entry.runs_on, Abort(entry.call.id, why.message)))",
        "pass",
    ),
    _board("told to stop twice", "        if entry.aborted is not None:\n", "        if False:\n"),
    _board(
        "answer from the wrong link accepted",
        "        if entry is None or entry.runs_on != link:\n"
        '            return [Accuse(link, f"an answer',
        '        if entry is None:\n            return [Accuse(link, f"an answer',
    ),
    _board(
        "item from the wrong link accepted",
        "        if entry is None or entry.runs_on != link:\n"
        '            return [Accuse(link, f"an item',
        '        if entry is None:\n            return [Accuse(link, f"an item',
    ),
    _board("item gap accepted", "if item.seq != entry.items + 1:", "if item.seq <= entry.items:"),
    _board(
        "item repeated accepted",
        "if item.seq != entry.items + 1:",
        "if item.seq > entry.items + 1:",
    ),
    _board(
        "item after the end",
        "entry.placed_by is None or entry.aborted or entry.outcome:\n            return []\n"
        "        entry.items += 1",
        "entry.placed_by is None:\n            return []\n        entry.items += 1",
    ),
    _board("credit ignored", "return entry.items < entry.granted", "return True"),
    _board("credit not added", "        entry.granted += credit.n\n", "        pass\n"),
    _board(
        "one item too many",
        "return entry.items < entry.granted",
        "return entry.items <= entry.granted",
    ),
    _board(
        "credit from the wrong link",
        "if entry is None or entry.placed_by != link or entry.granted is None:",
        "if entry is None or entry.granted is None:",
    ),
    _board(
        "a detached stream waits for the credit of a lost reader",
        "if entry is None or entry.placed_by is None or entry.granted is None:",
        "if entry is None or entry.granted is None:",
    ),
    _board(
        "in-flight count not lowered", "            self._asked[entry.placed_by] -= 1\n", ""
    ),
    _board("no limit in flight", "if asked >= MAX_IN_FLIGHT:", "if asked < 0:"),
    _board(
        "in-flight count survives the link", "        self._asked.pop(link, None)\n", ""
    ),
    _board("duplicate id re-run", "if call.id in self._calls:", "if False:"),
    _board(
        "duplicate id answered under the id",
        "return [Send(link, Fault(None, twice))]",
        "return [Send(link, Fault(call.id, twice))]",
    ),
)  # fmt: skip


def _policy(name: str, room: str, old: str, new: str) -> Mutant:
    return Mutant(name, f"hub/core/{room}.py", old, new, (f"tests/unit/test_{room}.py",))


POLICIES: Final = (
    _policy("a full spoke is overfilled", "placement", "self.live < self.slots", "True"),
    _policy(
        "labels do not matter",
        "placement",
        "            and session.requires.items() <= self.labels.items()\n",
        "",
    ),
    _policy(
        "a spoke fills up unseen",
        "placement",
        "free[best.spoke_id] = replace(best, live=best.live + 1)",
        "free[best.spoke_id] = best",
    ),
    _policy(
        "an old attempt goes on",
        "reconcile",
        "if one is None or item.attempt < known:",
        "if one is None:",
    ),
    _policy(
        "what nobody knows is superseded",
        "reconcile",
        "if known is None or item.attempt > known or (one is None and item.attempt == known):",
        "if False:",
    ),
    _policy(
        "an order that never arrived is given up",
        "reconcile",
        "if one.live and one.accepted and",
        "if one.live and",
    ),
    _policy("an abort that waits is forgotten", "reconcile", '"stop" if one.aborting else ', ""),
    _policy(
        "no grace after a start",
        "leases",
        "if snapshot.uptime < snapshot.grace:",
        "if False:",
    ),
    _policy(
        "a reaper that slept trusts itself",
        "leases",
        "if snapshot.gap > LOOP_GAP_SECONDS:",
        "if False:",
    ),
    _policy("a storm is believed", "leases", "many >= STORM_LEAST and ", "False and "),
    _policy(
        "force saves nothing", "keeping", "save=True, branch=False", "save=False, branch=False"
    ),
    _policy("dirt is removed", "keeping", "    if seen.dirty:\n", "    if False:\n"),
    _policy(
        "what cannot be seen is removed", "keeping", "    if seen is None:\n", "    if False:\n"
    ),
)


_SQL: Final = "sql/migrations/0001_first.sql"
_STORE: Final = "tests/integration/"


def _sql(name: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name, _SQL, old, new, (f"tests/integration/{test}.py",))


#: What keeps two truths apart: attempts, epochs, sequences, locks, and the disk before the deed.
FENCES: Final = (
    _sql(
        "any attempt may write",
        "IF m.session_id IS NULL OR z.attempt <> a",
        "IF m.session_id IS NULL",
        "test_fences",
    ),
    _sql(
        "any connection may write",
        "WHERE x.spoke_id = sp AND x.epoch = ep FOR KEY SHARE;\n    IF NOT FOUND THEN\n"
        "        verdict :=",
        "WHERE x.spoke_id = sp FOR KEY SHARE;\n    IF NOT FOUND THEN\n        verdict :=",
        "test_append",
    ),
    _sql(
        "what was stored is stored again",
        "skip := greatest(0, m.stored + 1 - first);",
        "skip := 0;",
        "test_append",
    ),
    _sql(
        "a gap is stored",
        "IF first > m.stored + 1 OR skip >= n THEN",
        "IF skip >= n THEN",
        "test_append",
    ),
    _sql(
        "who should reconnect is told to stop",
        "verdict := 'stale_epoch'; stored := 0;",
        "verdict := 'superseded'; stored := 0;",
        "test_append",
    ),
    _sql(
        "late truth is refused",
        "AND z.state <> 'lost' AND first > m.stored",
        "AND first > m.stored",
        "test_append",
    ),
    _sql(
        "an ended attempt writes on",
        "OR (m.released_at IS NOT NULL AND z.state <> 'lost' AND first > m.stored) THEN",
        "THEN",
        "test_append",
    ),
    _sql(
        "an abort ends at its first level",
        "AND c.on_parent_abort = 'abort-dependents';\n    END LOOP;",
        "AND false;\n    END LOOP;",
        "test_aborting",
    ),
    _sql(
        "one key makes two sessions",
        "CREATE UNIQUE INDEX sessions_key",
        "CREATE INDEX sessions_key",
        "test_spawning",
    ),
    _sql(
        "two sessions hold one branch",
        "CREATE UNIQUE INDEX sessions_branch",
        "CREATE INDEX sessions_branch",
        "test_spawning",
    ),
    _sql(
        "what its spoke calls lost has failed",
        "WHEN 'lost' THEN 'given_up'\n",
        "\n",
        "test_append",
    ),
    Mutant(
        "a parent is not held",
        "sql/queries/sessions.sql",
        "ORDER BY p.session_id FOR SHARE)",
        "ORDER BY p.session_id)",
        ("tests/faults/test_races.py::test_fault_21_abort_against_spawn",),
    ),
    Mutant(
        "born under an aborted parent",
        "sql/queries/sessions.sql",
        "(p.desired = 'run' AND NOT session_ended(p.state))",
        "(NOT session_ended(p.state))",
        ("tests/integration/test_spawning.py",),
    ),
    Mutant(
        "ended by its id, whatever the attempt",
        "hub/store/exchange.py",
        "if locked is None or locked.attempt != attempt:",
        "if locked is None:",
        ("tests/integration/test_fences.py",),
    ),
    Mutant(
        "acknowledged when it was sent",
        "hub/spokes.py",
        "            try:\n                said = await node.ask(",
        "            await self._store.outbox.acked(spoke.spoke_id, rows[-1].seq, spoke.epoch)\n"
        "            try:\n                said = await node.ask(",
        ("tests/integration/test_hello.py",),
    ),
    Mutant(
        "who is not told does not ask",
        "hub/bells.py",
        "async with asyncio.timeout(within):",
        "async with asyncio.timeout(None):",
        ("tests/integration/test_several_hubs.py",),
    ),
    Mutant(
        "acted on before it is on the disk",
        "spoke/attempts.py",
        "            if new:\n                await in_thread(",
        "            for order in fresh:\n                self._act(order)\n"
        "            if new:\n                await in_thread(",
        ("tests/unit/test_attempts.py",),
    ),
    Mutant(
        "acted on again",
        "spoke/attempts.py",
        "for order in orders if order.seq > self.last_seq}",
        "for order in orders}",
        ("tests/shell/test_spoke.py",),
    ),
    Mutant(
        "a journal that the disk may lose",
        "spoke/journal.py",
        "                os.fdatasync(self._fd)\n",
        "",
        ("tests/unit/test_journal.py",),
    ),
    Mutant(
        "an end that the disk may lose",
        "spoke/folder.py",
        "            writer.sync()\n",
        "",
        ("tests/unit/test_folder.py",),
    ),
    Mutant(
        "told to reconnect, it stops its agents",
        "spoke/uplink.py",
        '            case "stale_epoch":\n'
        "                self._lose(channel)\n"
        "                channel.drop()\n",
        '            case "stale_epoch":\n'
        "                tail.hold()\n"
        "                tail.ears.superseded()\n",
        ("tests/shell/test_spoke.py",),
    ),
    Mutant(
        "what a dead supervisor left lives on",
        "spoke/core/supervise.py",
        "        life = replace(life, fault=REBOOTED)\n"
        "    return replace(life, phase=Phase.SWEEPING), [KillMarked()]",
        "        life = replace(life, fault=REBOOTED)\n    return _swept(life, fact)",
        ("tests/unit/test_supervise.py",),
    ),
    Mutant(
        "a reboot is a failure",
        "spoke/core/supervise.py",
        "    if fault is REBOOTED:\n",
        "    if False:\n",
        ("tests/unit/test_supervise.py",),
    ),
)


def _trap(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/shell/test_traps.py",))


TRAPS: Final = (
    _trap(
        "a task that never began answers nothing",
        "protocol/aio/running.py",
        "add_done_callback(lambda task: self._finished(call, task))",
        "add_done_callback(lambda task: task.cancelled() or self._finished(call, task))",
    ),
    _trap(
        "nobody watches over sends",
        "protocol/aio/carrier.py",
        "                self.wire.cut()\n",
        "                pass\n",
    ),
    _trap(
        "the kernel waits for a frozen peer",
        "protocol/aio/dial.py",
        "        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)\n",
        "        pass\n",
    ),
    _trap(
        "the reader awaits the handlers",
        "protocol/aio/carrier.py",
        "            take(self, message)\n",
        "            take(self, message)\n"
        "            handlers = [t for t in asyncio.all_tasks() if '_handle' in repr(t)]\n"
        "            await asyncio.gather(*handlers)\n",
    ),
    _trap(
        "being let in ends a spoke's patience",
        "spoke/link.py",
        "        if ended.up >= STEADY_S:\n",
        "        if True:\n",
    ),
    _trap(
        "a welcome ends a client's patience",
        "coord/line.py",
        "        if loop.time() - since > STEADY_SECONDS:\n",
        "        if True:\n",
    ),
    _trap(
        "closing takes as long as it likes",
        "protocol/aio/dial.py",
        "            close_timeout=CLOSE_SECONDS,\n",
        "",
    ),
)


MUTANTS: Final = (*SWITCHBOARD, *POLICIES, *FENCES, *TRAPS)
