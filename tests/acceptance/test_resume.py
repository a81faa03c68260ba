"""A host is destroyed in the middle of an edit: its work goes on elsewhere, and it comes back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import coord
from protocol.ops import catalogue as ops
from protocol.ops.sessions import Event, SessionView
from tests.chaos import host
from tests.support.repositories import git, make_repository
from tests.support.town import SHORT_LEASES, town
from tests.support.world import ended, marked, story, until, waited

SAVE_MS = 300
#: Writes a line each tenth of a second: what is lost can be counted. A second attempt says so.
EDIT = """
echo "resumed ${COORD_RESUMED:-no}"
git commit -q --allow-empty -m "attempt $COORD_ATTEMPT"
n=$(cat notes 2>/dev/null | wc -l)
while [ ! -e stop ]; do n=$((n+1)); echo "$COORD_ATTEMPT $n" >> notes; sleep 0.1; done
"""


def remote(folder: Path) -> str:
    """A bare repository that both machines reach."""
    source = make_repository(folder / "first")
    bare = folder / "shared.git"
    git(folder, "clone", "-q", "--bare", source, str(bare))
    return str(bare)


async def until_state(hub: coord.Hub, id: str, *states: str) -> SessionView:
    async with waited(f"{id} is {' or '.join(states)}"):
        while True:
            [session] = (await hub.status(id)).sessions
            if session.state in states:
                return session
            await asyncio.sleep(0.05)


def has_notes(repo: str, id: str) -> bool:
    """Whether the newest saved state that the repository has holds them."""
    names = git(Path(repo), "for-each-ref", "--format=%(refname)", f"refs/coord/wip/{id}")
    return bool(names) and bool(git(Path(repo), "ls-tree", names, "notes"))


def saved_lines(repo: str, ref: str) -> list[str]:
    return git(Path(repo), "show", f"{ref}:notes").splitlines()


async def test_a_host_destroyed_in_the_middle_of_an_edit(tmp_path: Path, hub_database: str) -> None:
    repo = remote(tmp_path)
    async with town(tmp_path, hub_database, hubs=0) as here:
        await here.add_hub(**SHORT_LEASES)
        for name in ("anvil", "forge"):
            await here.add_spoke(name, save_ms=SAVE_MS)
        async with here.client() as hub:
            made = await hub.spawn(
                "edit", repo=repo, spoke="anvil", command="sh", args=["-c", EDIT]
            )
            id = made.session_id
            async for event in hub.events(id):
                if event.kind == "saved" and event.body.get("pushed"):
                    break
            await until(lambda: has_notes(repo, id), "it is saved with notes, not its commit alone")
            gone = await host.destroy(here, "anvil")
            lines = saved_lines(repo, f"refs/coord/wip/{id}")
            assert len(lines) >= 1
            await until_state(hub, id, "unknown")
            resumed = await hub.resume(id, elsewhere=True)
            assert (resumed.session.session_id, resumed.session.attempt) == (id, 2)
            assert resumed.session.spoke == "forge"
            there = Path(str(resumed.session.worktree))
            notes = (there / "notes").read_text().splitlines()
            assert notes[: len(lines)] == lines, "it goes on from what was saved"
            assert "attempt 1" in git(there, "log", "-3", "--format=%s").splitlines()
            shutil.move(gone, here.state("anvil"))
            await here.spokes["anvil"].start()
            await here.online("anvil")
            async for event in hub.events(id):
                is_salvage = event.kind == "saved" and event.body.get("kind") == "salvage"
                if is_salvage and event.body.get("pushed"):
                    break
            assert event.body["ref"] == f"refs/coord/salvage/{id}/1"
            leftovers = saved_lines(repo, f"refs/coord/salvage/{id}/1")
            assert leftovers[: len(lines)] == lines
            assert all(line.startswith("1 ") for line in leftovers)
            now = await until_state(hub, id, "running")
            assert (now.attempt, now.spoke) == (2, "forge")
            (there / "stop").touch()
            end = await until_state(hub, id, "completed")
            assert end.attempt == 2
            final = (there / "notes").read_text().splitlines()
            assert final[: len(lines)] == lines
            assert all(line.startswith("2 ") for line in final[len(lines) :]), "never merged"
            said = [
                event.body.get("text") for event in await story(hub, id) if event.kind == "stdout"
            ]
            assert said[:2] == ["resumed no", "resumed 1"]


async def test_an_abort_forced_on_a_machine_that_is_away_says_so_and_holds_when_it_is_back(
    tmp_path: Path, hub_database: str
) -> None:
    repo = remote(tmp_path)
    async with town(tmp_path, hub_database, hubs=0) as here:
        await here.add_hub(**SHORT_LEASES)
        await here.add_spoke("anvil", save_ms=SAVE_MS)
        async with here.client() as hub:
            made = await hub.spawn("edit", repo=repo, command="sh", args=["-c", EDIT])
            id = made.session_id
            await until((Path(str(made.worktree)) / "notes").exists, "there is work to be saved")
            here.ways["anvil"].refusing = True
            here.ways["anvil"].cut()
            await until_state(hub, id, "unknown")
            receipt = await hub.abort(id, force=True)
            [ended] = receipt.sessions
            assert (ended.after, ended.confirmed, receipt.complete) == ("aborted", False, False)
            assert "nobody saw it dead" in str(ended.pending)
            assert marked(id), "and it is not"
            here.ways["anvil"].refusing = False
            await until(lambda: not marked(id), "it is stopped when its spoke is back")
            async for event in follow(hub, id):
                if event.body.get("kind") == "salvage" and event.body.get("pushed"):
                    break
            assert saved_lines(repo, f"refs/coord/salvage/{id}/1")
            [now] = (await hub.status(id)).sessions
            assert (now.state, now.abort and now.abort.confirmed) == ("aborted", False)


async def test_what_disagrees_is_found_and_mended(tmp_path: Path, hub_database: str) -> None:
    repo = remote(tmp_path)
    async with town(tmp_path, hub_database, "anvil") as here, here.client() as hub:
        once = {"repo": repo, "command": "sh", "args": ["-c", "echo new > new"]}
        gone = await hub.spawn("gone", **once)
        stray = await hub.spawn("stray", **once)
        unsaid = await hub.spawn("unsaid", **once)
        await ended(hub, gone.session_id, stray.session_id, unsaid.session_id)
        await until(lambda: not list(here.state("anvil").glob("attempts/*")), "all is done with")
        assert await recover(hub, apply=False) == {}
        shutil.rmtree(str(gone.worktree))
        async with here.database() as db:
            for table in ("session_events", "mappings", "sessions"):
                await db.execute(f"DELETE FROM {table} WHERE session_id = $1", stray.session_id)
            forget = "UPDATE mappings SET worktree = NULL WHERE session_id = $1"
            await db.execute(forget, unsaid.session_id)
        found = await recover(hub, apply=False)
        assert found == {
            (gone.session_id, "no_worktree"): False,
            (stray.session_id, "stray_worktree"): False,
            (stray.session_id, "orphan_ref"): False,
            (unsaid.session_id, "unknown_worktree"): False,
        }
        assert (await recover(hub, apply=True))[stray.session_id, "stray_worktree"] is True
        assert not Path(str(stray.worktree)).exists()
        assert (await hub.status(unsaid.session_id)).sessions[0].worktree == unsaid.worktree
        left = await recover(hub, apply=False)
        assert {kind for _, kind in left} <= {"orphan_ref", "stray_branch"}
        trash = await hub.ask(ops.TRASH_LIST, {})
        [entry] = [one for one in trash.items if one.session_id == stray.session_id]
        back = await hub.ask(ops.TRASH_RESTORE, {"id": entry.id, "spoke": "anvil"})
        assert (Path(back.worktree) / "new").read_text() == "new\n"


async def recover(hub: coord.Hub, *, apply: bool) -> dict[tuple[str, str], bool]:
    said = await hub.ask(ops.RECOVER, {"apply": apply})
    assert said.unasked == []
    return {(one.session_id, one.kind): one.applied for one in said.findings}


async def follow(hub: coord.Hub, id: str) -> AsyncGenerator[Event]:
    """The story of a session, what is told after its end included."""
    seen = 0
    async with waited("it is told"):
        while True:
            for event in [one async for one in hub.events(id, after=seen, follow=False)]:
                seen = event.seq
                yield event
            await asyncio.sleep(0.05)
