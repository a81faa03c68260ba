"""What must hold after any fault, whatever it was: database, story, processes and work agree.

`violations` is pure: a `Seen` in, one sentence for each rule that does not hold. What fills a
`Seen` from a database, `/proc`, spools and repositories is `tests/support/inspector.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from protocol.session import State

Key = tuple[str, int]  #: a session's id and an attempt of it

FINAL: Final = frozenset(str(state) for state in State if state.ended)
#: What the hub may still tell of a session that has ended, with no state in it.
AFTERWARDS: Final = frozenset(
    {"message", "notify", "child_notify", "cleaned", "saved", "unsaved", "restored"}
)


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    state: State
    attempt: int = 0
    parent: str | None = None
    dependent: bool = True  #: it ends with its parent
    owner: str = "test"
    key: str | None = None
    aborting: bool = False  #: an abort was asked
    last_seq: int = 0
    result: object = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A mapping: where an attempt lives."""

    key: Key
    live: bool = False
    stored: int = 0
    away: bool = False  #: its spoke is out of reach: nobody can end what runs there


@dataclass(frozen=True, slots=True)
class Event:
    session: str
    seq: int
    attempt: int
    kind: str
    record: int | None = None
    body: object = None


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a spool, as the hub should have it."""

    kind: str
    body: object


@dataclass(frozen=True, slots=True)
class Work:
    """Something that an agent said it had done. ``where``: a ref or a worktree that has it."""

    session: str
    what: str
    where: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything at one moment. ``processes``: whose environment carries whose mark."""

    sessions: Sequence[Session] = ()
    holds: Sequence[Hold] = ()
    events: Sequence[Event] = ()  #: by session and seq
    spools: Mapping[Key, Sequence[Line]] = field(default_factory=dict[Key, Sequence[Line]])
    processes: Mapping[int, Key] = field(default_factory=dict[int, Key])
    work: Sequence[Work] = ()

    def stories(self) -> dict[str, list[Event]]:
        stories: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            stories[event.session].append(event)
        return stories

    def by_id(self) -> dict[str, Session]:
        return {session.id: session for session in self.sessions}


Rule = Callable[[Seen], Iterator[str]]


def violations(seen: Seen, *, quiet: bool = True) -> list[str]:
    """What does not hold. ``quiet``: nothing is to happen any more, so everything has ended."""
    rules = {**RULES, **(WHEN_QUIET if quiet else {})}
    return [f"{name}: {said}" for name, rule in rules.items() for said in rule(seen)]


def _gapless(seen: Seen) -> Iterator[str]:
    stories = seen.stories()
    for session in seen.sessions:
        seqs = [event.seq for event in stories.get(session.id, [])]
        if seqs != list(range(1, session.last_seq + 1)):
            yield f"{session.id} has {_shown(seqs)}, and should have 1 to {session.last_seq}"


def _records_once(seen: Seen) -> Iterator[str]:
    stored = _stored(seen)
    for hold in seen.holds:
        numbers = [event.record for event in stored.get(hold.key, [])]
        if numbers != list(range(1, hold.stored + 1)):
            yield f"{hold.key} has records {_shown(numbers)}, and says it has {hold.stored}"
    for key in stored.keys() - {hold.key for hold in seen.holds}:
        yield f"records of {key}, which nobody ever held"


def _records_equal(seen: Seen) -> Iterator[str]:
    stored = _stored(seen)
    for key, lines in seen.spools.items():
        for event in stored.get(key, []):
            n = event.record or 0
            if n > len(lines):
                yield f"{key} has a record {n}, its spool ends at {len(lines)}"
            elif not _says(event, lines[n - 1]):
                yield f"record {n} of {key} is {event.kind} {event.body}, was {lines[n - 1]}"


def _says(event: Event, line: Line) -> bool:
    """The daemon adds to the first and the last record what only it knows, and changes nothing."""
    body = event.body
    if event.kind in ("starting", "exited") and isinstance(body, dict):
        told = line.body.keys() if isinstance(line.body, dict) else ()
        body = {name: body[name] for name in body if name in told}
    return (event.kind, body) == (line.kind, line.body)


def _all_stored(seen: Seen) -> Iterator[str]:
    """The spool of the current attempt of a session that ended by its own word is there whole."""
    current = {(session.id, session.attempt): session for session in seen.sessions}
    counts = {key: len(events) for key, events in _stored(seen).items()}
    for key, lines in seen.spools.items():
        session = current.get(key)
        told = bool(lines) and lines[-1].kind == "exited"
        believed = session is not None and told and session.state is not State.LOST
        if believed and counts.get(key, 0) != len(lines):
            yield f"{key}: {counts.get(key, 0)} of {len(lines)} records are stored"


def _no_superseded_write(seen: Seen) -> Iterator[str]:
    for id, story in seen.stories().items():
        newest = 0
        for event in story:
            if event.record is not None and event.attempt < newest:
                yield f"{id}: attempt {event.attempt} wrote {event.seq} after {newest} began"
            newest = max(newest, event.attempt)


def _one_final(seen: Seen) -> Iterator[str]:
    for session in seen.sessions:
        story = seen.stories().get(session.id, [])
        for life in _lives(story):
            for attempt, kinds in _finals(life).items():
                if len(kinds) > 1 and not (len(kinds) == 2 and kinds[0] == "lost"):
                    yield f"attempt {attempt} of {session.id} ended as {kinds}"
        last = [event.kind for event in story if event.kind in FINAL]
        if session.state.ended and (not last or last[-1] != session.state):
            yield f"{session.id} is {session.state}, its story ends with {last[-1:] or 'nothing'}"


def _result_is_current(seen: Seen) -> Iterator[str]:
    """One that was put back into the queue and ended there has nothing of the attempt before."""
    stories = seen.stories()
    for session in seen.sessions:
        said = [
            event.body
            for event in _lives(stories.get(session.id, []))[-1]
            if event.kind == "exited" and event.attempt == session.attempt
        ]
        if said and session.state.ended and session.result != said[-1]:
            yield f"{session.id} has the result {session.result}, its attempt said {said[-1]}"
        never = isinstance(session.result, dict) and session.result.get("endedBy")
        if not said and session.result is not None and never != "never_started":
            yield f"{session.id} has the result {session.result}, and its attempt said nothing"


def _one_live_mapping(seen: Seen) -> Iterator[str]:
    live = Counter(hold.key[0] for hold in seen.holds if hold.live)
    for id, many in live.items():
        if many > 1:
            yield f"{id} is held {many} times"


def _none_on_an_end(seen: Seen) -> Iterator[str]:
    sessions = seen.by_id()
    for hold in seen.holds:
        if hold.live and sessions[hold.key[0]].state.ended:
            yield f"{hold.key} is still held, and {sessions[hold.key[0]].state}"


def _nothing_under_an_abort(seen: Seen) -> Iterator[str]:
    sessions = seen.by_id()
    for session in seen.sessions:
        above = sessions.get(session.parent or "")
        spared = session.aborting or session.state.ended or not session.dependent
        if above and above.aborting and not spared:
            yield f"{session.id} is {session.state} under the aborted {above.id}"


def _keys_are_unique(seen: Seen) -> Iterator[str]:
    keys = Counter((one.owner, one.key) for one in seen.sessions if one.key is not None)
    for (owner, key), many in keys.items():
        if many > 1:
            yield f"{owner} has {many} sessions under the key {key}"


def _nothing_after_the_end(seen: Seen) -> Iterator[str]:
    for id, story in seen.stories().items():
        over: Event | None = None
        for event in story:
            guessed = over is not None and over.kind == "lost" and event.attempt == over.attempt
            late = guessed and (event.record is not None or event.kind in FINAL)
            if event.kind == "queued":
                over = None
            elif over is not None and not late and event.kind not in AFTERWARDS:
                yield f"{id}: {event.kind} ({event.seq}) after {over.kind} ({over.seq})"
            if event.kind in FINAL:
                over = event


def _messages_once(seen: Seen) -> Iterator[str]:
    told = Counter(
        (event.session, str(event.body.get("messageId")))
        for event in seen.events
        if event.kind == "delivered" and isinstance(event.body, dict)
    )
    for (id, message), many in told.items():
        if many > 1:
            yield f"{message} was delivered {many} times to {id}"


def _no_stray_process(seen: Seen) -> Iterator[str]:
    """Whatever the session is called: only what nobody can reach may run on."""
    sessions, holds = seen.by_id(), {hold.key: hold for hold in seen.holds}
    for pid, key in seen.processes.items():
        (id, attempt), session = key, sessions.get(key[0])
        if key in holds and holds[key].away:
            continue
        if session is None or session.state.ended:
            yield f"{pid} runs for {id}, which is {session.state if session else 'unknown to all'}"
        elif session.attempt != attempt:
            yield f"{pid} runs for attempt {attempt} of {id}, which is at {session.attempt}"


def _no_session_without_process(seen: Seen) -> Iterator[str]:
    alive = set(seen.processes.values())
    for session in seen.sessions:
        if session.state is State.RUNNING and (session.id, session.attempt) not in alive:
            yield f"{session.id} is running, and no process of it is there"


def _no_work_is_lost(seen: Seen) -> Iterator[str]:
    for work in seen.work:
        if work.where is None:
            yield f"{work.what} of {work.session} is nowhere"


def _everything_ends(seen: Seen) -> Iterator[str]:
    for session in seen.sessions:
        if not session.state.ended:
            yield f"{session.id} is {session.state}"


def _nothing_runs(seen: Seen) -> Iterator[str]:
    for pid, key in seen.processes.items():
        yield f"{pid} still runs for {key}"


RULES: Final[Mapping[str, Rule]] = {
    "the sequence of a story has no gap": _gapless,
    "each record is stored once, in order": _records_once,
    "each record is what the spool says": _records_equal,
    "no record is missing": _all_stored,
    "no superseded attempt writes": _no_superseded_write,
    "exactly one final event": _one_final,
    "the result is that of the current attempt": _result_is_current,
    "at most one live mapping": _one_live_mapping,
    "no mapping on an ended session": _none_on_an_end,
    "nothing runs under an aborted parent": _nothing_under_an_abort,
    "idempotency keys are unique": _keys_are_unique,
    "no event after the end": _nothing_after_the_end,
    "no message is delivered twice": _messages_once,
    "no process without a live session": _no_stray_process,
    "no live session without a process": _no_session_without_process,
    "no work is lost": _no_work_is_lost,
}
WHEN_QUIET: Final[Mapping[str, Rule]] = {
    "every session reaches an end": _everything_ends,
    "no process is left": _nothing_runs,
}


def _stored(seen: Seen) -> dict[Key, list[Event]]:
    stored: defaultdict[Key, list[Event]] = defaultdict(list)
    for event in seen.events:
        if event.record is not None:
            stored[event.session, event.attempt].append(event)
    return stored


def _lives(story: Sequence[Event]) -> list[list[Event]]:
    """A story, cut wherever its session went into the queue."""
    lives: list[list[Event]] = [[]]
    for event in story:
        if event.kind == "queued":
            lives.append([])
        lives[-1].append(event)
    return lives


def _finals(story: Sequence[Event]) -> dict[int, list[str]]:
    finals: defaultdict[int, list[str]] = defaultdict(list)
    for event in story:
        if event.kind in FINAL:
            finals[event.attempt].append(event.kind)
    return finals


def _shown(numbers: Sequence[int | None]) -> str:
    return str(list(numbers)) if len(numbers) < 12 else f"{list(numbers[:5])}...{numbers[-3:]}"
