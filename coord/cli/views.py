"""How things are shown: the columns of each table, and one session in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from coord.cli.tables import Column, age
from protocol.ops.keeping import Cleaned
from protocol.ops.sessions import (
    AgentView,
    Delivered,
    Ended,
    SessionView,
    Silence,
    TreeUsage,
    Usage,
    UsageSum,
)
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


def _quiet(of: SessionView) -> str:
    """How long nothing was heard of it; of a tool, how long that runs."""
    silent = None if of.agent_state is None else of.agent_state.silent
    if silent is None:
        return ""
    if silent.doing == "tool":
        return f"a tool runs for {_age(silent.tool_since or silent.since)}"
    return f"no signal for {_age(silent.since)}"


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
    return _limited(of) if of.state is State.QUEUED else ""


def _work(of: SpokeView) -> str:
    if of.state == "revoked":
        return "-"
    return "draining" if of.draining else "cordoned" if of.cordoned else "takes"


def token_state(token: TokenView, at: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if token.expires_at > at else "expired"


def session_facts(one: SessionView, tree: TreeUsage | None = None) -> list[tuple[str, str]]:
    """One session in full; what there is nothing to say of is empty. ``tree``: what it used, with
    all below it."""
    return [
        ("session", one.session_id),
        ("task", one.task),
        ("state", state(one)),
        ("since", f"{clock(one.state_since)} ({age(one.state_since, now())})"),
        ("why", one.reason or ""),
        ("abort", _abort(one)),
        ("spoke", one.spoke or ""),
        ("repo", one.repo),
        ("branch", one.branch),
        ("base", one.base_commit or ""),
        ("worktree", one.worktree or ""),
        ("agent", one.agent),
        ("sandbox", one.sandbox),
        ("account", _limited(one)),
        *_agent(one.agent_state),
        *_failures(one),
        ("with all below", _summed(tree) if tree and tree.sessions > 1 else ""),
        ("attempt", str(one.attempt)),
        ("parent", one.parent_session_id or ""),
        ("labels", labels(one.labels)),
        ("created", clock(one.created_at)),
        ("started", clock(one.started_at)),
        ("finished", clock(one.finished_at)),
        ("exit code", "" if one.exit_code is None else str(one.exit_code)),
        ("events", str(one.last_seq)),
    ]


def _agent(said: AgentView | None) -> list[tuple[str, str]]:
    """What an agent with turns says of itself, and what to do when it failed."""
    if said is None:
        return []
    failure = said.failure
    return [
        ("conversation", said.session_id or ""),
        ("waits", f"{said.note or ''} {_until(said.until)}".strip()),
        ("question", "" if said.question is None else str(said.question)),
        ("silent", _silent(said.silent) if said.silent else ""),
        ("failure", f"{failure.kind}: {failure.message}" if failure else ""),
        ("not before", _until(failure.retry_at) if failure else ""),
        ("advice", failure.advice if failure else ""),
        ("committed", "" if said.committed is None else "yes" if said.committed else "no"),
        ("used", _used(said.usage) if said.usage else ""),
        ("in all attempts", _more(said)),
    ]


def _silent(one: Silence) -> str:
    doing = {
        "start": "while it starts",
        "model": "while it waits for its model",
        "provider": "while its provider makes it wait",
        "tool": f"while it runs {one.what or 'a tool'}",
    }[one.doing]
    then = f"; its turn is ended at {_until(one.ends_at)}" if one.ends_at else ""
    return f"nothing was heard since {_until(one.since)} ({_age(one.since)}), {doing}{then}"


def _limited(one: SessionView) -> str:
    until = one.limited_until
    return "" if until is None else f"{one.account} is limited until {clock(until)}"


def _failures(one: SessionView) -> list[tuple[str, str]]:
    """What failed and was not the end."""
    done = {
        "fresh": "tried again in a new conversation",
        "fallback": "went on with the next agent",
        "wait": "waits for its account",
    }
    return [
        (
            f"attempt {failed.attempt}",
            f"{failed.agent}: {failed.kind}: {failed.message}; {done[failed.action]}",
        )
        for failed in one.failures
        if failed.action != "stop"
    ]


def _more(said: AgentView) -> str:
    """Where earlier attempts used something too."""
    now, total = said.usage, said.total
    if total is None:
        return ""
    is_all = now is not None and (total.tokens_in, total.tokens_out) == (
        now.tokens_in,
        now.tokens_out,
    )
    return "" if is_all else _summed(total)


def _summed(usage: UsageSum) -> str:
    tokens = f"{usage.tokens_in:,} tokens in, {usage.tokens_out:,} out"
    if usage.cost_usd is not None:
        return f"{tokens}, {usage.cost_usd:.4f} USD"
    if usage.known_cost_usd is not None:
        return f"{tokens}, {usage.known_cost_usd:.4f} USD and what is not known"
    return tokens


def _used(usage: Usage) -> str:
    said = [f"{usage.tokens_in:,} tokens in, {usage.tokens_out:,} out"]
    if usage.context_percent is not None:
        said.append(f"{usage.context_percent:g} % of its context")
    if usage.cost_usd is not None:
        said.append(f"{usage.cost_usd:.4f} USD")
    return ", ".join([*said, usage.model or ""]).rstrip(", ")


def _until(ms: int | None) -> str:
    return "" if ms is None else clock(datetime.fromtimestamp(ms / 1_000, UTC))


def _age(ms: int) -> str:
    return age(datetime.fromtimestamp(ms / 1_000, UTC), now())


def _abort(one: SessionView) -> str:
    if one.abort is None:
        return ""
    said = {None: "under way", True: "seen dead", False: "not seen dead"}[one.abort.confirmed]
    return f"{one.abort.abort_id} {said} {one.abort.reason}".rstrip()
