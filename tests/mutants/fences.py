"""Bugs in what keeps two truths apart: attempts, epochs, sequences, locks, the disk."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_SQL: Final = "sql/migrations/0001_first.sql"
_STORE: Final = "tests/integration/"


def _sql(name: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name, _SQL, old, new, (f"tests/integration/{test}.py",))


#: What keeps two truths apart: attempts, epochs, sequences, locks, and the disk before the deed.
FENCES: Final = (
    _sql(
        "any attempt may write",
        "IF z.attempt <> a OR (z.released_at",
        "IF (z.released_at",
        "test_fences",
    ),
    _sql(
        "any connection may write",
        "AND m.spoke_id = sp AND p.epoch = ep\n",
        "AND m.spoke_id = sp\n",
        "test_append",
    ),
    _sql(
        "what was stored is stored again",
        "skip := greatest(0, z.stored + 1 - first);",
        "skip := 0;",
        "test_append",
    ),
    _sql(
        "a gap is stored",
        "IF first > z.stored + 1 OR skip >= n THEN",
        "IF skip >= n THEN",
        "test_append",
    ),
    _sql(
        "who should reconnect is told to stop",
        "ELSE 'stale_epoch' END;\n",
        "ELSE 'superseded' END;\n",
        "test_append",
    ),
    _sql(
        "late truth is refused",
        "AND z.state <> 'lost' AND first + n > z.stored",
        "AND first + n > z.stored",
        "test_append",
    ),
    _sql(
        "an end numbered as what a dead machine lost is taken for that",
        "IF skip >= n AND z.endless AND records",
        "IF false AND records",
        "test_append",
    ),
    _sql(
        "the end of what was given up is taken for what a dead machine lost",
        "OR (x.state = 'lost' AND x.result IS NULL) AS endless",
        "AS endless",
        "test_append",
    ),
    _sql(
        "the end of what was given up is stored twice",
        "OR (x.state = 'lost' AND x.result IS NULL) AS endless",
        "OR x.state = 'lost' AS endless",
        "test_append",
    ),
    _sql(
        "what comes after an end in one moment is stored",
        "GROUP BY e ->> 2 HAVING count(*) > 1",
        "WHERE false",
        "test_append",
    ),
    _sql(
        "an ended attempt writes on",
        "OR (z.released_at IS NOT NULL AND z.state <> 'lost' AND first + n > z.stored + 1) THEN",
        "THEN",
        "test_append",
    ),
    _sql(
        "who comes alone overtakes",
        "IF EXISTS (SELECT FROM sessions x WHERE x.state = 'queued' AND x.desired = 'run'",
        "IF EXISTS (SELECT FROM sessions x WHERE false",
        "test_at_once",
    ),
    _sql(
        "at once it goes to a spoke that is another by now",
        "PERFORM FROM spokes p WHERE p.spoke_id = sp AND p.epoch = ep FOR",
        "PERFORM FROM spokes p WHERE p.spoke_id = sp FOR",
        "test_at_once",
    ),
    _sql(
        "a spawn waits for a spoke that somebody holds",
        "NO KEY UPDATE SKIP LOCKED;\n    IF NOT FOUND THEN RETURN NULL;",
        "NO KEY UPDATE;\n    IF NOT FOUND THEN RETURN NULL;",
        "test_at_once",
    ),
    _sql(
        "a spawn waits for a branch with its spoke in hand",
        "WHERE x.session_id = s AND m.released_at IS NULL) THEN\n        RETURN NULL;",
        "WHERE false) THEN\n        RETURN NULL;",
        "test_at_once",
    ),
    _sql(
        "an abort ends at its first level",
        "FILTER (WHERE NOT c.goes_on)",
        "FILTER (WHERE false)",
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
    _sql(
        "what ended by itself is started again",
        "WHERE q.b ->> 'reason' = 'FENCED' OR q.b ? 'policy' LOOP\n"
        "        IF r.b ->> 'reason' = 'FENCED' THEN  -- alone: NULL AND calls it too",
        "LOOP\n        IF true THEN",
        "test_replacing",
    ),
    Mutant(
        "a parent is not held",
        "sql/queries/sessions.sql",
        "ORDER BY p.depth, p.session_id FOR SHARE)",
        "ORDER BY p.depth, p.session_id)",
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
        "hub/fleet/spokes.py",
        "            try:\n                said = await node.ask(",
        "            await self._store.outbox.acked(spoke.spoke_id, rows[-1].seq, spoke.epoch)\n"
        "            try:\n                said = await node.ask(",
        ("tests/integration/test_hello.py",),
    ),
    Mutant(
        "who is not told does not ask",
        "hub/bells.py",
        "async with asyncio.timeout(within):\n                await",
        "async with asyncio.timeout(None):\n                await",
        ("tests/unit/test_bells.py",),
    ),
    Mutant(
        "one that rang is taken for all",
        "hub/bells.py",
        "while not topics <= self._by:",
        "while not topics & self._by:",
        ("tests/unit/test_bells.py",),
    ),
    Mutant(
        "acted on before it is on the disk",
        "spoke/attempts.py",
        "            if new:\n                await in_thread(",
        "            self._act_on(fresh)\n            if new:\n                await in_thread(",
        ("tests/unit/test_attempts.py",),
    ),
    Mutant(
        "acted on again",
        "spoke/attempts.py",
        "for order in orders if order.seq > self.last_seq}",
        "for order in orders}",
        ("tests/unit/test_attempts.py",),
    ),
    Mutant(
        "a journal that the disk may lose",
        "spoke/journal.py",
        "                os.fdatasync(self._fd)\n",
        "",
        ("tests/unit/test_journal.py",),
    ),
    Mutant(
        "an end that is written twice",
        "spoke/supervisor/book.py",
        "            return True\n",
        "            pass\n",
        ("tests/unit/test_book.py",),
    ),
    Mutant(
        "an end whose loss is not told",
        "spoke/supervisor/door.py",
        '_OVER if over else b""',
        "_OVER",
        ("tests/shell/test_stops.py::test_a_stop_works_on_a_full_disk",),
    ),
    Mutant(
        "an end that the disk may lose",
        "spoke/folder.py",
        "            writer.sync()\n",
        "",
        ("tests/unit/test_folder.py",),
    ),
    Mutant(
        "half of a worktree passes for a whole one",
        "spoke/notes.py",
        "made=suffix == _MADE",
        "made=True",
        ("tests/unit/test_notes.py",),
    ),
    Mutant(
        "a HEAD ends as the one before it did",
        "spoke/inplace.py",
        "os.ftruncate(fd, len(text))",
        "pass",
        ("tests/unit/test_inplace.py",),
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
        ("tests/shell/test_spoke.py::test_a_stale_epoch_means_dial_again_and_touch_nothing",),
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
    Mutant(
        "what runs under a lost session goes on",
        "hub/core/reconcile.py",
        "    if one.given_up:\n",
        "    if False:\n",
        ("tests/unit/test_reconcile.py",),
    ),
    Mutant(
        "an agent without contact never ends itself",
        "spoke/supervisor/fence.py",
        "return now_ms() - self._contact > self._ms",
        "return False",
        ("tests/shell/test_fence.py::test_a_contact_that_says_nothing_is_none",),
    ),
    Mutant(
        "replaced before its agent has ended itself",
        "sql/queries/fleet.sql",
        "(s.spec ->> 'fence_ms')::bigint * interval '1 ms' - $1::interval\n ORDER BY",
        "$1::interval\n ORDER BY",
        ("tests/integration/test_replacing.py",),
    ),
    Mutant(
        "contact counts from when it was confirmed",
        "spoke/contact.py",
        "            at = self._said.pop(number, None)\n",
        "            at = self._said.pop(number, None) and now_ms()\n",
        ("tests/shell/test_fence.py::test_contact_counts_from_when_it_was_said",),
    ),
    Mutant(
        "a stop waits for the disk",
        "spoke/attempts.py",
        "            if are_stops:  #",
        "            if False:  #",
        ("tests/unit/test_attempts.py",),
    ),
)
