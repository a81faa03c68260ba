"""The stream of the ops page: nothing is missed, nothing repeated, and it ends when it should."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path

import httpx
import pytest

from hub.app import serve
from hub.desk import Desk
from hub.settings import HubSettings
from hub.web import live
from tests.integration.web.browsing import PATIENCE, Said, overview, streaming, tasks
from tests.support import rows
from tests.support.rows import record
from tests.support.seat import seat


async def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    """Lines come from memory and from the database while the reader is cut off again and again."""
    on = await seat(desk.store)
    total = 1_500

    async def write() -> None:
        for n, first in enumerate(range(3, total + 3, 30)):
            said = [record("stdout", text=f"line {first + i}") for i in range(30)]
            row = await desk.store.exchange.append(
                on.spoke, on.epoch, on.id, on.attempt, first, said
            )
            if n % 3:  # as when another hub stored them
                assert row.first_seq is not None
                desk.feed.stored(on.id, row.first_seq, on.attempt, said)

    writing = asyncio.create_task(write())
    seqs: list[int] = []
    last: str | None = None
    cuts = 0
    while len(seqs) < total + 4:
        headers = bearer if last is None else {**bearer, "Last-Event-ID": last}
        async with streaming(web, f"/live?session={on.id}&after=0", headers) as stream:
            async for one in stream:
                if one.event == "lines":
                    seqs += seqs_of(one)
                    last = one.id
                    assert last == str(seqs[-1])
                    break
        cuts += 1
    await writing
    assert cuts > 3
    assert seqs == list(range(1, total + 4 + 1))


def seqs_of(said: Said) -> list[int]:
    batch = said.json()
    assert isinstance(batch, list)
    return [int(line["seq"]) for line in batch]


async def test_the_overview_comes_when_it_has_changed_and_only_then(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 1)
    async with streaming(web, "/live", bearer) as stream:
        assert tasks(await overview(stream)) == []
        assert (await anext(stream)).event == "beat", "nothing changed"
        await rows.spawn(desk.store, dataclasses.replace(rows.new_session(), task="fresh"))
        # A look is several statements: it may count somebody whom it does not list yet.
        while not (seen := tasks(await overview(stream))):
            pass
        assert seen == ["fresh"]


async def test_nobody_watches_when_nobody_reads(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    on = await seat(desk.store)
    async with streaming(web, f"/live?session={on.id}", bearer) as stream:
        await anext(stream)
        assert desk.bells.heard(on.id)
    async with asyncio.timeout(PATIENCE):
        while desk.bells.heard(on.id) or "overview" in names():
            await asyncio.sleep(0.01)


def names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_there_are_as_many_readers_as_there_may_be(
    web: httpx.AsyncClient, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "READERS", 1)
    async with streaming(web, "/live", bearer) as stream:
        await anext(stream)
        refused = await web.get("/live", headers=bearer)
        assert refused.status_code == 429
        assert refused.json()["reason"] == "TOO_MANY_READERS"


async def test_a_hub_that_stops_ends_its_streams(
    hub_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = HubSettings(database_url=hub_database, port=0, http_port=0, state=tmp_path)
    before = asyncio.all_tasks()
    caplog.set_level(logging.WARNING)
    async with asyncio.timeout(PATIENCE), serve(settings) as hub, httpx.AsyncClient() as web:
        headers = {"Authorization": f"Bearer {await hub.admin_token('anna')}"}
        async with streaming(web, f"{hub.http_url}/live", headers) as stream:
            await anext(stream)
            page = next(part for part in hub._parts if part.get_name() == "ops page")
            page.cancel()
            assert [one async for one in stream if one.event == "lines"] == []
            await asyncio.wait([page])
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in left if name in ("uvicorn", "overview", "ops page")]
    assert [one.getMessage() for one in caplog.records if one.name.startswith("uvicorn")] == []
