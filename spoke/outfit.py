"""From an order to what a supervisor is given: agent, files, worktree, environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.ops.wire import StartOrder
from spoke import agents, environment
from spoke.agents.agent import Plan
from spoke.environment import Bearings
from spoke.flight import both, in_thread
from spoke.folder import Folder
from spoke.journal import Journal, Key
from spoke.planning import Worktree
from spoke.process import Assignment, Supervisors
from spoke.restoring import Resumed
from spoke.saves import Saves
from spoke.settings import SpokeSettings
from spoke.uplink import Uplink
from spoke.worktrees import Worktrees

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all attempts share. ``url`` is the hub's, with its pin; ``environ`` the daemon's."""

    settings: SpokeSettings
    worktrees: Worktrees
    supervisors: Supervisors
    uplink: Uplink
    saves: Saves
    journal: Journal
    environ: Mapping[str, str]
    url: str
    tools: Path  #: where our own `coordctl` is


@dataclass(frozen=True, slots=True)
class Outfit:
    worktree: Worktree
    plan: Plan


async def make(key: Key, order: StartOrder, folder: Folder, rooms: Rooms) -> Outfit:
    """The worktree and the files; what needs neither is checked first.

    Raises CallError: AGENT_UNKNOWN, NO_COMMAND, BAD_ENV, and what `Worktrees.make` raises.
    """
    plan = agents.find(order.agent).plan(order)
    environment.check(order.env)
    try:
        rooms.supervisors.warm()  # it gets ready while git works
    except OSError as error:
        _log.warning("no supervisor in advance: %s", error)
    worktree = await both(
        in_thread(folder.furnish, order.prompt, order.credential),
        rooms.worktrees.make(
            key.session_id,
            order.repo,
            order.branch,
            order.base,
            existing=order.resume,
            resumed=Resumed(order.begun_at, order.saved) if order.resumed else None,
        ),
    )
    return Outfit(worktree, plan)


def assignment(
    key: Key, order: StartOrder, folder: Folder, rooms: Rooms, outfit: Outfit
) -> Assignment:
    settings, worktree, plan = rooms.settings, outfit.worktree, outfit.plan
    bearings = Bearings(
        session_id=key.session_id,
        parent_session_id=order.parent_session_id,
        attempt=key.attempt,
        resumed=order.resumed,
        agent_session_id=order.agent_session_id,
        task=order.task,
        worktree=worktree.path,
        branch=worktree.branch,
        repo=order.repo,
        prompt=order.prompt,
        prompt_file=folder.prompt,
        url=rooms.url,
        token_file=folder.credential,
    )
    return {
        "session": key.session_id,
        "attempt": key.attempt,
        "dir": str(folder.path),
        "socket": str(folder.socket),
        "argv": list(plan.argv),
        "env": environment.build(rooms.environ, order.env, plan.env, bearings, rooms.tools),
        "cwd": str(worktree.path),
        "stdin": plan.stdin,
        "starting": {
            "worktree": str(worktree.path),
            "branch": worktree.branch,
            "baseCommit": worktree.base_commit,
            "repo": worktree.repo,
        },
        "ladder": {
            "termMs": settings.term_ms,
            "killMs": settings.kill_ms,
            "sweepMs": settings.sweep_ms,
        },
        "spoolLimit": settings.spool_bytes,
        "greeting": plan.greeting,
        "fence": None
        if order.fence_ms is None
        else {"path": str(settings.places.contact), "ms": order.fence_ms},
    }
