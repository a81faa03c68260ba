"""How things are shown: the columns of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from coord.cli.tables import Column, age
from protocol.ops.keeping import Cleaned
from protocol.ops.sessions import Delivered, Ended, SessionView
from protocol.ops.spawning import Spawned, SwarmResult
from protocol.ops.spokes import HubView, SpokeView, TokenView
from protocol.session import Activity, State


def now() -> datetime:
    return datetime.now(UTC)


def clock(at: datetime | None) -> str:
    """The reader's own time, to the second."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def labels(of: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in of.items())


def state(of: SessionView) -> str:
    if of.limited_until is not None and of.state is State.QUEUED:
        return f"{of.state} (parked)"
    if not of.activity:
        return str(of.state)
    return f"{of.state} ({', '.join(filter(None, (of.activity, _quiet(of))))})"


def age_of(ms: int) -> str:
    """Of a moment in ms since 1970."""
    return age(datetime.fromtimestamp(ms / 1_000, UTC), now())


def _quiet(of: SessionView) -> str:
    """How long nothing was heard of it; of a tool, how long that runs."""
    silent = None if of.agent_state is None else of.agent_state.silent
    if silent is None:
        return ""
    if silent.doing == "tool":
        return f"a tool runs for {age_of(silent.tool_since or silent.since)}"
    return f"no signal for {age_of(silent.since)}"


SPAWNED: Sequence[Column[Spawned]] = (
    Column("TASK", lambda s: s.task),
    Column("SESSION", lambda s: s.session_id),
    Column("STATE", lambda s: s.state),
    Column("SPOKE", lambda s: s.spoke or "-"),
    Column("BRANCH", lambda s: s.branch),
    Column("WORKTREE", lambda s: s.worktree or "-"),
    Column("WHY", lambda s: s.reason or ""),
    Column("ATTEMPT", lambda s: str(s.attempt), wide=True),
    Column("NEW", lambda s: "yes" if s.created else "no", wide=True),
    Column("BASE", lambda s: s.base_commit or "-", wide=True),
)

SWARMED: Sequence[Column[SwarmResult]] = (
    Column("TASK", lambda r: r.task),
    Column("SESSION", lambda r: r.session.session_id if r.session else "-"),
    Column("STATE", lambda r: r.session.state if r.session else "failed"),
    Column("SPOKE", lambda r: (r.session and r.session.spoke) or "-"),
    Column("BRANCH", lambda r: r.session.branch if r.session else "-"),
    Column("WHY", lambda r: f"{r.error.reason}: {r.error.message}" if r.error else ""),
    Column("WORKTREE", lambda r: (r.session and r.session.worktree) or "-", wide=True),
)

SESSIONS: Sequence[Column[SessionView]] = (
    Column("SESSION", lambda s: s.session_id),
    Column("STATE", state),
    Column("SINCE", lambda s: age(s.state_since, now())),
    Column("SPOKE", lambda s: s.spoke or "-"),
    Column("BRANCH", lambda s: s.branch),
    Column("WHY", lambda s: s.reason or _waits(s) or _parked(s)),
    Column("ATTEMPT", lambda s: str(s.attempt), wide=True),
    Column("AGENT", lambda s: s.agent, wide=True),
    Column("SANDBOX", lambda s: s.sandbox, wide=True),
    Column("PARENT", lambda s: s.parent_session_id or "-", wide=True),
    Column("LABELS", lambda s: labels(s.labels), wide=True),
    Column("WORKTREE", lambda s: s.worktree or "-", wide=True),
    Column("REPO", lambda s: s.repo, wide=True),
)

TASK: Column[SessionView] = Column("TASK", lambda s: s.task)

ENDED: Sequence[Column[Ended]] = (
    Column("SESSION", lambda e: e.session_id),
    Column("TASK", lambda e: e.task),
    Column("SPOKE", lambda e: e.spoke or "-"),
    Column("STATE", lambda e: e.after if e.confirmed else f"pending ({e.after})"),
    Column("ENDED BY", lambda e: e.ended_by or "-"),
    Column("WHEN", lambda e: clock(e.ended_at) or "-"),
    Column("PROCESSES", lambda e: str(e.processes)),
    Column("SURVIVORS", lambda e: str(e.survivors) if e.confirmed else "?"),
    Column("WHY", lambda e: e.pending or ""),
    Column("BEFORE", lambda e: e.before, wide=True),
    Column("EXIT", lambda e: "" if e.exit_code is None else str(e.exit_code), wide=True),
    Column("SAVED", lambda e: e.saved_ref or "", wide=True),
)

CLEANED: Sequence[Column[Cleaned]] = (
    Column("SESSION", lambda c: c.session_id),
    Column("BRANCH", lambda c: c.branch),
    Column("REMOVED", lambda c: "yes" if c.removed else "no"),
    Column("WHY", lambda c: c.reason),
    Column("SAVED", lambda c: c.saved_ref or "", wide=True),
    Column("WORKTREE", lambda c: c.worktree or "", wide=True),
)

DELIVERED: Sequence[Column[Delivered]] = (
    Column("MESSAGE", lambda d: d.message_id),
    Column("STATE", lambda d: d.state),
    Column("MODE", lambda d: d.mode),
    Column("WHY", lambda d: d.reason or ""),
)

SPOKES: Sequence[Column[SpokeView]] = (
    Column("SPOKE", lambda s: s.name),
    Column("STATE", lambda s: s.state),
    Column("WORK", lambda s: _work(s)),
    Column("LIVE", lambda s: f"{s.live}/{s.slots}"),
    Column("HEARD", lambda s: f"{age(s.last_seen_at, now())} ago" if s.last_seen_at else "never"),
    Column("LABELS", lambda s: labels(s.labels)),
    Column("ID", lambda s: s.spoke_id, wide=True),
    Column("VERSION", lambda s: s.version or "", wide=True),
    Column("SANDBOXES", lambda s: ",".join(s.sandboxes), wide=True),
    Column(
        "DETAIL",
        lambda s: " ".join(f"{name}={value}" for name, value in s.detail.items()),
        wide=True,
    ),
)

HUBS: Sequence[Column[HubView]] = (
    Column("HUB", lambda h: h.hub),
    Column("STATE", lambda h: h.state),
    Column("LEADS", lambda h: f"term {h.term}" if h.leads else ""),
    Column("SPOKES", lambda h: str(h.spokes)),
    Column("URL", lambda h: h.url or "-"),
    Column("SINCE", lambda h: age(h.started_at, now())),
    Column("ANSWERS", lambda h: "this one" if h.answers else ""),
    Column("VERSION", lambda h: h.version, wide=True),
    Column("SEEN", lambda h: clock(h.seen_at), wide=True),
)

TOKENS: Sequence[Column[TokenView]] = (
    Column("TOKEN", lambda t: t.token_id),
    Column("NAME", lambda t: t.name),
    Column("ROLE", lambda t: t.role),
    Column("STATE", lambda t: token_state(t, now())),
    Column("EXPIRES", lambda t: clock(t.expires_at)),
    Column("LAST USED", lambda t: clock(t.last_used_at) or "never"),
    Column("BEGINS", lambda t: t.prefix, wide=True),
    Column("CREATED", lambda t: clock(t.created_at), wide=True),
)


def _waits(of: SessionView) -> str:
    """What its agent waits for: an answer, or its provider."""
    said = of.agent_state
    if said is None or of.activity not in (Activity.WAITING, Activity.RATE_LIMITED):
        return ""
    number = "" if said.question is None else f" (/{said.question})"
    return f"{said.note or ''}{number}".strip()


def _parked(of: SessionView) -> str:
    """What runs is not stopped by the limit of its account."""
    return limited(of) if of.state is State.QUEUED else ""


def limited(one: SessionView) -> str:
    until = one.limited_until
    return "" if until is None else f"{one.account} is limited until {clock(until)}"


def _work(of: SpokeView) -> str:
    if of.state == "revoked":
        return "-"
    return "draining" if of.draining else "cordoned" if of.cordoned else "takes"


def token_state(token: TokenView, at: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if token.expires_at > at else "expired"
