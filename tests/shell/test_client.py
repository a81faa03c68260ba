"""The client over a real socket: spellings, streams, aborts, lost links, its blocking twin."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

import coord
from coord import blocking, client
from protocol.aio.node import Context
from protocol.errors import (
    BY_CODE,
    CallError,
    InvalidArgument,
    LinkLost,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from protocol.frames import Goaway
from protocol.ops.spawning import Work as WorkParams
from tests.support.fake_hub import FakeHub, event, fake_hub, session, spawned

ID = "ses_aaaaaaaaaaaaaaaa"
PATIENCE = 20


@pytest.fixture
async def fake() -> AsyncGenerator[FakeHub]:
    async with fake_hub() as hub:
        yield hub


async def test_a_call_by_name_and_its_typed_spelling_are_the_same(fake: FakeHub) -> None:
    fake.on("coord.spawn", spawned("fix"))
    async with coord.connect(fake.url, fake.token) as hub:
        raw = await hub.call("coord.spawn", {"task": "fix", "repo": "/r"})
        typed = await hub.spawn("fix", repo="/r", idempotency_key="k", labels={"a": "b"})
    assert isinstance(raw, dict)
    assert raw["sessionId"] == typed.session_id == ID
    assert fake.params("coord.spawn") == {
        "task": "fix", "repo": "/r", "prompt": "", "idempotencyKey": "k", "labels": {"a": "b"},
    }  # fmt: skip
    assert hub.welcome.hub_id == "hub_fake"


async def test_an_error_comes_back_as_its_class(fake: FakeHub) -> None:
    fake.on("coord.status", NotFound("NO_SUCH_SESSION", "gone", advice="coordctl ps"))
    async with coord.connect(fake.url, fake.token) as hub:
        with pytest.raises(coord.NotFound) as caught:
            await hub.status("x")
    assert (caught.value.reason, caught.value.advice) == ("NO_SUCH_SESSION", "coordctl ps")


async def test_parameters_that_cannot_be_are_refused_before_they_are_sent(fake: FakeHub) -> None:
    async with coord.connect(fake.url, fake.token) as hub:
        with pytest.raises(InvalidArgument, match="task"):
            await hub.spawn("", repo="/r")
    assert [op for op, _ in fake.asked] == ["initialize"]


async def test_cancelling_the_wait_aborts_the_call(fake: FakeHub) -> None:
    fake.never("coord.wait")
    async with coord.connect(fake.url, fake.token) as hub:
        waiting = asyncio.create_task(hub.wait(ID))
        assert await fake.begun.get() == "coord.wait"
        waiting.cancel()
        assert await fake.aborted.get() == "coord.wait"
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_deadline_is_the_hubs_to_keep(fake: FakeHub) -> None:
    fake.never("coord.wait")
    async with coord.connect(fake.url, fake.token) as hub:
        with pytest.raises(coord.DeadlineExceeded):
            await hub.call("coord.wait", {"sessionIds": [ID]}, within=0.01)


async def test_events_are_single_though_they_travel_in_batches(fake: FakeHub) -> None:
    batches = [{"events": [event(1), event(2)]}, {"events": [event(3)]}]
    fake.streams("coord.events", *batches, end={"lastSeq": 3, "state": "completed"})
    async with coord.connect(fake.url, fake.token) as hub:
        assert [one.seq async for one in hub.events(ID, after=0)] == [1, 2, 3]


async def test_leaving_a_stream_aborts_it(fake: FakeHub) -> None:
    async def for_ever(context: Context) -> object:
        await context.emit({"events": [event(1)]})
        fake.begun.put_nowait("events")
        try:
            return await asyncio.Event().wait()
        except asyncio.CancelledError:
            fake.aborted.put_nowait("events")
            raise

    fake.answers["coord.events"] = for_ever
    async with coord.connect(fake.url, fake.token) as hub:
        events = hub.events(ID)
        assert (await anext(events)).seq == 1
        await events.aclose()
        assert await fake.aborted.get() == "events"


async def test_what_may_be_asked_again_is_asked_again_and_nothing_else(fake: FakeHub) -> None:
    """This hub resumes nothing: it is not known what became of what was open."""
    fake.never("coord.wait")
    fake.never("coord.spawn")
    async with coord.connect(fake.url, fake.token) as hub:
        waiting = asyncio.create_task(hub.wait(ID))
        spawning = asyncio.create_task(hub.spawn("fix", repo="/r"))
        keyed = asyncio.create_task(hub.call("coord.spawn", {"task": "t", "repo": "/r"}, key="k"))
        own = asyncio.create_task(hub.spawn("t", repo="/r", idempotency_key="k"))
        for _ in range(4):
            await fake.begun.get()
        fake.on("coord.wait", {"reached": True, "sessions": []})
        fake.on("coord.spawn", spawned("t"))
        fake.links[0].transport.abort()
        assert (await waiting).reached
        assert await keyed == spawned("t")
        assert (await own).task == "t", "a key among its parameters is as good"
        with pytest.raises(LinkLost, match="RESUME_EXPIRED"):
            await spawning
        assert (await hub.call("coord.spawn")) == spawned("t"), "and the hub is there again"


async def test_a_hub_that_does_not_come_back_is_given_up(fake: FakeHub) -> None:
    fake.never("coord.wait")
    async with coord.connect(fake.url, fake.token, patience=0) as hub:
        waiting = asyncio.create_task(hub.wait(ID))
        await fake.begun.get()
        fake.token = "another"
        fake.links[0].transport.abort()
        with pytest.raises(Unauthenticated):
            await waiting
        with pytest.raises(Unauthenticated):
            await hub.explain(ID)


async def test_a_stream_reads_on_where_it_was_over_another_connection(fake: FakeHub) -> None:
    async def tell(context: Context) -> object:
        after = context.call.params.get("after", 0)
        assert isinstance(after, int)
        await context.emit({"events": [event(after + 1), event(after + 2)]})
        if after < 4:
            await asyncio.Event().wait()
        return {"lastSeq": after + 2, "state": "completed"}

    fake.answers["coord.events"] = tell
    seen: list[int] = []
    async with coord.connect(fake.url, fake.token) as hub:
        async for one in hub.events(ID, tail=5):
            seen.append(one.seq)
            if one.seq in (2, 4):
                fake.links[-1].transport.abort()
    assert seen == [1, 2, 3, 4, 5, 6]
    assert fake.params("coord.events")["after"] == 4
    assert "tail" not in fake.params("coord.events"), "said once"


async def test_a_goodbye_fails_no_call(fake: FakeHub) -> None:
    """What is open is finished where it is, what is new goes to another connection."""
    release = asyncio.Event()

    async def slow(context: Context) -> object:
        fake.begun.put_nowait("slow")
        await release.wait()
        return spawned("slow")

    fake.answers["coord.spawn"] = slow
    fake.sessions(session(ID))
    async with coord.connect(fake.url, fake.token) as hub:
        old = asyncio.create_task(hub.spawn("fix", repo="/r"))
        await fake.begun.get()
        fake.say(Goaway("upgrade", 1))
        async with asyncio.timeout(PATIENCE):
            while len(fake.links) < 2:
                await asyncio.sleep(0.001)
        assert (await hub.status()).sessions, "asked on the new connection"
        release.set()
        assert (await old).task == "slow"
        await asyncio.wait_for(fake.links[0].wait_closed(), PATIENCE)
        assert fake.links[0].close_code == 1000, "closed with its last call"
        assert (await hub.status()).sessions


async def test_leaving_fails_what_is_in_flight(fake: FakeHub) -> None:
    fake.never("coord.wait")
    async with coord.connect(fake.url, fake.token) as hub:
        waiting = asyncio.create_task(hub.wait(ID))
        await fake.begun.get()
    with pytest.raises(LinkLost):
        await waiting


async def test_a_wrong_token_and_a_hub_that_is_not_there(fake: FakeHub) -> None:
    with pytest.raises(Unauthenticated, match="who are you"):
        async with coord.connect(fake.url, "cku_wrong"):
            pass
    with pytest.raises(Unavailable) as caught:
        async with coord.connect("ws://127.0.0.1:1", "cku_wrong"):
            pass
    assert caught.value.reason == "HUB_UNREACHABLE"


def test_the_words_of_work_are_those_of_the_wire() -> None:
    assert set(client.Work.__annotations__) == set(WorkParams.model_fields) - {"repo"}


# Blocking.


async def in_thread(work: Callable[[], None]) -> None:
    await asyncio.wait_for(asyncio.to_thread(work), PATIENCE)


async def test_blocking_calls_and_streams(fake: FakeHub) -> None:
    fake.sessions(session(ID))
    batches = [{"events": [event(1), event(2)]}, {"events": [event(3)]}]
    fake.streams("coord.events", *batches, end={"lastSeq": 3, "state": "completed"})

    def work() -> None:
        with blocking.connect(fake.url, fake.token) as hub:
            assert hub.status(ref="fix").sessions[0].session_id == ID
            assert hub.call("coord.status", {"ref": "fix"}) == {"sessions": [session(ID)]}
            assert [one.seq for one in hub.events(ID)] == [1, 2, 3]
            for one in hub.events(ID):
                assert one.seq == 1
                break
            with pytest.raises(coord.Unimplemented):
                hub.explain(ID)

    threads = threading.active_count()
    await in_thread(work)
    assert not [one for one in threading.enumerate() if one.name == "coord"]
    assert threading.active_count() <= threads + 1  # the pool of to_thread


async def test_blocking_has_every_method_of_the_client() -> None:
    ours = {name for name, _ in inspect.getmembers(client.Hub, inspect.isfunction)}
    public = {name for name in ours if not name.startswith("_")} - {"ask"}
    assert public <= set(vars(blocking.Hub))


async def test_blocking_raises_what_connecting_raises(fake: FakeHub) -> None:
    def work() -> None:
        with pytest.raises(Unauthenticated), blocking.connect(fake.url, "cku_wrong"):
            pass

    await in_thread(work)


async def test_an_interrupt_in_a_blocking_wait_aborts_the_call(
    fake: FakeHub, tmp_path: Path
) -> None:
    fake.never("coord.wait")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, coord\n"
        "with coord.blocking.connect(sys.argv[1], sys.argv[2]) as hub:\n"
        "    try:\n"
        f"        hub.wait('{ID}')\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), fake.url, fake.token, stdout=asyncio.subprocess.PIPE
    )
    assert await asyncio.wait_for(fake.begun.get(), PATIENCE) == "coord.wait"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(fake.aborted.get(), PATIENCE) == "coord.wait"
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert out == b"interrupted\n"
    assert process.returncode == 0


async def test_an_interrupt_before_the_wait_has_begun_aborts_the_call_too(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is felt in whatever the thread does next, and another thread has begun by then."""
    fake.never("coord.wait")
    begun = threading.Event()

    def interrupted(loop: asyncio.BaseEventLoop, work: Callable[[], object]) -> object:
        monkeypatch.undo()
        loop.call_soon_threadsafe(work)
        begun.wait(PATIENCE)
        raise KeyboardInterrupt

    def work() -> None:
        with blocking.connect(fake.url, fake.token) as hub:
            monkeypatch.setattr(asyncio.BaseEventLoop, "call_soon_threadsafe", interrupted)
            with pytest.raises(KeyboardInterrupt):
                hub.wait(ID)
            assert not fake.aborted.empty(), "before the wait is left"

    working = asyncio.create_task(in_thread(work))
    assert await asyncio.wait_for(fake.begun.get(), PATIENCE) == "coord.wait"
    begun.set()
    await working


async def test_an_interrupt_before_anything_has_begun_is_felt_at_once(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(loop: asyncio.BaseEventLoop, work: Callable[[], object]) -> object:
        monkeypatch.undo()
        raise KeyboardInterrupt

    def work() -> None:
        with blocking.connect(fake.url, fake.token) as hub:
            monkeypatch.setattr(asyncio.BaseEventLoop, "call_soon_threadsafe", interrupted)
            with pytest.raises(KeyboardInterrupt):
                hub.wait(ID)

    await in_thread(work)
    assert [op for op, _ in fake.asked] == ["initialize"]


# Imports.


def _loaded(statement: str, *names: str) -> list[str]:
    code = f"import sys\n{statement}\nprint(*[n for n in {names!r} if n in sys.modules])"
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()


HEAVY = ("asyncpg", "fastapi", "paramiko", "cryptography", "hub", "spoke", "uvicorn")


def test_the_front_door_loads_no_daemon() -> None:
    assert _loaded("import coord; coord.connect, coord.Hub, coord.blocking", *HEAVY) == []


def test_all_names_are_there() -> None:
    for name in coord.__all__:
        assert getattr(coord, name) is not None
    assert {kind.__name__ for kind in BY_CODE.values()} >= {
        name for name in coord.__all__ if name[0].isupper() and name in vars(CallError)
    }
    with pytest.raises(AttributeError):
        getattr(coord, "nonsense")  # noqa: B009 - mypy knows that it is not there
