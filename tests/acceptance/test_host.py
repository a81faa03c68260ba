"""A machine is destroyed in the middle of edits: its sessions go on elsewhere; it comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.chaos import host
from tests.support.town import SHORT_LEASES, town
from tests.support.world import ended, until

#: As short as a busy machine allows; `make host` has the times of real life.
SOON = {**SHORT_LEASES, "grace_seconds": 0, "fence_seconds": 8, "fence_margin_seconds": 3}
SAVE_S = 0.5


async def test_a_machine_destroyed_in_the_middle_of_edits(
    tmp_path: Path, hub_database: str
) -> None:
    """Three are decided by the hub, one by a person; nothing that was saved is lost."""
    figures = await host.run(tmp_path, hub_database, hub_settings=SOON, save_s=SAVE_S)
    print(figures)
    assert len(figures.again) == host.REPLACED + 1
    assert figures.salvaged == len(figures.again)


async def test_fault_36_a_rented_machine_is_taken_away(tmp_path: Path, hub_database: str) -> None:
    """Nobody waits for a lease: who knows says so, and its session is lost at that moment, with the
    reason. It goes on elsewhere, from what was saved; the old machine is not let in again."""
    repo = host.shared(tmp_path)
    async with town(tmp_path, hub_database) as here, here.client() as hub:
        for name in ("anvil", "forge"):
            await here.add_spoke(name, save_ms=int(SAVE_S * 1_000))
        made = await hub.spawn("a", repo=repo, spoke="anvil", command="sh", args=["-c", host.EDIT])
        id = made.session_id
        await host.until_saved(hub, id, f"wip/{id}")
        await until(lambda: host.saved_lines(repo, f"wip/{id}"), "work is saved")
        gone = await host.destroy(here, "anvil")
        saved = host.saved_lines(repo, f"wip/{id}")
        await hub.call("spoke.revoke", {"spoke": "anvil"})
        lost = await host.told(hub, id, "lost")
        assert lost.body["reason"] == "its spoke was revoked"
        resumed = await hub.resume(id, elsewhere=True)
        assert (resumed.session.spoke, resumed.session.attempt) == ("forge", 2)
        tree = Path(str(resumed.session.worktree))
        assert host.notes_of(tree)[: len(saved)] == saved
        shutil.move(gone, here.state("anvil"))
        await here.spokes["anvil"].start()
        await until(lambda: "refuses this spoke" in here.spokes["anvil"].said(), "it is refused")
        (tree / "stop").touch()
        [session] = await ended(hub, id)
        assert (session.state, session.attempt) == ("completed", 2)
        assert all(line.startswith("2 ") for line in host.notes_of(tree)[len(saved) :])
        await here.settled()
