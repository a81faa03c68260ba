"""The end of an attempt is on the disk in one place at least, whatever the disk takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoke.spool import Kind, Reader
from spoke.supervisor.book import Book

END = {"outcome": "completed"}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were made to last, in their order."""
    names: list[str] = []

    def remember(fd: int) -> None:
        names.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(os, "fsync", remember)
    monkeypatch.setattr(os, "fdatasync", remember)
    return names


def test_an_end_that_the_spool_has_waits_for_no_second_file(
    tmp_path: Path, synced: list[str]
) -> None:
    book = Book(str(tmp_path), 1 << 20)
    book.note(Kind.EXITED, END)
    assert book.close(END)
    assert synced == ["spool"]
    assert [record.kind for record in Reader(tmp_path / "spool").read()] == [Kind.EXITED]
    assert not (tmp_path / "exit.json").exists()


def test_an_end_that_the_spool_did_not_take_is_made_to_last_elsewhere(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(str(tmp_path), 1 << 20)

    def full(_entries: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(book.spool, "append", full)
    book.note(Kind.EXITED, END)
    assert not book.close(END)
    assert synced[-1] == "exit.json.new"
    assert (tmp_path / "exit.json").read_bytes() == b'{"outcome":"completed"}'


def test_nor_does_an_end_rely_on_a_spool_that_could_not_be_synced(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(str(tmp_path), 1 << 20)

    def broken() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(book.spool, "sync", broken)
    book.note(Kind.EXITED, END)
    assert not book.close(END)
    assert synced == ["exit.json.new"]


def test_what_a_crash_left_of_a_longer_draft_is_not_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exit.json.new").write_bytes(b"x" * 4096)
    book = Book(str(tmp_path), 1 << 20)
    monkeypatch.setattr(book, "sync", lambda: False)
    book.close(END)
    assert (tmp_path / "exit.json").read_bytes() == b'{"outcome":"completed"}'


def test_an_end_that_is_written_in_pieces_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(str(tmp_path), 1 << 20)
    monkeypatch.setattr(book, "sync", lambda: False)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, text: write(fd, text[:5]))
    book.close(END)
    assert (tmp_path / "exit.json").read_bytes() == b'{"outcome":"completed"}'
