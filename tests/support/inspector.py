"""Looks at everything there is: the database, `/proc`, spools, worktrees and refs.

Agents of the tests tell of their work in lines that are checked here: `committed SHA` and
`wrote FILE WORD` (a file of the worktree that holds exactly that word).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg

from hub.ops.append import _record
from protocol.session import State
from spoke.records import on_wire
from spoke.spool import Reader
from tests.support.invariants import Event, Hold, Key, Line, Seen, Session, Work, violations

_GIT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


class Inspector:
    """``folder`` is where a world lives: its spokes' states are in ``spoke-*`` below it."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self._folder = folder
        self._dsn = dsn
        self._kept: dict[Key, Path] = {}

    def keep_spools(self) -> None:
        """Hold on to the spools that are there now: each is deleted once it is stored."""
        kept = self._folder / "kept"
        kept.mkdir(exist_ok=True)
        for spool in self._folder.glob("spoke-*/attempts/*/spool"):
            session, _, attempt = spool.parent.name.partition(".")
            key = session, int(attempt)
            if key not in self._kept:
                with suppress(FileNotFoundError):
                    (kept / spool.parent.name).hardlink_to(spool)
                    self._kept[key] = kept / spool.parent.name

    @property
    def spools(self) -> int:
        """How many there are to compare."""
        return len(self._kept)

    async def look(self) -> Seen:
        self.keep_spools()
        db = await asyncpg.connect(self._dsn, server_settings={"search_path": "coord"})
        try:
            async with db.transaction(isolation="repeatable_read", readonly=True):
                sessions = [_session(row) for row in await db.fetch(_SESSIONS)]
                holds = [_hold(row) for row in await db.fetch(_HOLDS)]
                events = [_event(row) for row in await db.fetch(_EVENTS)]
                worktrees = {row["session_id"]: row["worktree"] for row in await db.fetch(_WORK)}
        finally:
            await db.close()
        mine = {session.id for session in sessions}
        work = await asyncio.to_thread(lambda: list(self._work(events, worktrees)))
        return Seen(
            sessions=sessions,
            holds=holds,
            events=events,
            spools={key: _lines(path) for key, path in self._kept.items()},
            processes={pid: key for pid, key in marks().items() if key[0] in mine},
            work=work,
        )

    async def check(self, *, quiet: bool = True) -> Seen:
        seen = await self.look()
        found = violations(seen, quiet=quiet)
        assert found == [], "\n".join(found)
        return seen

    def _work(self, events: Sequence[Event], worktrees: dict[str, str]) -> Iterator[Work]:
        clones = [path.parent for path in self._folder.glob("spoke-*/clones/*/control")]
        sources = [path.parent for path in self._folder.glob("*/.git")]
        for event in events:
            text = str(event.body.get("text")) if isinstance(event.body, dict) else ""
            match text.split(" "):
                case ["committed", sha] if event.kind == "stdout":
                    where = _holder_of(sha, clones, sources)
                    yield Work(event.session, text, where)
                case ["wrote", name, word] if event.kind == "stdout":
                    tree = Path(worktrees.get(event.session) or "/nonexistent")
                    yield Work(event.session, text, _writing(name, word, tree, clones))
                case _:
                    pass


def marks() -> dict[int, Key]:
    """Each process of this machine that carries the mark of an attempt; zombies do not."""
    found: dict[int, Key] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - it is asked often
        if name.isdecimal():
            with suppress(OSError):
                environ = Path(f"/proc/{name}/environ").read_bytes()
                if b"COORD_SESSION_ID=" in environ:
                    said = dict(one.partition(b"=")[::2] for one in environ.split(b"\0"))
                    id = said.get(b"COORD_SESSION_ID", b"").decode()
                    found[int(name)] = id, int(said.get(b"COORD_ATTEMPT", b"0"))
    return found


def _lines(path: Path) -> list[Line]:
    reader, lines = Reader(path), list[Line]()
    try:
        while records := reader.read():
            for record in records:
                said = _record(record.seq, on_wire(record))
                lines.append(Line(said.kind, json.loads(json.dumps(said.body))))
    finally:
        reader.close()
    return lines


def _holder_of(sha: str, clones: Sequence[Path], sources: Sequence[Path]) -> str | None:
    """A ref, or a worktree's HEAD, from which a commit is reached."""
    for git_dir in [*(clone / "control" for clone in clones), *(one / ".git" for one in sources)]:
        refs = _git(git_dir, "for-each-ref", "--contains", sha, "--format=%(refname)")
        if refs:
            return f"{git_dir}: {refs.split()[0]}"
    for clone in clones:
        for head in clone.glob("commons/worktrees/*/HEAD"):
            tip = head.read_text().strip()
            inside = _git(clone / "control", "merge-base", "--is-ancestor", sha, tip)
            if not tip.startswith("ref:") and inside is not None:
                return str(head)
    return None


def _writing(name: str, word: str, tree: Path, clones: Sequence[Path]) -> str | None:
    with suppress(OSError):
        if (tree / name).read_text().strip() == word:
            return str(tree / name)
    for clone in clones:
        for ref in (_git(clone / "control", "for-each-ref", "--format=%(refname)") or "").split():
            if (_git(clone / "control", "show", f"{ref}:{name}") or "").strip() == word:
                return f"{clone}: {ref}"
    return None


def _git(git_dir: Path, *argv: str) -> str | None:
    """What it prints; None if it fails."""
    ran = subprocess.run(
        ["git", f"--git-dir={git_dir}", *argv], env=_GIT, capture_output=True, text=True
    )
    return ran.stdout if ran.returncode == 0 else None


_SESSIONS = """
    SELECT session_id, parent_id, on_parent_abort, owner, idem_key, state::text AS state, desired,
           attempt, last_seq, result FROM sessions ORDER BY session_id"""
_HOLDS = """
    SELECT m.session_id, m.attempt, m.released_at IS NULL AS live, m.stored,
           NOT p.online OR p.revoked_at IS NOT NULL AS away
      FROM mappings m JOIN spokes p ON p.spoke_id = m.spoke_id
     ORDER BY m.session_id, m.attempt"""
_EVENTS = """
    SELECT session_id, seq, attempt, record, kind, body FROM session_events
     ORDER BY session_id, seq"""
_WORK = """
    SELECT DISTINCT ON (session_id) session_id, worktree FROM mappings WHERE worktree IS NOT NULL
     ORDER BY session_id, attempt DESC"""


def _session(row: asyncpg.Record) -> Session:
    return Session(
        id=row["session_id"],
        state=State(row["state"]),
        attempt=row["attempt"],
        parent=row["parent_id"],
        dependent=row["on_parent_abort"] == "abort-dependents",
        owner=row["owner"],
        key=row["idem_key"],
        aborting=row["desired"] == "abort",
        last_seq=row["last_seq"],
        result=None if row["result"] is None else json.loads(row["result"]),
    )


def _hold(row: asyncpg.Record) -> Hold:
    key = row["session_id"], row["attempt"]
    return Hold(key, live=row["live"], stored=row["stored"], away=row["away"])


def _event(row: asyncpg.Record) -> Event:
    body = json.loads(row["body"])
    return Event(row["session_id"], row["seq"], row["attempt"], row["kind"], row["record"], body)
