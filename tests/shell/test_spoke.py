"""A spoke daemon with real git, real supervisors and real sockets, against a hub in memory."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from protocol.aio.node import Context
from protocol.errors import AlreadyExists, CallError, FailedPrecondition, Unauthenticated
from protocol.handshake import Welcome
from protocol.ops.wire import MessageOrder, StartOrder, StopOrder
from spoke import app, attempts, groups, identity, link, outfit
from spoke.attempt import Attempt
from spoke.core.story import Fact, Stop, StopOrdered, Superseded
from spoke.folder import Contents, Folder
from spoke.journal import Key
from spoke.line import Supervisor
from spoke.outfit import Outfit
from spoke.settings import SpokeSettings
from spoke.spool import Reader
from spoke.supervisor.doorway import SPARE
from spoke.supervisor.tree import look
from spoke.sweep import Swept, is_alive, kill_marked
from spoke.uplink import Uplink
from spoke.watch import Watch
from tests.support.fake_exchange import PATIENCE_S, FakeExchange
from tests.support.world import marked

ROOT = Path(__file__).parent.parent.parent
DAEMON = """
import asyncio, logging, sys
from pathlib import Path
from spoke.app import run
from spoke.settings import SpokeSettings
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("websockets").setLevel(logging.WARNING)
asyncio.run(run(SpokeSettings(state=Path(sys.argv[1]), slots=8)))
"""
COMMIT = (
    "git -c user.name=agent -c user.email=a@localhost commit -q --allow-empty -m work"
    " && git log -1 --format=%s"
)


def named(n: int) -> str:
    """Of this run alone: it is by this name that the whole machine is swept of a session."""
    return f"s{n}-{os.getpid()}"


S0, S1, S2, S3 = map(named, range(4))


def git(cwd: Path, *argv: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "person",
        "GIT_AUTHOR_EMAIL": "p@localhost",
        "GIT_COMMITTER_NAME": "person",
        "GIT_COMMITTER_EMAIL": "p@localhost",
    }
    done = subprocess.run(["git", *argv], cwd=cwd, env=env, capture_output=True, check=True)
    return done.stdout.decode().strip()


async def until(question: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not question():
            await asyncio.sleep(0.005)


class House:
    """One spoke's state directory, its hub, and a repository."""

    def __init__(self, root: Path, exchange: FakeExchange) -> None:
        self.root = root
        self.exchange = exchange
        self.repo = root / "source"
        self.settings = SpokeSettings(state=root / "spoke", slots=8, labels={"gpu": "no"})
        self.attempts = self.settings.state / "attempts"
        self._running: asyncio.Task[None] | None = None
        self._daemon: asyncio.subprocess.Process | None = None
        self._sessions: set[tuple[str, int]] = set()

    async def join(self) -> None:
        await app.join(self.settings, self.exchange.join, "laptop")

    async def run(self) -> None:
        """The daemon, in this process."""
        before = self.exchange.epoch
        self._running = asyncio.create_task(app.run(self.settings))
        await self.exchange.until(lambda: self.exchange.epoch > before or self._crashed())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def start_daemon(self) -> int:
        """The daemon, as a process of its own; its pid, once the hub has welcomed it."""
        before = self.exchange.epoch
        with (self.root / "daemon.log").open("ab") as log:
            self._daemon = await asyncio.create_subprocess_exec(
                sys.executable, "-c", DAEMON, str(self.settings.state), cwd=ROOT, stderr=log
            )
        await self.exchange.until_connected(before)
        return self._daemon.pid

    async def kill_daemon(self) -> None:
        if self._daemon is not None:
            with suppress(ProcessLookupError):
                self._daemon.kill()
            await self._daemon.wait()
            self._daemon = None

    def start_order(self, session: str, *argv: str, attempt: int = 1, **more: Any) -> StartOrder:
        self._sessions.add((session, attempt))
        return StartOrder.model_validate(
            {
                "task": "a task",
                "prompt": "do it",
                "repo": str(self.repo),
                "base": None,
                "branch": f"coord/{session}",
                "agent": "command",
                "command": argv[0],
                "args": list(argv[1:]),
                "env": {},
                "stdin": "open",
                "parent_session_id": None,
                "worktree": None,
                "resume": False,
                "credential": "cks_secret",
                **more,
            }
        )

    async def start(self, session: str, *argv: str, attempt: int = 1, **more: Any) -> None:
        order = self.start_order(session, *argv, attempt=attempt, **more)
        await self.exchange.say(session, order, attempt)

    async def bash(self, session: str, script: str, attempt: int = 1, **more: Any) -> None:
        await self.start(session, "bash", "-c", script, attempt=attempt, **more)

    def held(self) -> list[tuple[str, str]]:
        """The sessions of the last hello, each with its state."""
        spoke = self.exchange.hellos[-1].spoke
        assert spoke is not None
        return [(one.session_id, one.state) for one in spoke.inventory]

    def lines(self, session: str, attempt: int = 1) -> list[str]:
        return self.exchange.story(session, attempt).lines()

    async def said(self, session: str, line: str, attempt: int = 1) -> None:
        await self.exchange.until(lambda: line in self.lines(session, attempt))

    async def exited(self, session: str, attempt: int = 1) -> dict[str, Any]:
        return await self.exchange.until_kind("exited", session, attempt)

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.attempts.glob("*"))

    async def clean(self) -> None:
        await self.stop()
        await self.kill_daemon()
        for session, attempt in self._sessions:
            with suppress(OSError, ValueError):
                found = json.loads(
                    (self.attempts / f"{session}.{attempt}/supervisor.json").read_bytes()
                )
                if is_alive(found["pid"], found["startTime"]):
                    os.kill(found["pid"], signal.SIGKILL)
            await kill_marked(session, attempt)
        if (born_in := groups.find(self.settings.places.state)) is not None:
            groups.leave(born_in)
        run = self.settings.places.run
        if run.exists() and self.settings.state not in run.parents:
            shutil.rmtree(run)

    def _crashed(self) -> bool:
        return self._running is not None and self._running.done()


@pytest.fixture
async def exchange() -> AsyncIterator[FakeExchange]:
    exchange = FakeExchange()
    async with exchange.serving():
        yield exchange
        exchange.cut()


@pytest.fixture
async def joined(tmp_path: Path, exchange: FakeExchange) -> AsyncIterator[House]:
    house = House(tmp_path, exchange)
    house.repo.mkdir()
    git(house.repo, "init", "-q", "-b", "main", ".")
    (house.repo / "README.md").write_text("hello\n")
    git(house.repo, "add", "README.md")
    git(house.repo, "commit", "-qm", "first")
    await house.join()
    yield house
    await house.clean()


@pytest.fixture
async def house(joined: House) -> House:
    await joined.run()
    return joined


# --- a session


async def test_from_an_order_to_a_stored_end(house: House) -> None:
    await house.bash(
        S1, f"pwd; {COMMIT}; cat $COORD_PROMPT_FILE; echo; cat $COORD_TOKEN_FILE; echo; exit 3"
    )
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["exitCode"], ending["endedBy"]) == ("failed", 3, "itself")
    story = house.exchange.story(S1)
    starting = story.body("starting")
    assert starting is not None
    worktree = Path(starting["worktree"])
    assert story.kinds()[:2] == ["starting", "running"]
    assert story.lines() == [str(worktree), "work", "do it", "cks_secret"]
    assert starting["branch"] == f"coord/{S1}"
    assert starting["baseCommit"] == git(house.repo, "rev-parse", "main")
    assert set(starting["supervisor"]) == {"pid", "startTime"}
    assert git(worktree, "log", "-1", "--format=%s %D") == f"work HEAD -> coord/{S1}"
    await until(lambda: house.leftovers() == [])


async def test_what_the_agent_sees_of_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.bash(S1, "env", env={"MINE": "yes"}, parent_session_id=S0)
    await house.exited(S1)
    env = dict(line.partition("=")[::2] for line in house.lines(S1))
    assert env["COORD_SESSION_ID"] == S1
    assert env["COORD_PARENT_SESSION_ID"] == S0
    assert env["COORD_URL"] == house.exchange.url
    assert env["COORD_WORKTREE"] == env["PWD"]
    assert env["MINE"] == "yes"
    assert env["PATH"].split(":")[-1] == str(Path(sys.executable).parent)
    assert not [name for name in env if name.startswith("PYTEST")]


async def test_the_spoke_says_what_it_is(house: House) -> None:
    hello = house.exchange.hellos[0]
    assert hello.spoke is not None
    assert (hello.name, hello.spoke.slots, hello.spoke.labels) == ("laptop", 8, {"gpu": "no"})
    assert hello.spoke.detail["killMethod"] in {"subreaper", "cgroup.kill"}
    await house.exchange.until(lambda: len(house.exchange.beats) >= 3)
    assert house.exchange.beats[0]["epoch"] == 1


async def test_messages_arrive_in_order_those_before_the_start_first(house: House) -> None:
    start = house.exchange.order(S1, house.start_order(S1, "cat"))
    early = [MessageOrder(message_id=f"m{n}", text=f"early {n}") for n in range(3)]
    await house.exchange.tell(start, *(house.exchange.order(S1, one) for one in early))
    for n in range(3, 6):
        await house.exchange.say(S1, MessageOrder(message_id=f"m{n}", text=f"late {n}"))
    await house.said(S1, "late 5")
    assert house.lines(S1) == [
        *(f"early {n}" for n in range(3)),
        *(f"late {n}" for n in (3, 4, 5)),
    ]
    story = house.exchange.story(S1)
    await house.exchange.until(lambda: story.kinds().count("delivered") == 6)
    await house.exchange.say(S1, StopOrder(outcome="aborted", reason="enough"))
    assert (await house.exited(S1))["outcome"] == "aborted"


async def test_a_stop_ends_all_of_it(house: House) -> None:
    await house.bash(S1, "setsid nohup sleep 1000 & echo $!; exec sleep 1000")
    await house.exchange.until(lambda: house.lines(S1))
    sleeper = int(house.lines(S1)[0])
    await house.exchange.say(S1, StopOrder(outcome="blocked", reason="asked", abort_id="ab_1"))
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["reason"], ending["survivors"]) == ("blocked", "asked", 0)
    assert ending["endedBy"] == "SIGINT"
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper, 0)


async def test_a_grace_is_kept_and_then_it_is_killed(house: House) -> None:
    await house.bash(S1, "trap '' INT TERM; echo up; while :; do sleep 0.01; done")
    await house.said(S1, "up")
    await house.exchange.say(S1, StopOrder(outcome="aborted", reason="x", grace_ms=150))
    assert (await house.exited(S1))["endedBy"] == "SIGKILL"


async def test_stopped_in_the_same_breath(house: House) -> None:
    start = house.exchange.order(S1, house.start_order(S1, "sleep", "1000"))
    said = house.exchange.order(S1, MessageOrder(message_id="m1", text="never heard"))
    stop = house.exchange.order(S1, StopOrder(outcome="aborted", reason="enough"))
    await house.exchange.tell(start, said, stop)
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["endedBy"]) == ("aborted", "never_started")
    assert ending["survivors"] == 0
    assert house.exchange.story(S1).kinds() == ["undelivered", "exited"]
    assert not list(house.settings.state.glob(f"worktrees/*/{S1}"))
    await until(lambda: house.leftovers() == [])


async def test_the_end_of_what_was_made_too_late_is_told_when_nothing_is_left_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before, the next attempt finds its place there, and loses it while its agent works."""
    made, write_exit = Attempt._made, Folder.write_exit
    left: list[list[Path]] = []

    def stopped_first(self: Attempt, making: asyncio.Task[Outfit]) -> None:
        self.tell(StopOrdered(Stop("aborted", "enough")))
        made(self, making)

    def looking(self: Folder, *end: Any) -> None:
        left.append(list(house.settings.state.glob(f"worktrees/*/{S1}")))
        write_exit(self, *end)

    monkeypatch.setattr(Attempt, "_made", stopped_first)
    monkeypatch.setattr(Folder, "write_exit", looking)
    await house.start(S1, "sleep", "1000")
    assert (await house.exited(S1))["endedBy"] == "never_started"
    assert left == [[]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"base": "nowhere"}, "BAD_REF"),
        ({"branch": "--upload-pack=boom"}, "BAD_REF"),
        ({"repo": "file:///etc"}, "BAD_REPO_URL"),
        ({"agent": "clippy"}, "AGENT_UNKNOWN"),
        ({"env": {"LD_PRELOAD": "/x.so"}}, "BAD_ENV"),
        ({"command": None}, "NO_COMMAND"),
        ({"command": "no-such-program"}, "AGENT_NOT_FOUND"),
    ],
)
async def test_what_cannot_begin_says_why(
    house: House, change: dict[str, Any], reason: str
) -> None:
    await house.start(S1, "true", **change)
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["reason"]) == ("failed", reason)
    await until(lambda: house.leftovers() == [])
    assert ending["endedBy"] == "never_started"
    assert not list(house.settings.state.glob(f"worktrees/*/{S1}"))


async def test_bytes_that_are_no_text_arrive_exactly(house: House) -> None:
    await house.bash(S1, r"printf 'a\0b\n\377\n'; head -c 70000 /dev/zero | tr '\0' x")
    await house.exited(S1)
    nul, bad, part, rest = house.exchange.story(S1).lines()
    assert nul == {"text": "a\u2400b", "raw": base64.b64encode(b"a\0b").decode()}  # type: ignore[comparison-overlap]
    assert bad == {"text": "\ufffd", "raw": "/w=="}  # type: ignore[comparison-overlap]
    assert part == {"text": "x" * 65536, "part": True}  # type: ignore[comparison-overlap]
    assert rest == {"text": "x" * 4464, "part": True}  # type: ignore[comparison-overlap]


async def test_many_at_once(house: House) -> None:
    orders = [
        house.exchange.order(named(n), house.start_order(named(n), "bash", "-c", f"echo {n}"))
        for n in range(12)
    ]
    assert (await house.exchange.tell(*orders))["accepted"] == 12
    for n in range(12):
        await house.exited(named(n))
        assert house.lines(named(n)) == [str(n)]


# --- orders


async def test_an_order_seen_before_is_accepted_and_not_acted_on(house: House) -> None:
    order = house.exchange.order(S1, house.start_order(S1, "cat"))
    hello = house.exchange.order(S1, MessageOrder(message_id="m1", text="hello"))
    assert (await house.exchange.tell(order, hello))["accepted"] == 2
    await house.said(S1, "hello")
    assert (await house.exchange.tell(order, hello))["accepted"] == 2
    last = house.exchange.order(S1, MessageOrder(message_id="m2", text="last"))
    assert (await house.exchange.tell(order, hello, last))["accepted"] == 3
    await house.said(S1, "last")
    assert house.lines(S1) == ["hello", "last"]
    assert house.exchange.story(S1).kinds().count("running") == 1


async def test_orders_that_make_no_sense_are_refused(house: House) -> None:
    answer = await house.exchange.say(f"../{S1}", house.start_order(S1, "true"))
    assert answer == {"accepted": 1, "refused": [{"seq": 1, "reason": "BAD_ID"}]}
    order = house.exchange.order(S1, None).model_copy(update={"kind": "start"})
    answer = await house.exchange.tell(order)
    assert answer == {"accepted": 2, "refused": [{"seq": 2, "reason": "BAD_ORDER"}]}
    assert house.leftovers() == []


async def test_orders_of_another_epoch_are_refused(house: House) -> None:
    order = house.exchange.order(S1, house.start_order(S1, "true"))
    with pytest.raises(FailedPrecondition, match="STALE_EPOCH"):
        await house.exchange.ask(
            "spoke.orders",
            {"epoch": 99, "orders": [order.model_dump(mode="json", by_alias=True)]},
        )


# --- worktrees


async def test_a_worktree_is_looked_at_and_removed_when_nobody_works_there(house: House) -> None:
    await house.bash(S1, f"{COMMIT}; echo new > file; read -r; exit 0")
    await house.said(S1, "work")
    starting = await house.exchange.until_kind("starting", S1)
    where = {"sessionId": S1, "worktree": starting["worktree"], "branch": f"coord/{S1}"}
    remove = {**where, "force": False, "deleteBranch": True}
    with pytest.raises(FailedPrecondition, match="SESSION_LIVE"):
        await house.exchange.ask("worktree.remove", remove)
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="go"))
    await house.exited(S1)
    await until(lambda: house.leftovers() == [])
    seen: Any = await house.exchange.ask("worktree.inspect", where)
    assert (seen["exists"], seen["dirty"], seen["dirtyPaths"], seen["ahead"]) == (
        True,
        True,
        ["file"],
        1,
    )
    gone: Any = await house.exchange.ask("worktree.remove", remove)
    assert (gone["removed"], gone["savedRef"], gone["reason"]) == (True, f"refs/coord/wip/{S1}", "")
    [entry] = (await house.exchange.ask("worktree.trash", {}))["items"]
    assert entry["id"] == gone["trash"]
    assert not Path(starting["worktree"]).exists()
    assert (await house.exchange.ask("worktree.inspect", where)) == {
        "exists": False, "head": None, "dirty": False, "dirtyPaths": [], "ahead": 0,
        "merged": False, "pushed": False, "savedRef": None, "saved": False, "leftOut": [],
        "sourceAway": "",
    }  # fmt: skip
    with pytest.raises(CallError, match="BAD_PATH"):
        await house.exchange.ask("worktree.inspect", {**where, "worktree": f"/etc/{S1}"})
    back: Any = await house.exchange.ask("worktree.restore", {"id": gone["trash"]})
    assert back["worktree"] == starting["worktree"]
    worktree = Path(back["worktree"])
    assert (worktree / "file").read_text() == "new\n"
    assert git(worktree, "log", "-1", "--format=%s %D") == f"work HEAD -> coord/{S1}"
    assert (await house.exchange.ask("worktree.trash", {}))["items"] == []


async def test_a_worktree_goes_although_the_supervisor_of_its_session_is_just_leaving(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hub has had the end: who is told that, and cleans up at once, is not refused."""
    monkeypatch.setattr(outfit, "STORED_MS", 1_000)
    monkeypatch.setattr(Watch, "stored", lambda _: None)  # it stays for as long as it may
    await house.bash(S1, "read -r")
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="go"))
    await house.exited(S1)
    assert Folder(house.settings.places, Key(S1, 1)).is_supervised()
    starting = await house.exchange.until_kind("starting", S1)
    where = {"sessionId": S1, "worktree": starting["worktree"], "branch": f"coord/{S1}"}
    asked: Any = {**where, "force": False, "deleteBranch": True}
    gone: Any = await house.exchange.ask("worktree.remove", asked)
    assert gone["removed"]


async def test_a_second_attempt_resumes_its_branch(house: House) -> None:
    await house.bash(S1, COMMIT)
    await house.exited(S1)
    starting = await house.exchange.until_kind("starting", S1)
    await house.bash(S1, "git log -1 --format=%s", 2, resume=True, worktree=starting["worktree"])
    await house.exited(S1, 2)
    assert house.lines(S1, 2) == ["work"]
    again = await house.exchange.until_kind("starting", S1, 2)
    assert again["worktree"] == starting["worktree"]


# --- links


async def test_a_link_cut_twenty_times_loses_and_doubles_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FULL_JITTER", lambda _: 0.02)
    await house.bash(
        S1, "for n in $(seq 4000); do echo $n; [ $((n % 100)) = 0 ] && sleep 0.02; done; read -r"
    )
    for cut in range(20):
        stored = len(house.exchange.story(S1).records)
        await house.exchange.until(
            lambda stored=stored: (
                len(house.exchange.story(S1).records) > stored or "4000" in house.lines(S1)
            )
        )
        epoch = house.exchange.epoch
        house.exchange.cut()
        await house.exchange.until_connected(epoch)
        assert house.exchange.epoch == cut + 2
    await house.said(S1, "4000")
    assert house.lines(S1) == [str(n) for n in range(1, 4001)]
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="go"))
    await house.exited(S1)
    assert house.exchange.story(S1).kinds()[-1] == "exited"


async def test_an_end_is_told_at_the_hello_although_its_supervisor_is_still_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a hub that gave the session up would not believe it."""
    monkeypatch.setattr(link, "FULL_JITTER", lambda _: 0.02)
    monkeypatch.setattr(outfit, "STORED_MS", int(10 * PATIENCE_S * 1_000))
    await house.bash(S1, "until [ -e stop ]; do sleep 0.01; done")
    await house.exchange.until_kind("running", S1)
    worktree = Path((await house.exchange.until_kind("starting", S1))["worktree"])
    folder, heard = Folder(house.settings.places, Key(S1, 1)), asyncio.Event()
    assert folder.was_launched()

    def on_spool(last: int, *, ended: bool) -> None:
        if ended:
            heard.set()

    line = await Supervisor.connect(folder.socket, on_spool, folder.word())
    epoch, refusals = house.exchange.epoch, house.exchange.refusals
    house.exchange.refused_status = HTTPStatus.SERVICE_UNAVAILABLE
    house.exchange.cut()
    await house.exchange.until(lambda: house.exchange.refusals > refusals)  # no hello is on its way
    (worktree / "stop").touch()
    await asyncio.wait_for(heard.wait(), PATIENCE_S)
    assert folder.is_supervised()
    house.exchange.refused_status = None
    await house.exchange.until_connected(epoch)
    assert house.held() == [(S1, "exited")]
    assert (await house.exited(S1))["outcome"] == "completed"
    await until(lambda: house.leftovers() == [])
    await line.close()


async def test_a_stale_epoch_means_dial_again_and_touch_nothing(house: House) -> None:
    await house.start(S1, "cat")
    agent = Path(f"/proc/{(await house.exchange.until_kind('running', S1))['pid']}")
    house.exchange.stale_once = True
    first = house.exchange.epoch
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="hello"))
    await until(lambda: house.exchange.epoch > first or not agent.exists())
    assert agent.exists()
    await house.said(S1, "hello")
    assert house.exchange.story(S1).kinds().count("running") == 1


async def test_a_superseded_attempt_is_saved_and_vanishes(house: House) -> None:
    await house.bash(S1, "echo precious > file; echo $$; exec sleep 1000")
    await house.exchange.until(lambda: house.lines(S1))
    story = house.exchange.story(S1)
    worktree = Path((await house.exchange.until_kind("starting", S1))["worktree"])
    before = list(story.records)
    house.exchange.verdicts[S1, 1] = "superseded"
    house.exchange.cut()
    await until(lambda: house.leftovers() == [])
    assert story.records == before
    assert git(worktree, "show", f"refs/coord/salvage/{S1}/1:file") == "precious"
    with pytest.raises(ProcessLookupError):
        os.kill(int(story.lines()[0]), 0)


async def test_a_newer_attempt_waits_until_the_older_one_is_gone(house: House) -> None:
    await house.bash(S1, "echo precious > file; echo $$; exec sleep 1000")
    await house.exchange.until(lambda: house.lines(S1))
    await house.bash(S1, "kill -0 $OLD || echo alone; cat file", 2, resume=True,
                     env={"OLD": house.lines(S1)[0]})  # fmt: skip
    await house.exited(S1, 2)
    assert house.lines(S1, 2) == ["alone", "precious"]
    assert "exited" not in house.exchange.story(S1).kinds()
    await until(lambda: house.leftovers() == [])


async def test_superseded_by_an_append(house: House) -> None:
    await house.start(S1, "cat")
    await house.exchange.until_kind("running", S1)
    house.exchange.story(S1).superseded = True
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="hello"))
    await until(lambda: house.leftovers() == [])
    assert "exited" not in house.exchange.story(S1).kinds()


async def test_quarantined_is_left_alone_and_heard_again_when_the_hub_knows_it(
    house: House,
) -> None:
    await house.start(S1, "cat")
    await house.exchange.until_kind("running", S1)
    house.exchange.verdicts[S1, 1] = "quarantine"
    house.exchange.cut()
    await house.exchange.until_connected(1)
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="hello"))
    beats = len(house.exchange.beats)
    await house.exchange.until(lambda: len(house.exchange.beats) > beats + 3)
    assert house.lines(S1) == []
    del house.exchange.verdicts[S1, 1]
    house.exchange.cut()
    await house.said(S1, "hello")


async def test_a_hub_that_goes_away_is_dialled_when_it_said(house: House) -> None:
    house.exchange.part(20)
    await house.exchange.until_connected(1)


async def test_a_refused_spoke_waits_long(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "REFUSED_S", 0.05)
    house.exchange.refused_status = HTTPStatus.UNAUTHORIZED
    house.exchange.cut()
    await until(lambda: "the hub refuses this spoke" in caplog.text)
    house.exchange.refused_status = None
    await house.exchange.until_connected(1)


# --- deaths


async def test_a_killed_supervisor_takes_its_agent_along(house: House) -> None:
    await house.bash(S1, "setsid nohup sleep 1000 & echo $! $$; wait")
    await house.exchange.until(lambda: house.lines(S1))
    pids = [int(pid) for pid in house.lines(S1)[0].split()]
    starting = await house.exchange.until_kind("starting", S1)
    os.kill(starting["supervisor"]["pid"], signal.SIGKILL)
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["reason"]) == ("failed", "SUPERVISOR_DIED")
    assert ending["survivors"] == 0
    for pid in pids:
        await until(lambda pid=pid: not Path(f"/proc/{pid}/environ").exists() or _is_zombie(pid))
    await until(lambda: house.leftovers() == [])


async def test_a_message_that_is_told_twice_is_said_once(house: House) -> None:
    """The answer of the first time was lost. What was delivered is not called undelivered."""
    await house.start("s1", "cat")
    starting = await house.exchange.until_kind("starting", "s1")
    said = MessageOrder(message_id="m1", text="it")
    await house.exchange.say("s1", said)
    await house.said("s1", "it")
    await house.exchange.until_kind("delivered", "s1")
    await house.exchange.say("s1", said)
    os.kill(starting["supervisor"]["pid"], signal.SIGKILL)
    await house.exited("s1")
    kinds = house.exchange.story("s1").kinds()
    assert (kinds.count("delivered"), kinds.count("undelivered")) == (1, 0)
    assert house.lines("s1") == ["it"]


async def test_a_daemon_killed_and_started_again_adopts_its_agents(joined: House) -> None:
    house = joined
    await house.start_daemon()
    count = "for n in $(seq 3000); do echo $n; [ $((n % 50)) = 0 ] && sleep 0.02; done"
    script = f"{count}; read -r line; echo got $line"
    for n in range(4):
        await house.bash(named(n), script)
    for n in range(4):
        await house.said(named(n), "100")
    running = [await house.exchange.until_kind("running", named(n)) for n in range(4)]
    await house.kill_daemon()
    assert all(is_alive(one["pid"], one["startTime"]) for one in running)
    await house.start_daemon()
    hello = house.exchange.hellos[-1].spoke
    assert hello is not None
    assert {item.session_id: item.state for item in hello.inventory} == dict.fromkeys(
        (S0, S1, S2, S3), "running"
    )
    for n in range(4):
        await house.exchange.say(named(n), MessageOrder(message_id=f"m{n}", text="it"))
        await house.exited(named(n))
        story = house.exchange.story(named(n))
        assert story.lines() == [*(str(line) for line in range(1, 3001)), "got it"]
        assert story.kinds().count("running") == 1
        assert running[n] == story.body("running")
    await until(lambda: house.leftovers() == [])


async def test_what_ended_while_no_daemon_was_there_is_told_later(joined: House) -> None:
    house = joined
    await house.start_daemon()
    await house.bash(S1, "echo one; read -r; echo two")
    await house.said(S1, "one")
    order = house.exchange.order(S1, StopOrder(outcome="aborted", reason="late"))
    running = await house.exchange.until_kind("running", S1)
    await house.kill_daemon()
    os.kill(running["pid"], signal.SIGKILL)
    folder = Folder(house.settings.places, Key(S1, 1))
    await until(lambda: folder.is_ended() and not folder.is_supervised())
    await house.start_daemon()
    await house.exchange.tell(order)
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["signal"]) == ("failed", "SIGKILL")
    await until(lambda: house.leftovers() == [])


async def test_daemon_and_supervisor_killed_together(joined: House) -> None:
    house = joined
    await house.start_daemon()
    await house.bash(S1, "setsid nohup sleep 1000 & echo one; wait")
    await house.said(S1, "one")
    starting = await house.exchange.until_kind("starting", S1)
    await house.kill_daemon()
    os.kill(starting["supervisor"]["pid"], signal.SIGKILL)
    await house.start_daemon()
    assert (await house.exited(S1))["reason"] == "SUPERVISOR_DIED"


async def test_a_supervisor_that_comes_when_its_attempt_was_given_up_begins_nothing(
    joined: House,
) -> None:
    """It was given its work by a daemon that was killed, and needed longer than the next waits."""
    house, exchange = joined, joined.exchange
    (nursery,) = _children(await house.start_daemon())
    await until(lambda: _children(nursery))
    (spare,) = _children(nursery)
    await until((house.settings.places.run / f"{SPARE}{spare}").exists)  # it only waits for work
    os.kill(spare, signal.SIGSTOP)
    await house.bash(S1, "exec sleep 1000")
    folder = Folder(house.settings.places, Key(S1, 1))
    await until(folder.was_launched)
    await house.kill_daemon()
    exchange.refused_status = HTTPStatus.SERVICE_UNAVAILABLE  # it keeps what it has to tell
    starting = asyncio.ensure_future(house.start_daemon())
    await until(lambda: folder.spool.exists() and folder.read().ended)
    os.kill(spare, signal.SIGCONT)
    await until(lambda: look(spare) is None)
    assert (folder.read().started, folder.read().running, marked(S1)) == (False, False, {})
    exchange.refused_status = None
    await starting
    assert (await house.exited(S1))["reason"] == "SUPERVISOR_DIED"


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("kept", [None, 0, 1, 5])
async def test_an_end_is_told_where_the_machine_lost_what_the_hub_has(
    joined: House, kept: int | None
) -> None:
    """A record is told before it is on the disk; a machine that dies loses the last of them, and
    its end is then numbered as one of those.
    """
    house = joined
    await house.start_daemon()
    await house.bash(S1, "seq 20; exec sleep 1000")
    await house.said(S1, "20")
    starting = await house.exchange.until_kind("starting", S1)
    await house.kill_daemon()
    os.kill(starting["supervisor"]["pid"], signal.SIGKILL)
    await kill_marked(S1, 1)
    folder = Folder(house.settings.places, Key(S1, 1))
    await until(lambda: not folder.is_supervised())
    if kept is None:
        folder.spool.unlink()
    else:
        reader = Reader(folder.spool)
        offset = len(reader.read(kept)) and reader.offset
        reader.close()
        os.truncate(folder.spool, offset)
    known = json.loads((folder.path / "supervisor.json").read_bytes())
    (folder.path / "supervisor.json").write_text(json.dumps({**known, "bootId": "before"}))
    await house.start_daemon()
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["reason"]) == ("lost", "REBOOTED")
    await until(lambda: house.leftovers() == [])


async def test_a_stop_ordered_just_before_the_daemon_died_is_carried_out(joined: House) -> None:
    house = joined
    await house.start_daemon()
    await house.bash(S1, "trap '' INT TERM; echo up; while :; do sleep 0.01; done")
    await house.said(S1, "up")
    await house.exchange.say(S1, StopOrder(outcome="aborted", reason="enough"))
    await house.kill_daemon()
    await house.start_daemon()
    await house.exchange.say(S1, StopOrder(outcome="aborted", reason="now", now=True))
    ending = await house.exited(S1)
    assert (ending["outcome"], ending["reason"], ending["endedBy"]) == (
        "aborted",
        "enough",
        "SIGKILL",
    )


async def test_a_clean_stop_leaves_agents_running(house: House) -> None:
    await house.start(S1, "cat")
    running = await house.exchange.until_kind("running", S1)
    await house.stop()
    assert is_alive(running["pid"], running["startTime"])
    await house.run()
    await house.exchange.say(S1, MessageOrder(message_id="m1", text="hello"))
    await house.said(S1, "hello")


# --- one daemon, one identity


async def test_an_agent_that_is_found_late_is_told_with_another_hello(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that calls its session unknown learns from a hello alone that it runs."""
    await house.start(S1, "cat")
    await house.exchange.until_kind("running", S1)
    await house.stop()
    may_read = _read_slowly(monkeypatch)
    await house.run()
    assert house.held() == [(S1, "starting")]
    epoch = house.exchange.epoch
    may_read.set()
    await house.exchange.until_connected(epoch)
    assert house.held() == [(S1, "running")]


async def test_an_end_that_is_found_late_is_not_thrown_away_before(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that gave the session up believes an end, and supersedes what has none so far."""
    await house.bash(S1, "seq 2000; exec cat")  # more than is read before the first hello
    await house.said(S1, "2000")
    running = await house.exchange.until_kind("running", S1)
    await house.stop()
    os.kill(running["pid"], signal.SIGKILL)
    folder = Folder(house.settings.places, Key(S1, 1))
    await until(lambda: not folder.is_supervised() and folder.is_ended())
    may_read = _read_slowly(monkeypatch)
    house.exchange.verdicts[S1, 1] = "superseded"
    await house.run()
    assert house.held() == [(S1, "starting")]
    epoch = house.exchange.epoch
    del house.exchange.verdicts[S1, 1]
    may_read.set()
    await house.exchange.until_connected(epoch)
    assert house.held() == [(S1, "exited")]
    assert (await house.exited(S1))["signal"] == "SIGKILL"
    await until(lambda: house.leftovers() == [])


async def test_an_end_that_is_found_while_the_hub_answers_is_not_thrown_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub answers is about what the hello said, and no more was known then."""
    await house.bash(S1, "seq 2000; exec cat")  # more than is read before the first hello
    await house.said(S1, "2000")
    running = await house.exchange.until_kind("running", S1)
    await house.stop()
    os.kill(running["pid"], signal.SIGKILL)
    folder = Folder(house.settings.places, Key(S1, 1))
    await until(lambda: not folder.is_supervised() and folder.is_ended())
    may_read, found = _read_slowly(monkeypatch), asyncio.Event()
    say_hello, welcome, tell = Uplink.say_hello, house.exchange._initialize, Attempt.tell
    told: list[Fact] = []

    def telling(self: Attempt, fact: Fact) -> None:
        told.append(fact)
        tell(self, fact)

    async def again(self: Uplink) -> None:
        found.set()
        await say_hello(self)

    async def answering(context: Context) -> Welcome:
        said = await welcome(context)
        await found.wait()
        return said

    monkeypatch.setattr(Attempt, "tell", telling)
    monkeypatch.setattr(Uplink, "say_hello", again)
    monkeypatch.setattr(house.exchange, "_initialize", answering)
    house.exchange.verdicts[S1, 1] = "superseded"
    await house.run()
    assert house.held() == [(S1, "starting")]
    del house.exchange.verdicts[S1, 1]
    may_read.set()
    assert (await house.exited(S1))["signal"] == "SIGKILL"
    await until(lambda: house.leftovers() == [])
    assert Superseded() not in told


async def test_an_end_that_is_still_to_be_written_is_not_thrown_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor is gone, and what that left is being killed while the hub is greeted."""
    await house.start(S1, "cat")
    starting = await house.exchange.until_kind("starting", S1)
    await house.exchange.until_kind("running", S1)
    await house.stop()
    os.kill(starting["supervisor"]["pid"], signal.SIGKILL)
    may_sweep = asyncio.Event()

    async def slow(session: str, attempt: int, group: Path | None) -> Swept:
        await may_sweep.wait()
        return await kill_marked(session, attempt, group)

    monkeypatch.setattr("spoke.attempt.kill_marked", slow)
    monkeypatch.setattr(link, "FULL_JITTER", lambda _: 0.02)
    monkeypatch.setattr(attempts, "_FIND_S", 0.01)
    house.exchange.verdicts[S1, 1] = "superseded"
    await house.run()
    assert house.held() == [(S1, "starting")]
    del house.exchange.verdicts[S1, 1]
    may_sweep.set()
    assert (await house.exited(S1))["reason"] == "SUPERVISOR_DIED"
    await until(lambda: house.leftovers() == [])


def _read_slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set, spools can be read; the first hello does not wait for it."""
    read, may_read = Folder.read, threading.Event()

    def slow(self: Folder) -> Contents:
        may_read.wait(PATIENCE_S)
        return read(self)

    monkeypatch.setattr(link, "FULL_JITTER", lambda _: 0.02)
    monkeypatch.setattr(Folder, "read", slow)
    monkeypatch.setattr(attempts, "_FIND_S", 0.01)
    return may_read


async def test_a_second_daemon_refuses_and_names_the_first(house: House) -> None:
    with pytest.raises(FailedPrecondition, match=f"pid {os.getpid()}"):
        await app.run(house.settings)


async def test_joining_twice_is_refused(house: House) -> None:
    await house.stop()
    house.exchange.join_token = "ckj_" + "0" * 49
    with pytest.raises(AlreadyExists, match="laptop"):
        await app.join(house.settings, _some_join(house.exchange.url))
    for name in ("identity.json", "key", "journal", "lock"):
        assert (house.settings.state / name).stat().st_mode & 0o777 == 0o600
    assert house.settings.state.stat().st_mode & 0o777 == 0o700


async def test_another_hub_at_the_same_place_gets_no_signature(joined: House) -> None:
    mine = identity.load(joined.settings.places)
    other = identity.Identity(mine.spoke_id, "hub_other", mine.name, mine.url)
    with pytest.raises(Unauthenticated, match="WRONG_HUB"):
        await identity.authorization(other, identity.own_key(joined.settings.places))


async def test_an_empty_directory_is_not_enrolled(tmp_path: Path) -> None:
    settings = SpokeSettings(state=tmp_path / "s")
    assert not app.is_enrolled(settings)
    with pytest.raises(FailedPrecondition, match="NOT_ENROLLED"):
        await app.run(settings)


def _some_join(url: str) -> str:
    from protocol import tokens

    return str(tokens.Join(url, tokens.new(tokens.Kind.JOIN)))


def _is_zombie(pid: int) -> bool:
    return not is_alive(pid, 0)
