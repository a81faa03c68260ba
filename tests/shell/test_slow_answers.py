"""Who sits before a command that takes its time is told what it waits for."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence

import pytest

from coord.cli import asking
from coord.cli.exits import Exit
from coord.cli.parser import read
from protocol.aio.node import Context
from tests.support.fake_hub import fake_hub, session, spawned

PATIENCE = 30
WORK = ("--repo", "https://e.org/r", "--prompt", "x")
ID = "ses_aaaaaaaaaaaaaaaa"


class Terminal(io.StringIO):
    """``told``: something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._loop.call_soon_threadsafe(self.told.set)
        return super().write(text)


@pytest.mark.parametrize(
    ("op", "words", "answer", "said"),
    [
        (
            "coord.spawn", ("spawn", "docs", *WORK, "--", "true"), spawned("docs"),
            "docs is not running yet; why: coordctl explain docs\n",
        ),
        (
            "coord.swarm", ("swarm", "docs", *WORK, "--", "true"),
            {"results": [{"task": "docs", "session": spawned("docs")}], "spawned": 1, "failed": 0},
            "not all of them run yet; why: coordctl ps, coordctl explain TASK\n",
        ),
        (
            "coord.resume", ("resume", ID), {"session": session(ID)},
            "waiting until it runs; Ctrl-C leaves it to itself\n",
        ),
    ],
)  # fmt: skip
async def test_what_a_start_waits_for_is_told(
    monkeypatch: pytest.MonkeyPatch, op: str, words: Sequence[str], answer: object, said: str
) -> None:
    """The hub answers once it was told: where nothing is, that is the end of this test."""
    terminal = Terminal()

    async def once_told(context: Context) -> object:
        await asyncio.wait_for(terminal.told.wait(), PATIENCE)
        return answer

    async with fake_hub() as fake:
        fake.answers[op] = once_told
        monkeypatch.setenv("COORD_URL", fake.url)
        monkeypatch.setenv("COORD_TOKEN", fake.token)
        monkeypatch.setattr(asking, "_SLOW_SECONDS", 0)
        monkeypatch.setattr(sys, "stderr", terminal)
        chosen = read(words)
        assert await asyncio.to_thread(chosen.run, chosen.args) is Exit.OK
    assert terminal.getvalue() == said
