"""Makes ready where an agent in a sandbox is at home, and finds what else it may read."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import platformdirs

from protocol.errors import FailedPrecondition
from spoke import layout
from spoke.agents.agent import Kept, Plan
from spoke.core import sandboxing
from spoke.core.sandboxing import Ground, Level, Rule
from spoke.folder import Folder
from spoke.place import Place
from spoke.settings import SpokeSettings

_CACHE: Final = Kept("XDG_CACHE_HOME", ".cache")
_DEVICES: Final = "/dev"  # a disk is a file there, which root could read past all others


class Walls(NamedTuple):
    """What holds an agent."""

    level: Level
    rules: list[Rule]
    temp: str
    env: Mapping[str, str]  #: what its kind of agent wants to hear

    def told(self, env: Mapping[str, str]) -> dict[str, str]:
        """What it is told beside its environment, or in place of that."""
        return {**self.env, **sandboxing.environment(env, self.temp)}


def make(
    level: Level,
    clone: Path,
    place: Place,
    folder: Folder,
    plan: Plan,
    settings: SpokeSettings,
    ours: Mapping[str, str],
) -> Walls:
    """Waits for a disk. ``ours`` is the daemon's environment: what an order says of its own would
    let who gives it choose what is open. Raises FailedPrecondition (SANDBOX_UNAVAILABLE), OSError.
    """
    hidden = _hidden(settings)
    found = [path for one in (*plan.keeps, _CACHE) for path in _kept(one, ours)]
    found += [str(path.absolute()) for path in settings.sandbox_writes]
    kept = [str(Path(path).resolve()) for path in sandboxing.outermost(found)]
    if (wide := sandboxing.exposed(kept, hidden)) is not None:
        raise FailedPrecondition(
            "SANDBOX_UNAVAILABLE",
            f"{wide} would be open in a sandbox, and what has to stay shut is in it",
            advice="keep the spoke's state elsewhere: coordctl spoke run --state DIR",
        )
    layout.narrow(place.view, clone)
    folder.temp.mkdir(mode=0o700, exist_ok=True)
    ground = Ground(
        worktree=str(place.tree),
        own=[str(folder.temp)],
        kept=kept,
        git=[str(place.admin), *layout.written(place.view, clone)],
        given=[str(place.view), str(folder.prompt), str(folder.credential), *_programs(hidden)],
        open=[*sandboxing.readable(hidden, _inside)],
    )
    return Walls(level, sandboxing.rules(level, ground), str(folder.temp), dict(_told(plan, ours)))


def _kept(one: Kept, ours: Mapping[str, str]) -> Iterator[str]:
    """What an agent keeps for itself; only what is there can be opened for it."""
    top = one.at(ours)
    if top is None:
        return
    for name in one.folders or ("",):
        with suppress(OSError):
            Path(top, name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in one.made:
        with suppress(OSError):
            Path(top, name).touch(mode=0o600)
    for name in (*(one.folders or ("",)), *one.files, *one.made):
        yield str(Path(top, name))


def _told(plan: Plan, ours: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from plan.held_env.items()
    for one in plan.keeps:
        top = one.at(ours)
        yield from ((name, f"{top}/{folder}") for name, folder in one.told.items() if top)


def _hidden(settings: SpokeSettings) -> set[str]:
    """Ours, the hub's and the person's way in; nothing below is read unless it is given."""
    ours = (
        settings.places.state,
        platformdirs.user_config_path("coord"),
        platformdirs.user_data_path("coord"),
        *settings.hidden,
    )
    return {_DEVICES, *(str(path.resolve()) for path in ours)}


def _programs(hidden: Collection[str]) -> list[str]:
    """Ours, wherever they are installed, for `coordctl` in a session."""
    return [] if sandboxing.exposed([sys.prefix], hidden) else [sys.prefix]


def _inside(folder: str) -> Iterator[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink():
                yield entry.path
