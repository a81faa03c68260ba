"""Where the hub is: arguments before the environment before the file, and no token astray."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from coord import context
from protocol.errors import InvalidArgument, Unavailable


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("COORD_URL", "COORD_TOKEN", "COORD_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_nothing_known_says_what_to_do() -> None:
    with pytest.raises(Unavailable) as caught:
        context.find()
    assert caught.value.reason == "NO_HUB"
    assert "coordctl up" in caught.value.advice
    assert not caught.value.retryable


def test_the_file_is_private_and_is_the_last_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    context.write(context.path(), "ws://file:1#sha256=ab", "t-file")
    assert stat.S_IMODE(context.path().stat().st_mode) == 0o600
    assert [one.name for one in context.path().parent.iterdir()] == ["context.json"]
    found = context.find()
    assert (found.url, found.token) == ("ws://file:1#sha256=ab", "t-file")
    monkeypatch.setenv("COORD_URL", "ws://env:1")
    monkeypatch.setenv("COORD_TOKEN", "t-env")
    assert (context.find().url, context.find().token) == ("ws://env:1", "t-env")
    given = context.find("ws://arg:1", "t-arg")
    assert (given.url, given.token) == ("ws://arg:1", "t-arg")


def test_a_token_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t-file\n")
    monkeypatch.setenv("COORD_URL", "ws://env:1")
    monkeypatch.setenv("COORD_TOKEN_FILE", str(file))
    assert context.find().token == "t-file"
    file.unlink()
    with pytest.raises(InvalidArgument, match="NO_TOKEN"):
        context.find()


def test_the_stored_token_goes_to_the_stored_hub_alone() -> None:
    context.write(context.path(), "ws://file:1", "t-file")
    assert context.find("ws://file:1").token == "t-file"
    with pytest.raises(InvalidArgument, match="NO_TOKEN"):
        context.find("ws://other:1")


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1, "token": "t"}', '{"url": "u"}'])
def test_a_damaged_file_is_said_to_be_one(text: str) -> None:
    context.path().parent.mkdir(parents=True)
    context.path().write_text(text)
    with pytest.raises(InvalidArgument, match="BAD_CONTEXT"):
        context.find()


def test_a_context_shows_no_token() -> None:
    assert "secret" not in repr(context.Context("ws://h:1", "secret"))
