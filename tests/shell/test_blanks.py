"""Folders made in advance: what takes one has no file to make, and what is missing is no matter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spoke.blanks import KEPT, Blanks
from spoke.folder import FILES, Folder
from spoke.journal import Key
from spoke.settings import Places
from spoke.spool import Kind, Writer
from spoke.supervisor.assignment import write_whole
from tests.support.world import until


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path / "state")
    places.make()
    return places


@pytest.fixture
async def blanks(places: Places) -> AsyncIterator[Blanks]:
    made = Blanks(places.blanks)
    made.start()
    yield made
    await made.close()


def _there(places: Places) -> int:
    return len(list(places.blanks.glob("*/supervisor.json.new")))


async def _blank(blanks: Blanks) -> Path:
    """Of as many as there can be."""
    await until(lambda: len(blanks._ready) == KEPT, "there are blank folders")
    blank = blanks.take()
    assert blank is not None
    return blank


async def test_an_attempt_that_has_one_makes_no_file(blanks: Blanks, places: Places) -> None:
    blank = await _blank(blanks)
    folder = Folder(places, Key("s1", 1))
    before = {path.stat().st_ino for path in (blank, *blank.iterdir())}
    folder.furnish("a prompt", "a token", blank)
    folder.mark_launched()
    write_whole(str(folder.path / "supervisor.json"), b"{}")
    writer = Writer(folder.spool)
    writer.append([(Kind.STARTING, b"{}")])
    writer.close()
    after = [folder.path, *folder.path.iterdir()]
    assert {path.stat().st_ino for path in after} == before
    assert [path.stat().st_mode & 0o777 for path in after] == [0o700] + [0o600] * len(FILES)
    assert (folder.prompt.read_text(), folder.credential.read_text()) == ("a prompt", "a token")
    assert folder.word()
    assert folder.read().started


async def test_what_is_left_of_a_try_before_is_used_again(blanks: Blanks, places: Places) -> None:
    blank = await _blank(blanks)
    folder = Folder(places, Key("s1", 1))
    folder.furnish("a prompt of some length", "a token")
    folder.furnish("a prompt", "a token", blank)
    assert folder.prompt.read_text() == "a prompt"
    assert not blank.exists()


async def test_one_that_was_removed_by_somebody_is_made(blanks: Blanks, places: Places) -> None:
    blank = await _blank(blanks)
    blank.rename(places.state / "elsewhere")
    folder = Folder(places, Key("s1", 1))
    folder.furnish("a prompt", "a token", blank)
    assert folder.prompt.read_text() == "a prompt"


async def test_those_of_a_daemon_before_are_thrown_away(places: Places) -> None:
    old = places.blanks / "half-made"
    old.mkdir(parents=True)
    blanks = Blanks(places.blanks)
    blanks.start()
    await until(lambda: _there(places) == KEPT, "there are blank folders")
    assert not old.exists()
    await blanks.close()


async def test_others_are_made_when_all_are_taken(blanks: Blanks, places: Places) -> None:
    taken = [await _blank(blanks)]
    while (blank := blanks.take()) is not None:
        taken.append(blank)
    assert len(set(taken)) == KEPT
    await until(lambda: _there(places) == 2 * KEPT, "there are others")


async def test_a_disk_that_does_not_take_them_is_no_matter(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    places.blanks.write_text("a file where a directory must be")
    blanks = Blanks(places.blanks)
    blanks.start()
    await until(lambda: "no folders in advance" in caplog.text, "that is told")
    assert blanks.take() is None
    await blanks.close()


async def test_nothing_is_left_of_one_that_the_disk_did_not_take(
    places: Places, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Path.touch

    def full(path: Path, mode: int = 0o666) -> None:
        if path.name == FILES[-1]:
            raise OSError(28, "No space left on device")
        touch(path, mode)

    monkeypatch.setattr(Path, "touch", full)
    blanks = Blanks(places.blanks)
    blanks.start()
    await until(lambda: "no folders in advance" in caplog.text, "that is told")
    assert list(places.blanks.iterdir()) == []
    await blanks.close()
