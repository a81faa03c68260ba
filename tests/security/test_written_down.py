"""No credential is in the database, a log or a file, after a whole life."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx

import coord
from hub.app import RunningHub
from protocol import tokens
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import entered


async def test_a12_no_credential_is_in_the_database_or_the_log_or_a_file(
    running_hub: RunningHub, watch: Watch, hub_database: str, tmp_path: Path
) -> None:
    """A whole life: users, a spoke that joins, a session with its token, a page session."""
    secrets = [(await people.user(running_hub, role)).token for role in ("viewer", "admin")]
    one = await people.spoke(running_hub)
    invited = await watch.client.call("spoke.invite", {"name": "gpu-9"})
    assert isinstance(invited, dict)
    proof = await one.proof(running_hub)
    secrets += [tokens.read_join(str(invited["join"])).token, proof, proof[-128:]]
    secrets.append(one.key.private_bytes_raw().hex())
    async with entered(running_hub.url, proof, greet=False) as link:
        welcome = await link.initialize(**one.hello())
        spawned = await watch.client.spawn(
            "t", repo="/r", command="c", until="queued", spoke=one.name
        )
        order = await link.read()
        secrets.append(order["params"]["orders"][0]["body"]["credential"])
        seq = order["params"]["orders"][0]["seq"]
        await link.say({"jsonrpc": "2.0", "id": order["id"], "result": {"accepted": seq}})
        async with coord.connect(running_hub.url, secrets[-1]) as agent:
            await agent.notify("here I am")
        given = {
            "epoch": welcome["result"]["epoch"], "sessionId": spawned.session_id, "attempt": 1,
            "first": 1, "records": [[1, "running", {}], [2, "stdout", "hello"]],
        }  # fmt: skip
        assert (await link.ask("session.append", given))["result"]["verdict"] == "ok"
    ticket = await watch.client.call("hub.ticket", {})
    assert isinstance(ticket, dict)
    secrets.append(str(ticket["url"]).partition("=")[2])
    async with httpx.AsyncClient(base_url=running_hub.http_url) as web:
        headers = {"X-Coord": "1", "Origin": running_hub.http_url}
        answer = await web.post("/login", json={"code": secrets[-1]}, headers=headers)
        secrets.append(answer.cookies["coord"])
        assert (await web.get("/")).status_code == 200
    watch.secrets.extend(secrets)
    assert len(secrets) == len(set(secrets)) and all(len(secret) > 40 for secret in secrets)
    written = "\n".join(await people.dump(hub_database))
    assert spawned.session_id in written, "it is a dump of all that happened"
    for secret in [*secrets, *watch.secrets]:
        assert secret not in written
        assert secret.encode().hex() not in written, "nor as bytes"
        assert secret[8:40] not in written, "nor the better part of it"
        assert secret.encode() not in people.written_in(tmp_path)


def test_a12_debugging_a_library_does_not_write_headers(running_hub: RunningHub) -> None:
    for name in ("websockets", "websockets.server", "uvicorn", "uvicorn.error", "asyncio"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
