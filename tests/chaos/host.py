"""A machine destroyed in the middle of edits, timed: its sessions go on elsewhere; it comes back.

python -m tests.chaos.host      with the times that a hub has by default: about five minutes
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

import coord
from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.settings import HubSettings
from hub.store import postgres
from protocol.ops.sessions import Event
from protocol.session import State
from spoke.settings import SpokeSettings
from tests.support.repositories import git, make_repository
from tests.support.town import LOOK_S, Settings, Town, town
from tests.support.world import PATIENCE, ended, story, until

AGAIN_S: Final = 120.0  #: from the decision to an agent that runs elsewhere
REPLACED: Final = 3  #: sessions that the hub decides on, beside one that a person does
LONG_S: Final = 600.0  #: for anything here
#: One line each tenth of a second, each with the second in which it was written.
EDIT: Final = """
git commit -q --allow-empty -m "attempt $COORD_ATTEMPT"
while [ ! -e stop ]; do echo "$COORD_ATTEMPT $(date +%s.%N)" >> notes; sleep 0.1; done
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds, one figure for each session; `save_s` is how often work is saved."""

    save_s: float
    unknown: list[float]  #: from the end of the machine to "its spoke is out of reach"
    decided: list[float]  #: to the decision: the hub's own, or a person's
    again: list[float]  #: from there to an agent that runs on another spoke
    lost: list[float]  #: of work
    salvaged: int  #: attempts whose leftovers were saved and told when the machine came back

    def trouble(self) -> list[str]:
        found: list[str] = []
        if max(self.again) > AGAIN_S:
            found.append(f"one runs again after {max(self.again):.1f} s only")
        if max(self.lost) > 1.1 * self.save_s + 1:  # its jitter, and how long a save takes
            found.append(f"{max(self.lost):.1f} s of work are lost")
        if self.salvaged != len(self.again):
            found.append(f"{self.salvaged} attempts were salvaged")
        return found

    def __str__(self) -> str:
        rows = {
            "out of reach after": self.unknown,
            "decided after": self.decided,
            "runs elsewhere, from the decision": self.again,
            f"work lost (saved each {self.save_s:g} s)": self.lost,
        }
        lines = [f"{len(self.again)} sessions of a machine that is destroyed:"]
        lines += [f"  {what:38} {min(s):6.1f} to {max(s):6.1f} s" for what, s in rows.items()]
        lines.append(f"  {'salvaged when it was back':38} {self.salvaged} of {len(self.again)}")
        return "\n".join([*lines, *self.trouble()])


async def run(folder: Path, dsn: str, *, hub_settings: Settings, save_s: float) -> Figures:
    """Raises AssertionError where something is not as it must be, TimeoutError where it hangs."""
    repo = shared(folder)
    async with (
        asyncio.timeout(LONG_S),
        town(folder, dsn, hub_settings=hub_settings) as here,
    ):
        for name in ("anvil", "forge"):
            await here.add_spoke(name, save_ms=int(save_s * 1_000))
        await here.cordon("forge")
        async with here.client() as hub:
            asked = {"repo": repo, "command": "sh", "args": ["-c", EDIT]}
            made = [await hub.spawn(f"t{n}", on_lost="replace", **asked) for n in range(REPLACED)]
            kept = await hub.spawn("kept", on_lost="keep", **asked)
            made.append(kept)
            await here.cordon("forge", cordoned=False)
            ids = [one.session_id for one in made]
            await asyncio.gather(*(until_saved(hub, id, f"wip/{id}") for id in ids))
            await until(lambda: all(saved_lines(repo, f"wip/{id}") for id in ids), "work is saved")
            began = time.time()
            written = {one.session_id: notes_of(Path(str(one.worktree)))[-1] for one in made}
            gone = await destroy(here, "anvil")
            saved = {id: saved_lines(repo, f"wip/{id}") for id in ids}
            await until_unknown(hub, kept.session_id)
            resumed = await hub.resume(kept.session_id, elsewhere=True)
            assert resumed.session.spoke == "forge"
            await asyncio.gather(*(told(hub, id, "running", attempt=2) for id in ids))
            there = {one.session_id: one for one in (await hub.status(live=True)).sessions}
            trees = {id: Path(str(there[id].worktree)) for id in ids}
            lost = [_at(written[id]) - _at(saved[id][-1]) for id in ids]
            shutil.move(gone, here.state("anvil"))
            await here.spokes["anvil"].start()
            await here.online("anvil")
            await asyncio.gather(*(until_saved(hub, id, f"salvage/{id}/1") for id in ids))
            await until(lambda: all(_at_work(tree) for tree in trees.values()), "they work")
            for id in ids:
                _never_merged(repo, id, trees[id], saved[id])
                (trees[id] / "stop").touch()
            for session in await ended(hub, *ids):
                assert (session.state, session.attempt) == (State.COMPLETED, 2)
            stories = [await story(hub, id) for id in ids]
        await here.settled()
    return Figures(
        save_s=save_s,
        unknown=[_moments(one, "unknown", 1)[-1] - began for one in stories],
        decided=[_moments(one, "queued", 1)[-1] - began for one in stories],
        again=[_moments(one, "running", 2)[0] - _moments(one, "queued", 1)[-1] for one in stories],
        lost=[max(0.0, seconds) for seconds in lost],
        salvaged=sum(_has_salvage(one) for one in stories),
    )


async def destroy(here: Town, name: str) -> Path:
    """Its link, its processes and its folder are gone at one moment; where to."""
    state = here.state(name)
    here.ways[name].refusing = True
    here.ways[name].cut()
    await here.spokes[name].kill()
    for pid in _all_of(state):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await until(lambda: not _all_of(state), "its processes are gone")
    gone = here.folder / f"gone-{name}"
    shutil.move(state, gone)
    here.ways[name].refusing = False
    return gone


def _all_of(state: Path) -> list[int]:
    """Supervisors, agents, and whatever git is doing: all that names the folder of a spoke."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if str(state).encode() + b"/" in said:
                found.append(int(entry.name))
    return found


async def told(hub: coord.Hub, id: str, kind: str, attempt: int = 1) -> Event:
    async for event in hub.events(id):
        if event.kind == kind and event.attempt == attempt:
            return event
    raise AssertionError(f"{id} ended, and was never {kind}")


async def until_unknown(hub: coord.Hub, id: str) -> None:
    """It is so now: one whose machine was slow may have been called that once before."""
    async with asyncio.timeout(PATIENCE):
        while (await hub.status(id)).sessions[0].state != State.UNKNOWN:
            await asyncio.sleep(LOOK_S)


async def until_saved(hub: coord.Hub, id: str, ref: str) -> None:
    """The repository has a state at this ref; the hub may not know yet of the newest."""
    async for event in hub.events(id):
        is_there = event.kind == "saved" and event.body.get("pushed")
        if is_there and event.body.get("ref") == f"refs/coord/{ref}":
            return
    raise AssertionError(f"{id} ended, and nothing was saved as {ref}")


def _never_merged(repo: str, id: str, tree: Path, saved: list[str]) -> None:
    """It goes on from what was saved; what its old machine had left is in a ref of its own."""
    leftovers, notes = saved_lines(repo, f"salvage/{id}/1"), notes_of(tree)
    _begins_with(leftovers, saved, f"what the old machine had left of {id}", "1 ")
    _begins_with(notes, saved, f"what {id} went on from", "2 ")
    said = git(tree, "log", "--format=%s", "HEAD").splitlines()[:2]
    assert said == ["attempt 2", "attempt 1"], f"{id} stands on {said}"


def _begins_with(lines: list[str], saved: list[str], what: str, then: str) -> None:
    """And goes on with lines of one attempt alone. Says itself what differs: pytest rewrites no
    assertion of this file."""
    more = lines[len(saved) :]
    odd = [
        pair for pair in enumerate(zip_longest(lines[: len(saved)], saved)) if len(set(pair[1])) > 1
    ]
    assert not odd, (
        f"{what} lacks saved work: {len(lines)} lines, {len(saved)} saved; of {len(odd)} that "
        f"differ the first are (number, (there, saved)) {odd[:3]}; the last ones there {lines[-3:]}"
    )
    others = [line for line in more if not line.startswith(then)]
    assert not others, f"{what} goes on with {others[:3]}, {len(others)} of {len(more)} lines"


def saved_lines(repo: str, ref: str) -> list[str]:
    """Of a state that the repository has; none where it has none with notes."""
    found = subprocess.run(
        ["git", "-C", repo, "show", f"refs/coord/{ref}:notes"], capture_output=True, text=True
    )
    return found.stdout.splitlines()


def notes_of(tree: Path) -> list[str]:
    return (tree / "notes").read_text().splitlines()


def _at_work(tree: Path) -> bool:
    """The second attempt has written there."""
    return (tree / "notes").exists() and any(line.startswith("2 ") for line in notes_of(tree))


def _at(line: str) -> float:
    return float(line.split(" ")[1])


def _moments(events: Sequence[Event], kind: str, attempt: int) -> list[float]:
    """Of an attempt's events of a kind; a slow machine may be called out of reach, and be back."""
    found = [event for event in events if event.kind == kind and event.attempt == attempt]
    return [event.at.timestamp() for event in found]


def _has_salvage(events: Sequence[Event]) -> bool:
    return any(e.kind == "saved" and e.body.get("kind") == "salvage" for e in events)


def shared(folder: Path) -> str:
    """A bare repository that both machines reach."""
    source = make_repository(folder / "first")
    bare = folder / "shared.git"
    git(folder, "clone", "-q", "--bare", source, str(bare))
    return str(bare)


async def _by_default() -> Figures:
    """On a server of its own, with the settings that nobody has to give."""
    plain, kept = HubSettings.model_fields, ("heartbeat_seconds", "grace_seconds")
    with tempfile.TemporaryDirectory(prefix="coord-") as name:
        folder = Path(name)
        cluster = Cluster(folder / "pg", find())
        await cluster.start()
        try:
            dsn = cluster.layout.endpoint().dsn
            await postgres.migrate(dsn)
            (folder / "town").mkdir()
            return await run(
                folder / "town",
                dsn,
                hub_settings={key: plain[key].default for key in kept},
                save_s=SpokeSettings.model_fields["save_ms"].default / 1_000,
            )
        finally:
            await cluster.stop()


def main() -> int:
    figures = asyncio.run(_by_default())
    print(figures)
    return 1 if figures.trouble() else 0


if __name__ == "__main__":
    sys.exit(main())
