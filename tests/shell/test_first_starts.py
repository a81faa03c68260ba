"""What an agent does once: alone, for all who come meanwhile, and again only where it failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from spoke.first_starts import FirstStarts

COUNTS = 'echo ran >>"$LOG"; mkdir "$LOCK" || exit 1; sleep 0.1; rmdir "$LOCK"'


def _env(folder: Path, home: str) -> dict[str, str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder / home)}
    return {**env, "LOG": str(folder / "log"), "LOCK": str(folder / "lock")}


def _runs(folder: Path) -> int:
    return (folder / "log").read_text().count("ran")


async def test_it_is_run_once_for_all_who_come(tmp_path: Path) -> None:
    starts, argv = FirstStarts(), ("sh", "-c", COUNTS)
    env = _env(tmp_path, "one")
    await asyncio.gather(*(starts.over(argv, env, tmp_path) for _ in range(8)))
    await starts.over(argv, env, tmp_path)
    assert _runs(tmp_path) == 1
    await starts.over(argv, _env(tmp_path, "two"), tmp_path)
    assert _runs(tmp_path) == 2, "settings of somebody else are another store"


async def test_what_failed_is_run_again_by_who_comes_later(tmp_path: Path) -> None:
    starts, argv, env = FirstStarts(), ("sh", "-c", COUNTS), _env(tmp_path, "one")
    (tmp_path / "lock").mkdir()
    await starts.over(argv, env, tmp_path)
    (tmp_path / "lock").rmdir()
    await starts.over(argv, env, tmp_path)
    await starts.over(argv, env, tmp_path)
    assert _runs(tmp_path) == 2


async def test_a_program_that_is_not_there_is_left_to_the_start_itself(tmp_path: Path) -> None:
    await FirstStarts().over((str(tmp_path / "none"),), {}, tmp_path)


async def test_who_gives_up_leaves_no_process(tmp_path: Path) -> None:
    started = tmp_path / "log"
    argv = ("sh", "-c", 'echo $$ >"$LOG.new"; mv "$LOG.new" "$LOG"; sleep 600')
    waiting = asyncio.create_task(FirstStarts().over(argv, _env(tmp_path, "one"), tmp_path))
    while not started.exists():
        await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
