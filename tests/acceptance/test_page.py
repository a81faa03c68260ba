"""The ops page in a real browser: opened by a link, live, quiet, inert to hostile text."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

import coord
from hub.app import RunningHub
from hub.desk import Desk
from hub.embedded.cluster import Endpoint
from protocol.ops.wire import Record
from tests.support import rows
from tests.support.hubs import admin_of, hub_on
from tests.support.postgres import fresh_database
from tests.support.rows import record

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 20_000
EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>\'"&amp;'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    """One for all: each tab has a context of its own, with nothing in it of another."""
    expect.set_options(timeout=PATIENCE_MS)  # 5 s of a busy machine are not enough for everything
    found = shutil.which("chromium")
    assert found, "this test needs a browser: apt-get install -y chromium"
    async with async_playwright() as play:
        chromium = await play.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def running_hub(
    postgres_server: Endpoint, migrated: str, tmp_path: Path
) -> AsyncGenerator[RunningHub]:
    """On the loop of the browser."""
    async with (
        fresh_database(postgres_server, template=migrated) as dsn,
        hub_on(dsn, tmp_path) as hub,
    ):
        yield hub


@pytest_asyncio.fixture(loop_scope="module")
async def client(running_hub: RunningHub) -> AsyncGenerator[coord.Hub]:
    async with admin_of(running_hub) as hub:
        yield hub


@dataclass  # without slots: playwright writes on whatever has a handler
class Tab:
    """A page, and all that went wrong on it."""

    page: Page
    trouble: list[str] = field(default_factory=list[str])

    def watch(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.set_default_timeout(PATIENCE_MS)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(message.text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a stream that the page itself closed
            self.trouble.append(f"{request.url}: {request.failure}")


@asynccontextmanager
async def tab(
    browser: Browser, width: int = 1440, scheme: Literal["light", "dark"] = "light"
) -> AsyncGenerator[Tab]:
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    # Violations of the page's own policy do not always reach the console.
    await context.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.blockedURI))"
    )
    opened = Tab(await context.new_page())
    opened.watch()
    try:
        yield opened
    finally:
        await context.close()


async def log_in(page: Page, client: coord.Hub) -> None:
    ticket = await client.call("hub.ticket", {})
    assert isinstance(ticket, dict)
    await page.goto(str(ticket["url"]))
    await page.wait_for_url("**/")


@dataclass(slots=True)
class Working:
    """A session whose agent works, as its spoke tells it."""

    desk: Desk
    spoke: str
    epoch: int
    id: str
    attempt: int
    stored: int = 2

    async def say(self, *records: Record) -> None:
        now = time.time_ns() // 1_000_000
        records = tuple(one._replace(at=now) for one in records)
        row = await self.desk.store.exchange.append(
            self.spoke, self.epoch, self.id, self.attempt, self.stored + 1, records
        )
        assert row.verdict == "ok" and row.first_seq is not None
        self.stored = row.stored
        self.desk.feed.stored(self.id, row.first_seq, self.attempt, records)


async def spawn(desk: Desk, spoke: tuple[str, int], task: str, **more: str) -> Working:
    parent, branch = more.get("parent"), more.get("branch", f"coord/{task}")
    new = rows.new_session(parent=parent, wanted=spoke[0])  # wherever the hub would place it
    new = dataclasses.replace(new, task=task, branch=branch)
    await rows.spawn(desk.store, new)
    attempt = await rows.run(desk.store, *spoke, new.session_id)
    return Working(desk, *spoke, new.session_id, attempt)


async def add_spoke(desk: Desk, name: str, labels: dict[str, str], slots: int) -> tuple[str, int]:
    id = f"sp_{name}"
    assert await desk.store.exchange.enroll(id, name, b"key", labels, slots)
    hello = rows.hello(id).model_copy(update={"slots": slots})
    greeted = await desk.store.exchange.greet(hello, "1", 45)
    assert greeted is not None
    return id, greeted.epoch


async def test_a_spoke_a_session_and_its_lines_appear_by_themselves(
    browser: Browser, running_hub: RunningHub, client: coord.Hub, tmp_path: Path
) -> None:
    desk = running_hub._desk
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        assert page.url == f"{running_hub.http_url}/", "the code is nowhere any more"
        await expect(page.locator("#link")).to_have_text("live")
        await expect(page.locator("#no-spokes")).to_be_visible()

        spoke = await add_spoke(desk, "anvil", {"gpu": "a100"}, 8)
        await expect(page.locator("#spokes tbody tr")).to_contain_text("anvil")
        await expect(page.locator("#spokes [data-cell=state]")).to_have_text("online")
        one = await spawn(desk, spoke, "fix-login")
        await expect(page.locator("#sessions tbody tr")).to_contain_text("running")
        await expect(page.locator("#spokes [data-cell=use]")).to_have_text("1 of 8")
        await expect(page.locator("#sessions-sum")).to_have_text("1 running")

        await page.get_by_role("link", name="fix-login").click()
        await page.wait_for_url(f"**/?session={one.id}")
        await expect(page.locator("#link")).to_have_text("live")
        for n in range(40):
            await one.say(*(record("stdout", text=f"line {n}.{i}") for i in range(25)))
        await expect(page.locator(".line .text").last).to_have_text("line 39.24")
        seqs = [int(seq) for seq in await shown(page)]
        assert seqs == list(range(seqs[0], 1_004 + 1)), "no gap and nothing twice"
        assert await at_end(page), "it follows"

        await page.locator("#lines").evaluate("box => box.scrollTop = 0")
        await one.say(record("stderr", text="warning: one more"))
        await expect(page.locator("#newest")).to_be_visible()
        assert not await at_end(page), "it does not tear a reader away"
        await page.locator("#newest").click()
        assert await at_end(page)

        for n in range(12):
            await one.say(*(record("stdout", text=f"more {n}.{i}") for i in range(500)))
        await expect(page.locator(".line .text").last).to_have_text("more 11.499")
        seqs = [int(seq) for seq in await shown(page)]
        assert len(seqs) == 5_000, "the page does not grow for ever"
        earlier = await page.locator("#earlier").get_attribute("href")
        assert earlier == f"/?session={one.id}&until={seqs[0] - 1}"

        await one.say(record("exited", outcome="failed", exitCode=3, reason="tests failed"))
        await expect(page.locator("#facts")).to_contain_text("tests failed")
        await expect(page.locator("#facts .state")).to_have_text("failed")
        assert opened.trouble == []


async def shown(page: Page) -> list[str]:
    found = await page.locator(".line").evaluate_all("all => all.map(x => x.dataset.seq)")
    return [str(seq) for seq in found]


async def at_end(page: Page) -> bool:
    how = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 40"
    return bool(await page.locator("#lines").evaluate(how))


async def test_hostile_text_does_nothing(
    browser: Browser, running_hub: RunningHub, client: coord.Hub
) -> None:
    desk = running_hub._desk
    spoke = await add_spoke(desk, "anvil", {EVIL: EVIL}, 8)
    before = await spawn(desk, spoke, EVIL, branch=EVIL)
    await before.say(record("stdout", text=EVIL))
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        await page.goto(f"{running_hub.http_url}/?session={before.id}")
        await expect(page.locator("#link")).to_have_text("live")
        await before.say(record("stdout", text=EVIL), record("notify", level=EVIL, text=EVIL))
        await spawn(desk, spoke, EVIL + "2", branch=EVIL + "2")
        await expect(page.locator("#sessions tbody tr")).to_have_count(2)
        await expect(page.locator(".line .text", has_text="window.pwned")).to_have_count(4)
        assert await page.evaluate("window.pwned") is None
        assert await page.locator("main img, main script").count() == 0
        assert opened.trouble == []


def asked(question: int, what: str) -> Record:
    """An agent asks whether it may run something."""
    return record(
        "agent", event="asked", question=question, tool="run", what=what, paths=["src/a.py"],
        rule="ask run(git push *)", until=4_000_000_000_000, unanswered="deny",
    )  # fmt: skip


async def test_a_question_is_answered_on_the_page(
    browser: Browser, running_hub: RunningHub, client: coord.Hub, tmp_path: Path
) -> None:
    desk = running_hub._desk
    one = await spawn(desk, await add_spoke(desk, "anvil", {}, 8), "fix-login")
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        await expect(page.locator("#asks-part")).to_be_hidden()
        await one.say(asked(1, "git push origin HEAD"))
        first = page.locator(f'#asks [data-key="{one.id}/1"]')
        await expect(first).to_contain_text("fix-login asks whether it may run")
        await expect(first.locator("pre")).to_have_text("git push origin HEAD")
        await expect(first).to_contain_text("denied at 07:06:40 UTC if nobody answers")
        text = first.get_by_label("What fix-login is told if you deny")
        await text.fill("Push to the fork.")
        await one.say(asked(2, EVIL))
        await expect(page.locator("#asks li")).to_have_count(2)
        await expect(text).to_have_value("Push to the fork.")
        await text.press("Enter")
        await page.screenshot(path=tmp_path / "asks.png", full_page=True)
        row = await desk.store.questions.find(one.id, 1)
        assert row is not None
        assert row.answer is None, "Enter decides nothing"

        await first.get_by_role("button", name="Deny").click()
        await expect(first).to_contain_text("answered by admin:")
        await expect(first.locator("form")).to_have_count(0)
        [order] = await said_to(desk, one)
        assert order == {"question": 1, "decision": "deny", "message": "Push to the fork."}

        second = page.locator(f'#asks [data-key="{one.id}/2"]')
        await desk.store.questions.answer(one.id, 2, "deny", "operator:bob", "")
        await one.say(
            record("agent", event="decided", question=2, decision="deny", by="operator:bob"),
            record("agent", event="decided", question=1, decision="deny", by="admin:anna"),
        )
        await expect(second).to_have_count(0)
        await expect(page.locator("#asks-part")).to_be_hidden()
        assert await page.evaluate("window.pwned") is None
        assert opened.trouble == []


async def said_to(desk: Desk, one: Working) -> list[dict[str, object]]:
    """The answers in its story, as its agent is to hear them."""
    story = await desk.store.sessions.story(one.id)
    events = await desk.store.sessions.events(story, one.id, 0, 100)
    found = [event.body for event in events if event.kind == "answer"]
    return [
        {name: body[name] for name in ("question", "decision", "message")}
        for body in found
        if isinstance(body, dict)
    ]


async def test_who_was_late_is_told_and_who_only_reads_has_no_buttons(
    browser: Browser, running_hub: RunningHub, client: coord.Hub
) -> None:
    desk = running_hub._desk
    one = await spawn(desk, await add_spoke(desk, "anvil", {}, 8), "fix-login")
    await one.say(asked(1, "git push"))
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        allow = page.locator("#asks").get_by_role("button", name="Allow")
        await expect(allow).to_be_visible()
        await page.route("**/answer", lambda route: route.fulfill(
            status=409, json={"message": "question 1 has its answer: deny, by operator:bob"},
        ))  # fmt: skip
        await allow.click()
        await expect(page.locator("#asks .trouble")).to_have_text(
            "question 1 has its answer: deny, by operator:bob"
        )
        await expect(allow).to_be_enabled()
    made = await client.call("token.create", {"name": "guest", "role": "viewer"})
    assert isinstance(made, dict)
    async with (
        coord.connect(running_hub.url, str(made["token"])) as guest,
        tab(browser) as opened,
    ):
        await log_in(opened.page, guest)
        await expect(opened.page.locator("#link")).to_have_text("live")
        await expect(opened.page.locator("#asks li")).to_contain_text("git push")
        assert await opened.page.locator("#asks button, #asks input").count() == 0


async def test_the_page_says_when_it_is_not_live(
    browser: Browser, running_hub: RunningHub, client: coord.Hub
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        await expect(page.locator("#link")).to_have_text("live")
        stop = next(part for part in running_hub._parts if part.get_name() == "ops page")
        stop.cancel()
        await asyncio.wait([stop])
        await expect(page.locator("#link")).to_contain_text("the hub does not answer")
        await expect(page.locator("#link")).to_contain_text("this is how it was at")
        assert "stale" in (await page.locator("body").get_attribute("class") or "")


async def test_logging_out_leaves_nothing_open(
    browser: Browser, running_hub: RunningHub, client: coord.Hub
) -> None:
    async with tab(browser) as opened:
        page = opened.page
        await log_in(page, client)
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        assert await page.context.cookies() == []
        answer = await page.goto(running_hub.http_url)
        assert answer is not None and answer.status == 401
        await expect(page.locator("body")).to_contain_text("coordctl call hub.ticket")


async def test_it_can_be_read_without_scripts(
    browser: Browser, running_hub: RunningHub, client: coord.Hub
) -> None:
    desk = running_hub._desk
    one = await spawn(desk, await add_spoke(desk, "anvil", {}, 8), "fix-login")
    await one.say(record("stdout", text="it works"))
    async with tab(browser) as opened:
        await log_in(opened.page, client)
        cookies = await opened.page.context.cookies()
    plain = await browser.new_context(java_script_enabled=False)
    await plain.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]
    page = await plain.new_page()
    await page.goto(running_hub.http_url)
    await page.get_by_role("link", name="fix-login").click()
    await expect(page.locator("#lines")).to_contain_text("it works")
    await expect(page.locator("#link")).to_contain_text("as of")
    await plain.close()


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("light", 1440, "light"),
        ("dark", 1440, "dark"),
        ("narrow", 360, "dark"),
        ("tablet", 900, "light"),
    ],
)
async def test_how_it_looks(
    browser: Browser,
    running_hub: RunningHub,
    client: coord.Hub,
    tmp_path: Path,
    name: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    desk = running_hub._desk
    chosen = await furnish(desk)
    async with tab(browser, width, scheme) as opened:
        page = opened.page
        await log_in(page, client)
        await expect(page.locator("#link")).to_have_text("live")
        await page.screenshot(path=tmp_path / f"{name}-all.png", full_page=True)
        await page.goto(f"{running_hub.http_url}/?session={chosen}")
        await expect(page.locator("#link")).to_have_text("live")
        await page.screenshot(path=tmp_path / f"{name}-one.png", full_page=True)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "nothing sticks out"
        assert opened.trouble == []
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"


async def furnish(desk: Desk) -> str:
    """Some of everything; the session to look at."""
    access = desk.store.exchange
    anvil = await add_spoke(desk, "anvil", {"gpu": "a100", "region": "eu-west"}, 8)
    bellows = await add_spoke(desk, "bellows-with-a-long-name", {"os": "linux"}, 4)
    await add_spoke(desk, "crucible", {}, 2)
    await access.set_cordoned("sp_crucible", cordoned=True, draining=True)
    lead = await spawn(desk, anvil, "lead: migrate the billing service", branch="coord/billing")
    child = await spawn(desk, bellows, "write the schema", parent=lead.id, branch="coord/schema")
    await spawn(desk, anvil, "review the schema", parent=child.id, branch="coord/schema-review")
    failed = await spawn(desk, bellows, "port the tests", parent=lead.id, branch="coord/port-tests")
    done = await spawn(desk, anvil, "fix-login", branch="coord/fix-login")
    queued = dataclasses.replace(rows.new_session(), task="nightly benchmarks", branch="bench")
    await rows.spawn(desk.store, queued)
    await failed.say(
        record("exited", outcome="failed", exitCode=1, reason="exit code 1: 3 of 212 tests failed")
    )
    await done.say(record("exited", outcome="completed", exitCode=0))
    for n in range(60):
        await lead.say(
            record(
                "stdout",
                text=f"\x1b[32m✓\x1b[0m step {n}: moved table invoices_{n:03} to its own schema",
            ),
            record(
                "stdout",
                text=f"    {n * 17 % 97} rows differ, all of them in the column `currency`",
            ),
        )
    await lead.say(
        record(
            "stderr",
            text="warning: `numeric` is slower than `bigint` here: " + "a very long line " * 12,
        )
    )
    await desk.store.sessions.note(
        lead.id, "notify", {"level": "warning", "text": "the schema needs a second look"}
    )
    await desk.store.sessions.say(
        lead.id, "msg_1", "Keep the old view until Monday, please.", "queue", None
    )
    await child.say(asked(1, "git push --force-with-lease origin HEAD:refs/heads/coord/schema"))
    await lead.say(
        record("agent", event="silent", since=time.time_ns() // 1_000_000, doing="model")
    )
    await lead.say(
        record("delivered", messageId="msg_1"), record("stdout", text="Understood: the view stays.")
    )
    return lead.id
