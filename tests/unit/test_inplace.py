"""Small files that are written where they are: nothing of the old text stays in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoke.inplace import put, write_out


@pytest.mark.parametrize("old", [b"", b"x", b"as long\n", b"this one was longer\n"])
def test_the_new_text_is_all_there_is(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(old)
    before = path.stat().st_ino
    put(path, b"is long\n")
    assert path.read_bytes() == b"is long\n"
    assert path.stat().st_ino == before


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    put(tmp_path / "secret", b"s", 0o600)
    assert (tmp_path / "secret").read_bytes() == b"s"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_who_reads_meanwhile_finds_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "HEAD", list[bytes]()
    path.write_bytes(b"0123456789abcdef\n")
    truncate = os.ftruncate

    def looked(fd: int, size: int) -> None:
        seen.append(path.read_bytes())
        truncate(fd, size)

    monkeypatch.setattr(os, "ftruncate", looked)
    put(path, b"ref: x\n")
    assert [text.rstrip(b"\n") for text in seen] == [b"ref: x"]
    assert path.read_bytes() == b"ref: x\n"


def test_what_a_link_names_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="link"):
        put(tmp_path / "link", b"x")
    assert (tmp_path / "precious").read_text() == "precious"


def test_all_that_is_still_there_is_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("one", "gone", "two")]
    for path in (paths[0], paths[2]):
        path.write_text("x")
    asked: list[int] = []

    def advised(fd: int, *_: int) -> None:
        asked.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "posix_fadvise", advised)
    write_out(paths)
    assert asked == [paths[0].stat().st_ino, paths[2].stat().st_ino]
