"""What a word refers to when several sessions are called so: the one that has not ended, if only
one has not; and nobody where a wrong guess would do harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

import coord
from coord.cli.asking import LIVE, resolve
from coord.cli.parser import read
from protocol.codec import Object
from protocol.errors import InvalidArgument, NotFound
from protocol.session import State
from tests.support.fake_hub import FakeHub, fake_hub, session

A, B, C = "ses_aaaaaaaaaaaaaaaa", "ses_abbbbbbbbbbbbbbb", "ses_cccccccccccccccc"
OVER = session(A, "fix", "failed")
RUNS = session(B, "fix")
WAITS = session(C, "fix", "queued")
MADE = "2026-01-02T03:04:05+00:00"


@pytest.fixture
async def fake() -> AsyncGenerator[FakeHub]:
    async with fake_hub() as fake:
        yield fake


async def _meant(fake: FakeHub, ref: str, *views: Object, among: frozenset[State] = LIVE) -> str:
    fake.sessions(*views)
    async with coord.connect(fake.url, token=fake.token) as hub:
        return await resolve(hub, ref, among=among)


@pytest.mark.parametrize("views", [(RUNS,), (OVER, RUNS), (RUNS, OVER, OVER | {"sessionId": C})])
@pytest.mark.parametrize("ref", ["fix", "coord/fix"])
async def test_a_name_means_the_only_one_that_has_not_ended(
    fake: FakeHub, ref: str, views: tuple[Object, ...]
) -> None:
    assert await _meant(fake, ref, *views) == B


async def test_a_name_that_ended_ones_alone_have_means_the_only_one(fake: FakeHub) -> None:
    assert await _meant(fake, "fix", OVER) == A


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ((OVER, RUNS, WAITS), [B, C]),
        ((OVER, session(C, "fix", "completed")), [A, C]),
    ],
)
async def test_who_else_may_be_meant_is_told(
    fake: FakeHub, views: tuple[Object, ...], told: list[str]
) -> None:
    with pytest.raises(InvalidArgument, match="AMBIGUOUS") as refused:
        await _meant(fake, "fix", *views)
    candidates = refused.value.details["candidates"]
    assert isinstance(candidates, list)
    assert [one["sessionId"] for one in candidates if isinstance(one, dict)] == told
    assert [one["createdAt"] for one in candidates if isinstance(one, dict)] == [MADE] * len(told)
    assert refused.value.message.count("made 2026-01-0") == len(told)
    assert refused.value.advice == "name one of them by its id"


async def test_the_start_of_an_id_is_of_one_alone(fake: FakeHub) -> None:
    """It is no name that somebody gave: who types one too short has not said whom they mean."""
    with pytest.raises(InvalidArgument, match="AMBIGUOUS") as refused:
        await _meant(fake, "ses_a", OVER, RUNS)
    assert refused.value.advice == "say more of the id"
    assert await _meant(fake, "ses_ab", OVER, RUNS) == B


async def test_where_none_may_be_guessed_a_name_is_of_one_alone(fake: FakeHub) -> None:
    with pytest.raises(InvalidArgument, match="AMBIGUOUS"):
        await _meant(fake, "fix", OVER, RUNS, among=frozenset())
    assert await _meant(fake, "fix", OVER, among=frozenset()) == A
    with pytest.raises(NotFound, match="NO_SUCH_SESSION"):
        await _meant(fake, "other", OVER, RUNS, among=frozenset())


BLOCKED = session(C, "fix", "blocked")
LOST = session(C, "fix", "lost")


@pytest.mark.parametrize(
    ("words", "op", "guesses", "torn"),
    [
        (("message", "fix", "hello"), "coord.message", True, [BLOCKED]),
        (("abort", "fix"), "coord.abort", True, [LOST]),
        (("answer", "fix", "allow"), "coord.answer", True, []),
        (("notify", "--session", "fix", "hello"), "coord.notify", True, []),
        (("explain", "fix"), "coord.explain", True, []),
        (("logs", "fix"), "coord.events", True, []),
        (("resume", "fix"), "coord.resume", False, []),
        (("cleanup", "fix"), "coord.cleanup", False, []),
        (("cleanup", "--tree", "fix"), "coord.cleanup", False, []),
    ],
)  # fmt: skip
async def test_each_command_asks_for_the_one_or_asks_back(
    fake: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    words: Sequence[str],
    op: str,
    guesses: bool,
    torn: Sequence[Object],
) -> None:
    """``torn``: with whom there is something to do although it has ended."""
    monkeypatch.setenv("COORD_URL", fake.url)
    monkeypatch.setenv("COORD_TOKEN", fake.token)
    fake.on(op, NotFound("SESSION_NOT_FOUND", "it was asked for"))
    chosen = read(words)
    for others, is_clear in (([], guesses), *([([one], False) for one in torn])):
        fake.sessions(OVER, RUNS, *others)
        fake.asked.clear()
        with pytest.raises(NotFound if is_clear else InvalidArgument):
            await asyncio.to_thread(chosen.run, chosen.args)
        asked = [params for name, params in fake.asked if name == op]
        assert [one["sessionId"] for one in asked] == ([B] if is_clear else [])
