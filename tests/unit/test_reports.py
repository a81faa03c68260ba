"""The hub hears of every attempt, however often one of them has news."""

from __future__ import annotations

import asyncio

from protocol.ops.wire import Saved
from spoke.reports import Reports


def _saved(session: str, commit: str) -> Saved:
    return Saved(
        session_id=session, attempt=1, kind="wip", ref=f"refs/coord/wip/{session}", commit=commit,
        pushed=False, pushed_commit=None, final=False, why="",
    )  # fmt: skip


class _SlowHub:
    """While it is told of one, that one has news already."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self.told: list[str] = []
        self.enough = asyncio.Event()

    async def saved(self, report: Saved) -> None:
        self.told.append(f"{report.session_id} {report.commit}")
        if len(self.told) == 4:
            self.enough.set()
        if report.session_id == "ses_1" and not self.enough.is_set():
            self._reports.say(_saved("ses_1", f"{len(self.told)}"))


async def test_one_that_always_has_news_keeps_nobody_waiting() -> None:
    reports = Reports()
    hub = _SlowHub(reports)
    for session in ("ses_1", "ses_2", "ses_3"):
        reports.say(_saved(session, "0"))
    telling = asyncio.create_task(reports.tell())
    reports.connect(hub)
    await hub.enough.wait()
    telling.cancel()
    assert hub.told == ["ses_1 0", "ses_2 0", "ses_3 0", "ses_1 1"]
