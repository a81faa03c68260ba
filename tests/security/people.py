"""Everybody who may knock at a hub: users, a spoke that is ours, sessions, strangers."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import coord
from hub.app import RunningHub
from hub.bells import outbox
from hub.desk import Desk
from hub.ops.tokens import new_user
from hub.store import Store
from protocol import tokens
from protocol.limits import NONCE_PATH
from protocol.ops.spokes import TokenCreated
from protocol.tokens import Kind
from tests.security.raw import Raw, dialled, entered
from tests.support import rows

_FORMAT = logging.Formatter("%(name)s %(message)s")


def desk_of(hub: RunningHub) -> Desk:
    return hub._desk


def store_of(hub: RunningHub) -> Store:
    return hub._desk.store


def forgive(hub: RunningHub) -> None:
    """Forget who was refused: the next case is answered by itself."""
    hub._desk.links._gate._failures.clear()


async def user(hub: RunningHub, role: str, name: str = "anna") -> TokenCreated:
    return await new_user(hub._desk, name, role, 3_600)


async def join_token(hub: RunningHub, name: str | None = None) -> str:
    return tokens.read_join(await hub.join_string(name)).token  # type: ignore[arg-type]


def authorization(token: str) -> str:
    """The header of a request that shows it."""
    return f"Authorization: Bearer {token}"


async def set_token(dsn: str, token: str, change: str) -> None:
    """Change a token behind the back of its hub."""
    statement = f"UPDATE coord.tokens SET {change} WHERE digest = $1"
    await select(dsn, statement, tokens.digest(token))


@dataclass(frozen=True, slots=True)
class Spoke:
    id: str
    name: str
    key: Ed25519PrivateKey

    async def proof(self, hub: RunningHub, *, hub_id: str | None = None) -> str:
        """What a spoke shows, with a nonce of its own."""
        return self.sign(await nonce(hub.url), hub_id or hub.hub_id)

    def sign(self, nonce: str, hub_id: str) -> str:
        signed = self.key.sign(f"coord-auth-v1|{hub_id}|{self.id}|{nonce}".encode()).hex()
        return f"Coord-Spoke spoke={self.id},nonce={nonce},signature={signed}"

    def hello(self, **more: object) -> dict[str, object]:
        """Parameters of `initialize`, as this spoke says them."""
        spoke = {
            "spokeId": self.id, "incarnation": "i1", "bootId": "b1", "slots": 4, "lastSeq": 0,
            **more,
        }  # fmt: skip
        return {"role": "spoke", "name": self.name, "spoke": spoke}


async def nonce(url: str) -> str:
    async with dialled(url) as raw:
        await raw.send(f"GET {NONCE_PATH} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
        found: str = json.loads((await raw.answered()).body)["nonce"]
        return found


async def spoke(hub: RunningHub, name: str = "gpu-1") -> Spoke:
    """Enrolled through the ordinary join flow."""
    key = Ed25519PrivateKey.generate()
    async with entered(hub.url, f"Bearer {await join_token(hub, name)}") as raw:
        public = key.public_key().public_bytes_raw().hex()
        said = await raw.ask("spoke.enroll", {"host": "h", "publicKey": public})
    return Spoke(said["result"]["spokeId"], name, key)


@asynccontextmanager
async def online(hub: RunningHub, one: Spoke) -> AsyncGenerator[Raw]:
    """The link of a spoke that was welcomed."""
    async with entered(hub.url, await one.proof(hub), greet=False) as raw:
        said = await raw.initialize(**one.hello())
        assert "result" in said, said
        yield raw


@asynccontextmanager
async def working(hub: RunningHub) -> AsyncGenerator[tuple[Raw, int, str]]:
    """The link of a spoke, its epoch, and a session that it runs."""
    one = await spoke(hub)
    async with entered(hub.url, await one.proof(hub), greet=False) as link:
        epoch = (await link.initialize(**one.hello()))["result"]["epoch"]
        session = await queued(store_of(hub))
        await taken(hub, link, one.id, session)
        yield link, epoch, session


def append(
    epoch: int, session: str, records: list[Any], first: int = 1, attempt: int = 1
) -> dict[str, Any]:
    return {
        "epoch": epoch, "sessionId": session, "attempt": attempt, "first": first,
        "records": records,
    }  # fmt: skip


async def queued(store: Store, parent: str | None = None, **more: object) -> str:
    """A session that waits for a spoke that will never come."""
    new = rows.new_session(parent=parent, requires={"with": "nobody"})
    return (await rows.spawn(store, replace(new, **more))).session_id  # type: ignore[arg-type]


async def credential(store: Store, spoke_id: str, session_id: str) -> str:
    """The token of a session, which is put for that on a spoke without a link."""
    token = tokens.new(Kind.SESSION)
    [row] = await store.outbox.assign([(session_id, spoke_id, tokens.digest(token))])
    assert row.attempt is not None
    return token


async def taken(hub: RunningHub, link: Raw, spoke_id: str, session_id: str) -> str:
    """The token of a session whose start the spoke on this link has taken: as its order says it.

    The hub, which looks into the outbox of whoever is connected, knows no token that was put there
    behind its back, and gives the session another.
    """
    await credential(store_of(hub), spoke_id, session_id)
    desk_of(hub).bells.ring_here(outbox(spoke_id))
    told = await link.read()
    [order] = told["params"]["orders"]
    assert (order["kind"], order["sessionId"]) == ("start", session_id)
    await link.say({"jsonrpc": "2.0", "id": told["id"], "result": {"accepted": order["seq"]}})
    return str(order["body"]["credential"])


async def audited(dsn: str, outcome: str) -> int:
    """How many rows of the audit have this outcome."""
    found = await select(dsn, "SELECT count(*) FROM coord.audit WHERE outcome = $1", outcome)
    return int(found[0][0])


async def dump(dsn: str) -> list[str]:
    """Every row of every table, as text."""
    tables = await select(
        dsn,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert len(tables) > 10
    found: list[str] = []
    for table in tables:
        found += [row[0] for row in await select(dsn, f"SELECT t::text FROM {table[0]} t")]
    return found


async def select(dsn: str, statement: str, *values: object) -> list[asyncpg.Record]:
    db = await asyncpg.connect(dsn)
    try:
        return await db.fetch(statement, *values)
    finally:
        await db.close()


@dataclass(frozen=True, slots=True)
class Watch:
    """An innocent client, and what the hub has logged meanwhile."""

    client: coord.Hub
    log: pytest.LogCaptureFixture
    secrets: list[str]

    async def check(self) -> None:
        """The innocent is answered, nothing crashed, and no secret was written down."""
        assert await self.client.call("coord.status", {"limit": 1}, within=10) is not None
        for record in self._records():
            assert record.levelno < logging.ERROR and record.exc_info is None, record.getMessage()
            written = _FORMAT.format(record)
            assert "Traceback" not in written
            for secret in self.secrets:
                assert secret not in written

    def _records(self) -> list[logging.LogRecord]:
        """All so far, from whichever phase of the test this is asked in."""
        phases: tuple[Literal["setup", "call"], ...] = ("setup", "call")
        return [one for phase in phases for one in self.log.get_records(phase)]


def written_in(folder: Path) -> bytes:
    """All that is in the files below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
