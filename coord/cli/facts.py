"""One session in full: a name for each fact, and the fact."""

from __future__ import annotations

from datetime import UTC, datetime

from coord.cli.tables import age
from coord.cli.views import age_of, clock, labels, limited, now, state
from protocol.ops.sessions import AgentView, SessionView, Silence, TreeUsage, Usage, UsageSum


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
        ("account", limited(one)),
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
    return f"nothing was heard since {_until(one.since)} ({age_of(one.since)}), {doing}{then}"


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


def _abort(one: SessionView) -> str:
    if one.abort is None:
        return ""
    said = {None: "under way", True: "seen dead", False: "not seen dead"}[one.abort.confirmed]
    return f"{one.abort.abort_id} {said} {one.abort.reason}".rstrip()
