"""Why a session is where it is, what happens by itself, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hub.core.situation import Asks, Closed, Parked, Silent, Situation
from protocol.session import State


@dataclass(frozen=True, slots=True)
class Story:
    """``since``: when the fact began, where that is not when its state did."""

    fact: str
    next: str
    next_at: datetime | None
    you_can: list[str]
    since: datetime | None = None


def explain(now: Situation) -> Story:
    match now.state:
        case State.QUEUED:
            return _queued(now)
        case State.ASSIGNED | State.STARTING:
            return _starting(now)
        case State.RUNNING:
            return _running(now)
        case State.UNKNOWN:
            return _unknown(now)
        case State.ABORTING:
            return _aborting(now)
        case _:
            return _ended(now)


def _queued(now: Situation) -> Story:
    if now.parked is not None:
        return _parked(now, now.parked)
    when, since = "as soon as a spoke has room", _for(now, now.since)
    if now.closed is not None:
        fact, when, can = _closed(now, now.closed)
    elif not now.spokes_online:
        fact = f"no spoke is online{since}"
        can = ["coordctl spoke list", "coordctl spoke invite"]
    elif not now.spokes_fitting:
        fact = f"no spoke that is online and takes work {_wants(now)}{since}"
        can = ["coordctl spoke list -o wide"]
    else:
        fact = f"waits for room on {now.spokes_fitting} spoke(s){since}"
        can = ["coordctl ps", "coordctl spoke list"]
    if now.reason:
        fact += f" (it came back to the queue: {now.reason})"
    then = f"placed {when}"
    if now.not_before is not None and now.not_before > now.now:
        then += f", but not before {now.not_before:%H:%M:%S} UTC"
    if now.queue_deadline is not None:
        then += ", or aborted when its time to be placed is over"
    can.append(f"coordctl abort {now.session_id}")
    return Story(fact, then, now.queue_deadline, can)


def _closed(now: Situation, wanted: Closed) -> tuple[str, str, list[str]]:
    """What it waits for, when that is over, and what to do about it."""
    spoke, shut = wanted.spoke, wanted.shut
    out = [] if wanted.online else [("offline", "back")]
    is_so, over = zip(*out, *([] if shut is None else [(shut, "uncordoned")]), strict=True)
    can = [] if shut is None else [f"coordctl spoke uncordon {spoke}"]
    fact = f"it waits{_for(now, now.since)} for {spoke}, which is {' and '.join(is_so)}"
    when = f"when {spoke} is {' and '.join(over)}, as soon as it has room"
    return fact, when, [*can, "coordctl spoke list"]


def _parked(now: Situation, parked: Parked) -> Story:
    seconds = max(1, int(parked.within.total_seconds()))
    return Story(
        f"parked{_for(now, now.since)}: the account {parked.account} is limited by its provider"
        f" ({parked.said}){_tried(now)}",
        f"woken once, within {seconds} s after {parked.until:%Y-%m-%d %H:%M:%S} UTC, with all that"
        " wait for this account; then it goes on as soon as a spoke has room",
        parked.until,
        [
            "coordctl account list",
            f"coordctl account open {parked.account}",
            f"coordctl abort {now.session_id}",
        ],
    )


def _tried(now: Situation) -> str:
    return "".join(f"; {one}" for one in now.tried)


def _wants(now: Situation) -> str:
    if now.wanted_spoke:
        return f"is {now.wanted_spoke}{_held(now)}"
    labels = ", ".join(f"{key}={value}" for key, value in now.requires.items())
    return (f"carries {labels}" if labels else "is left") + _held(now)


def _held(now: Situation) -> str:
    return "" if now.sandbox == "off" else f" and can hold it in the sandbox {now.sandbox}"


def _starting(now: Situation) -> Story:
    can = [f"coordctl logs -f {now.session_id}", f"coordctl abort {now.session_id}"]
    if now.state is State.ASSIGNED and not now.taken:
        until = None if now.placed_at is None else now.placed_at + now.take_within
        return Story(
            f"its order waits for {now.spoke} to take it{_for(now, now.placed_at)}{_silent(now)}",
            "queued again if it is not taken in time while the spoke is connected",
            until,
            ["coordctl spoke list", *can],
        )
    return Story(
        f"{now.spoke} makes its worktree and starts its agent{_for(now, now.since)}{_silent(now)}",
        "running when the agent's process is alive" + _if_silent(now),
        now.lease_ends,
        can,
    )


def _running(now: Situation) -> Story:
    if now.asks is not None:
        return _asking(now, now.asks)
    then = "aborted when its time is over" if now.run_deadline else "ends when its agent ends"
    if now.silent is not None and now.lease_ends is None:  # else nobody could have heard it
        return _quiet(now, now.silent, then)
    return Story(
        f"its agent works on {now.spoke}{_silent(now)}",
        then + _if_silent(now),
        now.lease_ends or now.run_deadline,
        [
            f"coordctl logs -f {now.session_id}",
            f"coordctl message {now.session_id} TEXT",
            f"coordctl abort {now.session_id}",
        ],
    )


def _asking(now: Situation, asks: Asks) -> Story:
    one = f"{now.session_id}/{asks.number}"
    settled = {"allow": "allowed", "deny": "denied"}[asks.unanswered]
    return Story(
        f"its agent asks whether it may {asks.what}{_silent(now)}",
        f"{settled} if nobody answers in time" + _if_silent(now),
        now.lease_ends or asks.until,
        [
            f"coordctl answer {one} allow",
            f"coordctl answer {one} deny --message WHY",
            f"coordctl abort {now.session_id}",
        ],
    )


def _quiet(now: Situation, silent: Silent, then: str) -> Story:
    meanwhile = _MEANWHILE.get(silent.doing, "while it works")
    if silent.tool is not None:
        begun = "" if silent.tool_since is None else f" since {silent.tool_since:%H:%M:%S} UTC"
        meanwhile = f"while it runs {silent.tool}{begun}"
    if silent.ends_at is not None:
        then = "its turn is ended as failed (sdkError) if it stays silent; else " + then
    return Story(
        f"its agent on {now.spoke} has said nothing since {silent.since:%H:%M:%S} UTC, {meanwhile}",
        then,
        silent.ends_at or now.run_deadline,
        [
            f"coordctl logs --tail 20 {now.session_id}",
            f"coordctl message --mode interrupt {now.session_id} TEXT",
            f"coordctl abort {now.session_id}",
        ],
        silent.since,
    )


_MEANWHILE = {
    "start": "while it starts",
    "model": "while it waits for its model",
    "provider": "while its provider makes it wait",
    "tool": "while a tool runs",
}


def _silent(now: Situation) -> str:
    if now.lease_ends is None:
        return ""
    return f"; the spoke has not been heard{_for(now, now.spoke_seen_at)}{_last_seen(now)}"


def _if_silent(now: Situation) -> str:
    if now.lease_ends is None:
        return ""
    return f"; unknown if the spoke stays silent{_unless(now)}"


def _unknown(now: Situation) -> Story:
    if now.spoke_online:
        return Story(
            f"{now.spoke} is back{_for(now, now.placed_at)}, and looks for what it had",
            f"running again when it is found; lost if it is not{_unless(now)}",
            max(now.since, now.placed_at or now.since) + now.lost_after,
            [f"coordctl abort {now.session_id}"],
        )
    fact = f"{now.spoke} is out of reach{_for(now, now.spoke_seen_at)}{_last_seen(now)}"
    can = ["coordctl spoke list", f"coordctl abort {now.session_id}"]
    if now.replaced_at is not None:
        return Story(
            f"{fact}; its agent ends itself, if it has not yet",
            f"running again when the spoke is back; else started elsewhere{_unless(now)}",
            now.replaced_at,
            can,
        )
    return Story(
        f"{fact}; its agent may well be working",
        f"running again when the spoke is back; lost if it stays away{_unless(now)}",
        now.since + now.lost_after,
        [*can, f"coordctl resume --elsewhere {now.session_id}"],
    )


def _unless(now: Situation) -> str:
    """The reaper may have its doubts."""
    return "" if now.doubt is None else f" (not now: {now.doubt})"


def _aborting(now: Situation) -> Story:
    waits = _for(now, now.stop_waits_since or now.since)
    if now.spoke_online and now.stop_waits_since is not None:
        return Story(
            f"the order waits for {now.spoke} to take it{waits}{_silent(now)}",
            "its processes are ended as soon as the spoke has it" + _if_silent(now),
            now.lease_ends,
            [f"coordctl abort --now {now.session_id}", "coordctl spoke list"],
        )
    if now.spoke_online:
        return Story(
            f"{now.spoke} ends its processes{_for(now, now.since)}: INT, TERM after 8 s,"
            f" KILL after 16 s{_silent(now)}",
            "aborted when none of them is left",
            now.lease_ends,
            [f"coordctl abort --now {now.session_id}"],
        )
    return Story(
        f"its spoke {now.spoke} is out of reach{_last_seen(now)}; the order waits in its"
        f" outbox{waits}",
        "it is the first thing that the spoke is told when it is back",
        None,
        ["coordctl spoke list", f"coordctl abort --force {now.session_id}"],
    )


def _ended(now: Situation) -> Story:
    code = "" if now.exit_code is None else f" with exit code {now.exit_code}"
    why = "".join(f": {part}" for part in (now.reason, now.said) if part)
    can = [f"coordctl logs {'--events ' if now.said else ''}{now.session_id}"]
    if now.state is State.BLOCKED:
        can.append(f"coordctl message {now.session_id} TEXT")
    can.append(f"coordctl resume {now.session_id}")
    if now.worktree:
        can.append(f"coordctl cleanup {now.session_id}")
    then = (
        "a message starts it again, in the same worktree"
        if now.state is State.BLOCKED
        else f"nothing by itself: {now.advice}"
        if now.advice
        else "nothing"
    )
    return Story(f"it {_ENDINGS[now.state]}{code}{why}{_tried(now)}", then, None, can)


_ENDINGS = {
    State.COMPLETED: "completed",
    State.BLOCKED: "stopped on purpose",
    State.FAILED: "failed",
    State.ABORTED: "was aborted",
    State.LOST: "was given up",
}


def _last_seen(now: Situation) -> str:
    at = now.spoke_seen_at
    return "" if at is None else f" since {at:%H:%M:%S} UTC"


def _for(now: Situation, since: datetime | None) -> str:
    """How long it has been so."""
    if since is None:
        return ""
    seconds = max(0, int((now.now - since).total_seconds()))
    if seconds < 120:
        return f" for {seconds} s"
    if seconds < 7_200:
        return f" for {seconds // 60} min"
    return f" for {seconds // 3_600} h"
