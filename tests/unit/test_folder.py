"""The directory of an attempt: ends that were half written, and sockets with long paths."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from protocol.errors import DataLoss
from spoke.core.story import Exit
from spoke.folder import Folder
from spoke.journal import Key
from spoke.settings import Places
from spoke.spool import Kind, Reader, Record, Writer
from spoke.supervisor.assignment import write_first

DIED = Exit("failed", "SIGKILL", "SUPERVISOR_DIED", "it died", "look", 2, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    places = Places(tmp_path / "state")
    places.attempts.mkdir(parents=True)
    folder = Folder(places, Key("s1", 1))
    folder.make()
    return folder


def records(folder: Folder) -> list[Record]:
    reader = Reader(folder.spool)
    try:
        return reader.read()
    finally:
        reader.close()


def write(folder: Folder, *entries: tuple[int, bytes]) -> None:
    writer = Writer(folder.spool)
    writer.append(entries)
    writer.close()


def test_an_end_is_written_once(folder: Folder) -> None:
    write(folder, (Kind.STARTING, b'{"worktree":"/w"}'), (Kind.STDOUT, b"hi"))
    assert not folder.is_ended()
    folder.write_exit(DIED, ("m1",))
    folder.write_exit(DIED, ("m1",))
    kinds = [record.kind for record in records(folder)]
    assert kinds == [Kind.STARTING, Kind.STDOUT, Kind.UNDELIVERED, Kind.EXITED]
    ending = json.loads(records(folder)[-1].payload)
    assert (ending["outcome"], ending["reason"], ending["ended"]) == ("failed", DIED.reason, 2)
    contents = folder.read()
    assert (contents.last, contents.ended, contents.settled) == (4, True, {"m1"})
    assert contents.worktree == Path("/w")


def test_an_end_that_only_the_file_has_is_put_into_the_spool(folder: Folder) -> None:
    write(folder, (Kind.STARTING, b"{}"))
    (folder.path / "exit.json").write_bytes(b'{"outcome":"completed"}')
    folder.write_exit(DIED, ())
    assert folder.is_ended()
    assert [record.payload for record in records(folder)] == [b"{}", b'{"outcome":"completed"}']


def test_a_torn_tail_is_cut_before_the_end_is_written(folder: Folder) -> None:
    write(folder, (Kind.STARTING, b"{}"), (Kind.STDOUT, b"half"))
    text = folder.spool.read_bytes()
    folder.spool.write_bytes(text[:-2])
    folder.write_exit(DIED, ())
    assert [record.kind for record in records(folder)] == [Kind.STARTING, Kind.EXITED]


def test_a_damaged_spool_is_left_as_it_is(folder: Folder) -> None:
    write(folder, (Kind.STARTING, b"{}"), (Kind.STDOUT, b"x"))
    text = b"\xff" + folder.spool.read_bytes()[1:]
    folder.spool.write_bytes(text)
    with pytest.raises(DataLoss):
        folder.write_exit(DIED, ())
    assert folder.spool.read_bytes() == text


def test_a_long_state_path_still_has_short_sockets(tmp_path: Path) -> None:
    places = Places(tmp_path / ("x" * 120))
    places.make()
    try:
        assert len(str(places.socket("ses_0123456789abcdef.1"))) < 100
        assert places.run.stat().st_mode & 0o777 == 0o700
        assert places.run == Places(tmp_path / ("x" * 120)).run
    finally:
        shutil.rmtree(places.run)


def test_the_socket_is_where_the_supervisor_was_told(folder: Folder, tmp_path: Path) -> None:
    told = folder.socket
    folder.furnish("prompt", "token")
    word = folder.word()
    again = Folder(Places(tmp_path / "state"), Key("s1", 1))
    again.socket = tmp_path / "elsewhere"
    assert not again.was_launched()
    folder.mark_launched()
    assert again.was_launched()
    assert again.socket == told
    assert again.word() == folder.word() == word != ""


def test_that_it_was_launched_is_known_though_the_disk_lost_the_rest(folder: Folder) -> None:
    folder.furnish("prompt", "token")
    folder.mark_launched()
    os.truncate(folder.path / "launched", 0)
    usual = folder.socket
    assert folder.was_launched()
    assert (folder.socket, folder.word()) == (usual, "")


def test_no_file_is_made_between_what_it_is_given_and_its_launch(folder: Folder) -> None:
    folder.furnish("prompt", "token")
    before = {path.stat().st_ino for path in folder.path.iterdir()}
    folder.mark_launched()
    assert {path.stat().st_ino for path in folder.path.iterdir()} == before


def test_furnished_again_it_has_nothing_of_the_first_time(folder: Folder) -> None:
    folder.furnish("a prompt of some length", "a token of some length")
    first = folder.word()
    folder.furnish("short", "token")
    assert (folder.prompt.read_text(), folder.credential.read_text()) == ("short", "token")
    assert folder.word() != first
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


def test_an_end_is_on_the_disk_before_anybody_is_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    folder.write_exit(DIED, ())
    assert synced == [folder.spool.stat().st_size]


def test_a_supervisor_that_is_only_a_name_was_cut_by_the_end_of_the_machine(folder: Folder) -> None:
    folder.furnish("a prompt", "a token")
    folder.mark_launched()
    assert not folder.is_of_another_boot(), "it may have died before it said who it was"
    (folder.path / "supervisor.json").touch()
    assert folder.supervisor() is None
    assert folder.is_of_another_boot()


def test_who_has_not_said_that_it_is_the_supervisor_cannot_any_more(folder: Folder) -> None:
    folder.furnish("a prompt", "a token")
    folder.mark_launched()
    folder.bar()
    folder.bar()
    with pytest.raises(FileExistsError):
        write_first(str(folder.path / "supervisor.json"), b"{}")
    assert (folder.supervisor(), folder.is_supervised()) == (None, False)
    assert not folder.is_of_another_boot(), "of which nobody knows"


def test_a_supervisor_that_said_who_it_is_stays_it(folder: Folder) -> None:
    folder.furnish("a prompt", "a token")
    write_first(str(folder.path / "supervisor.json"), b'{"pid": 1}')
    folder.bar()
    assert folder.supervisor() == {"pid": 1}
    assert not (folder.path / "supervisor.json.new").exists()


def test_a_name_is_taken_once_on_a_disk_without_hard_links(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(src: str, dst: str) -> None:
        raise FileExistsError if os.path.lexists(dst) else PermissionError

    monkeypatch.setattr(os, "link", refuse)
    folder.furnish("a prompt", "a token")
    write_first(str(folder.path / "supervisor.json"), b'{"pid": 1}')
    with pytest.raises(FileExistsError):
        write_first(str(folder.path / "supervisor.json"), b'{"pid": 2}')
    assert folder.supervisor() == {"pid": 1}
