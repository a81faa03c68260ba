"""Sessions and spokes for tests of the store, made through the store."""

from __future__ import annotations

import itertools

from pydantic import JsonValue

from hub.store import Postgres, Store
from hub.store.exchange import Greeted
from hub.store.spawning import NewSession, Stored
from protocol import ids
from protocol.handshake import SpokeHello
from protocol.ops.wire import InventoryItem, Record
from protocol.session import State

_numbers = itertools.count(1)


def new_session(
    *,
    parent: str | None = None,
    key: str | None = None,
    params: bytes = b"",
    branch: str | None = None,
    on_parent_abort: str = "abort-dependents",
    depth: int = 3,
    children: int = 8,
    wanted: str | None = None,
    requires: dict[str, str] | None = None,
) -> NewSession:
    id = ids.new_session()
    return NewSession(
        session_id=id,
        parent_id=parent,
        on_parent_abort=on_parent_abort,
        owner="test",
        idem_key=key,
        params_hash=params,
        task="a task",
        repo="/a/repository",
        base=None,
        branch=branch or f"b/{id}",
        agent="command",
        spec={"prompt": "", "command": "true", "args": [], "env": {}, "stdin": "open"},
        labels={},
        wanted_spoke=wanted,
        requires=requires or {},
        priority=0,
        grant_depth=depth,
        grant_children=children,
        queue_ms=None,
        run_ms=None,
    )


async def spawn(store: Store, new: NewSession | None = None) -> Stored:
    return await store.spawner.spawn(new or new_session())


def hello(
    spoke_id: str,
    *,
    boot: str = "boot",
    held: list[InventoryItem] | None = None,
    slots: int = 100,
) -> SpokeHello:
    return SpokeHello(
        spoke_id=spoke_id,
        incarnation=f"in{next(_numbers)}",
        boot_id=boot,
        slots=slots,
        last_seq=0,
        inventory=held or [],
    )


async def spoke(store: Store, *, slots: int = 100) -> tuple[str, Greeted]:
    """A spoke that is enrolled and connected."""
    id = ids.new_spoke()
    assert await store.exchange.enroll(id, f"spoke-{id[3:]}", b"key", {}, slots)
    greeted = await store.exchange.greet(hello(id, slots=slots), "1", 45)
    assert greeted is not None
    return id, greeted


async def assign(store: Store, session_id: str, spoke_id: str) -> int:
    """Where a hub places too, a session that wants this spoke may be there already."""
    await store.outbox.assign([(session_id, spoke_id, session_id.encode())])
    view = await store.sessions.view(session_id)
    assert (view.spoke_id, view.state) == (spoke_id, State.ASSIGNED)
    return view.attempt


def record(kind: str, **body: JsonValue) -> Record:
    return Record(1_000, kind, body)


async def run(store: Store, spoke_id: str, epoch: int, session_id: str) -> int:
    """Assign a session and let its agent run; the attempt."""
    attempt = await assign(store, session_id, spoke_id)
    records = [record("starting", worktree=f"/w/{session_id}"), record("running", pid=1)]
    row = await store.exchange.append(spoke_id, epoch, session_id, attempt, 1, records)
    assert row.verdict == "ok"
    return attempt


async def silent(
    store: Store, connections: Postgres, spoke_id: str, epoch: int, ago: float = 46
) -> None:
    """The hub that holds a spoke's link has not heard it for so many seconds; a lease lasts 45."""
    await connections.pool.execute(
        "UPDATE spokes SET last_seen_at = now() - interval '1 hour' WHERE spoke_id = $1", spoke_id
    )
    await store.fleet.let_run([(spoke_id, epoch, ago)], 45)
