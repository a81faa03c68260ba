"""A machine is destroyed in the middle of edits: its sessions go on elsewhere; it comes back."""

from __future__ import annotations

from pathlib import Path

from tests.chaos import host

#: As short as a busy machine allows; `make host` has the times of real life.
SOON = {
    "grace_seconds": 0,
    "heartbeat_seconds": 0.5,
    "lease_seconds": 2,
    "fence_seconds": 8,
    "fence_margin_seconds": 3,
}
SAVE_S = 0.5


async def test_a_machine_destroyed_in_the_middle_of_edits(
    tmp_path: Path, hub_database: str
) -> None:
    """Three are decided by the hub, one by a person; nothing that was saved is lost."""
    figures = await host.run(tmp_path, hub_database, hub_settings=SOON, save_s=SAVE_S)
    print(figures)
    assert len(figures.again) == host.REPLACED + 1
    assert figures.salvaged == len(figures.again)
