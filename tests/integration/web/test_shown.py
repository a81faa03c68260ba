"""What the ops page shows of sessions and their transcripts, and that text stays text."""

from __future__ import annotations

import asyncio
import dataclasses
import re

import httpx
import pytest

from hub.desk import Desk
from hub.store import Store
from hub.web.lines import LINE_CHARS, shown
from hub.web.overview import SESSIONS, forest
from tests.integration.web.browsing import streaming
from tests.support import rows
from tests.support.rows import record
from tests.support.seat import seat


async def test_text_from_outside_stays_text(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    evil = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    new = dataclasses.replace(rows.new_session(branch=evil), task=evil, agent=evil)
    spoke, at = await rows.spoke(desk.store)
    await rows.spawn(desk.store, new)
    attempt = await rows.run(desk.store, spoke, at.epoch, new.session_id)
    lines = [
        record("stdout", text=evil),
        record("stderr", text="\x1b[31mred\x1b[0m \x1b]0;t\x07\u202e"),
    ]
    await desk.store.exchange.append(spoke, at.epoch, new.session_id, attempt, 3, lines)
    page = (await web.get(f"/?session={new.session_id}", headers=bearer)).text
    assert evil not in page
    assert "<img" not in page
    assert page.count("<script") == 1
    assert page.count("&lt;script&gt;alert(1)") >= 4
    assert "red ␛]0;t␇⟨U+202E⟩" in page
    async with streaming(web, f"/live?session={new.session_id}", bearer) as stream:
        seen = [await anext(stream), await anext(stream)]
    assert {one.event for one in seen} == {"overview", "lines"}
    assert all(len(one.text.splitlines()) == 1 for one in seen)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain \t text ✓ 日本 👩‍🚀", "plain \t text ✓ 日本 👩‍🚀"),
        ("\x1b[1;31mred\x1b[0m\r", "red"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("a\x00b\x08\x7f\x9b31m", "a␀b␈␡⟨U+009B⟩31m"),
        ("evil\u202egnp.exe\u2066\u200b", "evil⟨U+202E⟩gnp.exe⟨U+2066⟩⟨U+200B⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("x" * (LINE_CHARS + 1_234), "x" * LINE_CHARS + " … 1,234 more characters"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, seen: str) -> None:
    assert shown(text) == seen


async def test_a_long_transcript_is_read_in_parts(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    on = await seat(desk.store)
    await on.append(*(record("stdout", text=f"line {n}") for n in range(1_200)))
    seqs: list[int] = []
    path: str | None = f"/?session={on.id}"
    while path is not None:
        page = (await web.get(path, headers=bearer)).text
        seqs = [int(seq) for seq in re.findall(r'data-seq="(\d+)"', page)] + seqs
        earlier = re.search(r'id="earlier" href="([^"]*until=\d+)">', page)
        path = None if earlier is None else earlier[1].replace("&amp;", "&")
    assert seqs == list(range(1, 1_200 + 4 + 1))


async def test_the_living_come_first_and_children_under_their_parents(store: Store) -> None:
    spoke, at = await rows.spoke(store)
    old = rows.new_session()
    child = rows.new_session(parent=old.session_id)
    grandchild = rows.new_session(parent=child.session_id)
    done = rows.new_session()
    for new in (old, child, done, grandchild):
        await rows.spawn(store, new)
    attempt = await rows.run(store, spoke, at.epoch, done.session_id)
    exited = record("exited", outcome="completed", exitCode=0)
    await store.exchange.append(spoke, at.epoch, done.session_id, attempt, 3, [exited])
    views = await store.sessions.views([one.session_id for one in (old, child, grandchild, done)])
    order = [(depth, row.session_id) for depth, row in forest(views)]
    assert order == [
        (0, old.session_id),
        (1, child.session_id),
        (2, grandchild.session_id),
        (0, done.session_id),
    ]
    orphans = [row for row in views if row.session_id != old.session_id]
    assert next(depth for depth, row in forest(orphans) if row.session_id == child.session_id) == 0


async def test_five_hundred_are_shown_and_more_are_said(
    web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]
) -> None:
    await asyncio.gather(*(rows.spawn(desk.store) for _ in range(SESSIONS + 20)))
    page = (await web.get("/", headers=bearer)).text
    assert page.count('data-depth="0"') == SESSIONS
    assert f"{SESSIONS + 20} queued" in page
    assert '<p class="empty" id="more">' in page
