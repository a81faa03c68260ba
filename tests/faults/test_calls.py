"""Callers that die, repeat themselves, or contradict themselves."""

from __future__ import annotations

import asyncio
import os

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import coord
from protocol.errors import CallError, Conflict, LinkLost
from protocol.limits import (
    CLOSE_BAD_DATA,
    CLOSE_TOO_BIG,
    MAX_FRAME_BYTES,
    RPC_PATH,
    SUBPROTOCOL,
)
from tests.support.agents import SLOW_COUNT, WAIT
from tests.support.inspector import marks
from tests.support.proxy import proxy_to
from tests.support.town import Town
from tests.support.world import ended, lines, story, until, waited

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOKES = ("anvil",)


async def test_fault_25_a_client_is_lost_in_the_middle_of_its_call(here: Town, repo: str) -> None:
    """What it asked for goes on, and asked again with its key it gets the answer."""
    asked = {"repo": repo, "command": "sh", "args": ["-c", WAIT]}
    here.ways["anvil"].hold("down")  # the order does not arrive, so that the call takes long
    async with (
        proxy_to(here.ports[0]) as way,
        coord.connect(f"ws://127.0.0.1:{way.port}", here.token) as hub,
        here.database() as db,
    ):
        calling = asyncio.create_task(hub.spawn("a", idempotency_key="k25", **asked))
        async with waited("its session is stored"):
            while not await db.fetchval("SELECT count(*) FROM sessions WHERE idem_key = 'k25'"):
                await asyncio.sleep(0.02)
        way.refusing = True  # it does not come back either
        way.cut()
    with pytest.raises(LinkLost):
        await calling
    here.ways["anvil"].free()
    async with here.client() as hub:
        made = await hub.spawn("a", idempotency_key="k25", **asked)
        assert (made.created, made.state) == (False, "running")
        await hub.abort(made.session_id, now=True)
    await here.settled()


async def test_fault_25_a_client_takes_its_call_back(here: Town, repo: str) -> None:
    here.ways["anvil"].hold("down")
    async with here.client() as hub:
        calling = asyncio.create_task(
            hub.spawn("a", repo=repo, command="sh", args=["-c", WAIT], labels={"fault": "25"})
        )
        async with waited("its session is there"):
            while not (found := (await hub.status(labels={"fault": "25"})).sessions):
                await asyncio.sleep(0.02)
        calling.cancel()
        here.ways["anvil"].free()
        with pytest.raises(asyncio.CancelledError):
            await calling
        [session] = await ended(hub, found[0].session_id)
        assert session.state == "aborted", "its caller would never have learned of it"
    await here.settled()


async def test_fault_26_two_hundred_spawns_at_once_with_one_key_make_one_session(
    here: Town, repo: str
) -> None:
    asked = {"repo": repo, "command": "sh", "args": ["-c", WAIT], "idempotency_key": "k26"}
    async with here.client() as one, here.client() as other:
        made = await asyncio.gather(*(hub.spawn("a", **asked) for hub in (one, other) * 100))
        assert len({each.session_id for each in made}) == 1
        assert len({each.worktree for each in made}) == 1
        assert sum(each.created for each in made) == 1
        # Agents begin a session of processes each; what one starts itself is not there at once.
        mine = [pid for pid, (id, _) in marks().items() if id == made[0].session_id]
        assert len({os.getsid(pid) for pid in mine}) == 1, "one agent"
        await one.abort(made[0].session_id, now=True)
    await here.settled()


async def test_fault_27_the_same_key_with_other_parameters(here: Town, repo: str) -> None:
    async with here.client() as hub:
        asked = {"repo": repo, "command": "true", "idempotency_key": "k27"}
        made = await hub.spawn("a", **asked)
        with pytest.raises(Conflict) as refused:
            await hub.spawn("another task", **asked)
        assert refused.value.reason == "IDEMPOTENCY_CONFLICT"
        await ended(hub, made.session_id)
    await here.settled()


async def test_fault_39_a_message_is_sent_twice_and_while_the_agent_is_busy(
    here: Town, repo: str
) -> None:
    script = 'sleep 0.5; while read -r x; do [ "$x" = end ] && exit; echo "heard $x"; done'
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", script])
        said = [(f"m{n}", f"word {n}") for n in range(20)]
        for id, text in said:
            key = f"{made.session_id}-{id}"
            await hub.message(made.session_id, text, message_id=key, wait_ms=0)
            await hub.message(made.session_id, text, message_id=key, wait_ms=0)
        await hub.message(made.session_id, "end")
        await ended(hub, made.session_id)
        heard = lines(await story(hub, made.session_id))
        assert heard == [f"heard {text}" for _, text in said]
    await here.settled()


async def test_fault_40_frames_that_are_none(here: Town, repo: str) -> None:
    """Each ends its own link, with a code; another client's stream misses nothing."""
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", SLOW_COUNT])
        assert "-32700" in str(await _answer(here, "{" * 2_000)), "no JSON: told, and no more"
        assert await _answer(here, "x" * (MAX_FRAME_BYTES + 1)) == CLOSE_TOO_BIG
        assert await _answer(here, b"\x00\x01") == CLOSE_BAD_DATA
        bomb = "\0" * (2 * MAX_FRAME_BYTES)
        assert await _answer(here, bomb, deflate=True) == CLOSE_TOO_BIG
        await hub.abort(made.session_id)
        assert await story(hub, made.session_id)
    await here.settled()


async def _answer(here: Town, frame: str | bytes, *, deflate: bool = False) -> object:
    """What the hub says to it; the code, where it closes the link."""
    async with connect(
        f"ws://127.0.0.1:{here.ports[0]}{RPC_PATH}",
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
        additional_headers={"Authorization": f"Bearer {here.token}"},
        compression="deflate" if deflate else None,
        proxy=None,
        max_size=None,
    ) as link:
        try:
            await link.send(frame)
            async with asyncio.timeout(20):
                return await link.recv()
        except ConnectionClosed:
            return link.close_code


async def test_fault_41_two_sessions_want_one_branch(here: Town, repo: str) -> None:
    async with here.client() as hub:
        asked = {"repo": repo, "branch": "feat/one", "command": "sh", "args": ["-c", WAIT]}
        said = await asyncio.gather(
            *(hub.spawn(f"t{n}", **asked) for n in range(4)), return_exceptions=True
        )
        made = [one for one in said if not isinstance(one, BaseException)]
        refused = [one.reason for one in said if isinstance(one, CallError)]
        assert (len(made), refused) == (1, ["REF_CONFLICT"] * 3), said
        await hub.abort(made[0].session_id, now=True)
    await here.settled()


async def test_fault_38_a_spoke_is_revoked_while_it_works(here: Town, repo: str) -> None:
    """The last of this module: anvil is gone after it."""
    daemon = here.spokes["anvil"]
    async with here.client() as hub:
        made = await hub.spawn("a", repo=repo, command="sh", args=["-c", WAIT])
        carried = here.ways["anvil"].carried
        await hub.call("spoke.revoke", {"spoke": "anvil", "reason": "gone"})
        [session] = await ended(hub, made.session_id)
        assert session.state == "lost"
        assert "revoked" in str(session.reason)
    await until(lambda: "refuses this spoke" in daemon.said(), "it is refused")
    assert daemon.process is not None
    assert daemon.process.returncode is None, "it does not crash"
    assert here.ways["anvil"].carried - carried <= 4, "nor does it knock on and on"
    await here.inspector.check(quiet=False)
