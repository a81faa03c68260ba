"""From an order to what a supervisor is given: agent, files, worktree, environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol import variables
from protocol.ops.wire import StartOrder
from protocol.sandbox import Sandbox
from spoke import environment, mission
from spoke.agents import table
from spoke.agents.agent import Plan
from spoke.blanks import Blanks
from spoke.environment import Bearings
from spoke.first_starts import FirstStarts
from spoke.flight import both, in_thread
from spoke.folder import Folder
from spoke.journal import Journal, Key
from spoke.planning import Worktree
from spoke.process import Assignment, Supervisors
from spoke.restoring import Resumed
from spoke.saves import Saves
from spoke.settings import SpokeSettings
from spoke.supervisor.assignment import TalkOrder
from spoke.tidying import Tidier
from spoke.trial import Found
from spoke.uplink import Uplink
from spoke.walls import Walls
from spoke.walls import make as walls_of
from spoke.worktrees import Worktrees

_log = logging.getLogger(__name__)

STORED_MS: Final = 100
GO_ON: Final = "You were interrupted. Look at what is done already, then go on with your task."


@dataclass(frozen=True, slots=True)
class Rooms:
    """What all attempts share. ``url`` is the hub's, with its pin; ``environ`` the daemon's."""

    settings: SpokeSettings
    worktrees: Worktrees
    supervisors: Supervisors
    blanks: Blanks
    uplink: Uplink
    saves: Saves
    journal: Journal
    tidier: Tidier
    first_starts: FirstStarts
    environ: Mapping[str, str]
    author: Mapping[str, str]  #: who commits, for agents that hide the person's git configuration
    url: str
    tools: Path  #: where our own `coordctl` is
    holds: Found  #: in which sandboxes


@dataclass(frozen=True, slots=True)
class Outfit:
    worktree: Worktree
    plan: Plan
    walls: Walls | None  #: that hold its agent


async def make(key: Key, order: StartOrder, folder: Folder, rooms: Rooms) -> Outfit:
    """The worktree and the files; what needs neither is checked first.

    Raises CallError: AGENT_UNKNOWN, NO_COMMAND, BAD_ENV, SANDBOX_UNAVAILABLE, and what
    `Worktrees.make` raises.
    """
    level = rooms.holds.narrowest(order.sandbox, rooms.settings.sandbox_floor)
    plan = table.find(order.agent).plan(order, str(key))
    variables.check(order.env)
    try:
        rooms.supervisors.warm()  # it gets ready while git works
    except OSError as error:
        _log.warning("no supervisor in advance: %s", error)
    worktree = await both(
        _furnish(str(key), order, folder, rooms, plan, level),
        rooms.worktrees.make(
            key.session_id,
            order.repo,
            order.branch,
            order.base,
            existing=order.resume,
            resumed=Resumed(order.begun_at, order.saved) if order.resumed else None,
        ),
    )
    if order.mission:
        await in_thread(mission.write, worktree.path, order.mission)
    walls = None
    if level != "off":
        clone, place, _ = rooms.worktrees.known(worktree.path)
        ground = level, clone.path, place, folder, plan, rooms.settings, rooms.environ
        walls = await in_thread(walls_of, *ground)
    return Outfit(worktree, plan, walls)


async def _furnish(
    key: str, order: StartOrder, folder: Folder, rooms: Rooms, plan: Plan, level: Sandbox
) -> None:
    text = instructed(order, plan)
    await in_thread(folder.furnish, text, order.credential, rooms.blanks.take())
    if not plan.before_first:
        return
    if level != "off":
        # Nothing holds what is run here: so no program and no variable of the order is taken.
        order = order.model_copy(update={"command": None, "args": [], "env": {}})
        plan = table.find(order.agent).plan(order, key)
    env = environment.of_agent(rooms.environ, order.env, plan._replace(env=plan.first_env))
    await rooms.first_starts.over(plan.before_first, env, folder.path)


def assignment(
    key: Key, order: StartOrder, folder: Folder, rooms: Rooms, outfit: Outfit, *, told: bool
) -> Assignment:
    """``told``: there is a message for it already."""
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
        prompt=instructed(order, plan),
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
        "env": _environment(order, rooms, outfit, bearings),
        "cwd": str(worktree.path),
        "stdin": plan.stdin,
        "starting": {
            "worktree": str(worktree.path),
            "branch": worktree.branch,
            "baseCommit": worktree.base_commit,
            "repo": worktree.repo,
            "sandbox": outfit.walls.level if outfit.walls else "off",
        },
        "ladder": {
            "termMs": settings.term_ms,
            "killMs": settings.kill_ms,
            "sweepMs": settings.sweep_ms,
        },
        "spoolLimit": settings.spool_bytes,
        "storedMs": STORED_MS,
        "greeting": None,
        "fence": None
        if order.fence_ms is None
        else {"path": str(settings.places.contact), "ms": order.fence_ms},
        "talk": _talk(order, outfit, settings, told=told),
        "walls": outfit.walls and outfit.walls.rules,
        "word": folder.word(),
    }


def _environment(
    order: StartOrder, rooms: Rooms, outfit: Outfit, bearings: Bearings
) -> dict[str, str]:
    plan, walls = outfit.plan, outfit.walls
    ours = {**rooms.environ, **(rooms.author if plan.needs_author else {})}
    env = environment.build(ours, order.env, plan, bearings, rooms.tools)
    return env if walls is None else {**env, **walls.told(env)}


def _talk(
    order: StartOrder, outfit: Outfit, settings: SpokeSettings, *, told: bool
) -> TalkOrder | None:
    plan = outfit.plan
    if plan.tongue is None:
        return None
    return {
        "tongue": plan.tongue,
        "first": _first(order, plan, told=told),
        "agentSessionId": plan.agent_session_id,
        "resume": plan.resume,
        "minuteApart": plan.minute_apart,
        "lingerMs": settings.linger_ms if order.stdin == "open" else 0,
        "base": outfit.worktree.base_commit,
        "permissions": [
            layer.model_dump(mode="json", by_alias=True) for layer in order.permissions
        ],
        "asked": order.asked,
        "model": order.model,
        "instructions": order.instructions,
        "conversations": str(settings.places.conversations),
        "quietMs": settings.quiet_ms,
        "maxSilenceMs": order.max_silence_ms,
    }


def instructed(order: StartOrder, plan: Plan) -> str:
    """The prompt; behind what its role says, where the agent is not told that otherwise."""
    if plan.instructed or not order.instructions:
        return order.prompt
    return f"{order.instructions}\n\n{order.prompt}"


def _first(order: StartOrder, plan: Plan, *, told: bool) -> str | None:
    """A conversation that is taken up again knows its task; one that takes over is told."""
    if not plan.resume:
        return "\n\n".join(filter(None, (order.brief, instructed(order, plan)))) or None
    return None if told else GO_ON
