"""Who may use which operation: every one of them, for every role."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from hub.app import RunningHub
from hub.ops import registry
from hub.ops.table import OPERATIONS
from protocol.ops.catalogue import CATALOGUE, Role
from tests.security import people
from tests.security.family import family
from tests.security.people import Watch
from tests.security.raw import VALUE, Raw, entered, said

# Whoever is not named here may not, and an operation must stand here.
V, OP, A, S, P, J = Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.SESSION, Role.SPOKE, Role.JOINING
MAY: dict[str, set[Role]] = {
    "coord.spawn": {OP, A, S},
    "coord.swarm": {OP, A, S},
    "coord.status": {V, OP, A, S},
    "coord.message": {OP, A, S},
    "coord.roles": {V, OP, A, S},
    "coord.questions": {V, OP, A, S},
    "coord.answer": {OP, A, S},
    "coord.abort": {OP, A, S},
    "coord.resume": {OP, A, S},
    "coord.events": {V, OP, A, S},
    "coord.wait": {V, OP, A, S},
    "coord.notify": {OP, A, S},
    "coord.cleanup": {OP, A},
    "coord.recover": {A},
    "trash.list": {OP, A},
    "trash.restore": {OP, A},
    "coord.explain": {V, OP, A, S},
    "spoke.list": {V, OP, A},
    "spoke.cordon": {A},
    "spoke.drain": {A},
    "spoke.invite": {A},
    "spoke.revoke": {A},
    "spoke.enroll": {J},
    "account.list": {V, OP, A},
    "account.open": {OP, A},
    "token.create": {A},
    "token.list": {A},
    "token.revoke": {A},
    "hub.ticket": {V, OP, A},
    "hub.list": {V, OP, A},
    "hub.drain": {A},
    "rpc.discover": {V, OP, A, S, P},
    "session.append": {P},
    "session.saved": {P},
}


FORBIDDEN = ("PERMISSION_DENIED", "FORBIDDEN")


@asynccontextmanager
async def everybody(hub: RunningHub) -> AsyncGenerator[dict[Role, Raw]]:
    """One link for each role."""
    one = await people.spoke(hub)
    async with AsyncExitStack() as stack:
        found = {P: await stack.enter_async_context(people.online(hub, one))}
        for role in (V, OP, A):
            token = (await people.user(hub, role)).token
            found[role] = await stack.enter_async_context(entered(hub.url, f"Bearer {token}"))
        joining = await people.join_token(hub, "gpu-2")
        found[J] = await stack.enter_async_context(entered(hub.url, f"Bearer {joining}"))
        found[S] = (await stack.enter_async_context(family(hub))).raw
        yield found


def test_z1_the_table_knows_every_operation_and_every_role() -> None:
    assert MAY.keys() == CATALOGUE.keys()
    assert set().union(*MAY.values()) == set(Role)


async def test_z1_every_operation_for_every_role(
    running_hub: RunningHub, watch: Watch, hub_database: str
) -> None:
    """Rights come before parameters: who may not, learns nothing of what they would be."""
    found: dict[str, set[Role]] = {}
    forbidden = 0
    async with everybody(running_hub) as links:
        assert links.keys() == set(Role)
        for name in CATALOGUE:
            found[name] = set()
            for role, link in links.items():
                answer = said(await link.ask(name, {"nonsense": 1}))
                assert answer in (FORBIDDEN, VALUE), (name, role, answer)
                if answer == VALUE:
                    found[name].add(role)
                else:
                    forbidden += 1
    assert found == MAY
    assert await people.audited(hub_database, "FORBIDDEN") == forbidden
    rows = await people.select(
        hub_database, "SELECT principal, op, peer FROM coord.audit WHERE outcome = 'FORBIDDEN'"
    )
    assert {row["op"] for row in rows} == CATALOGUE.keys() - {
        name for name, roles in MAY.items() if roles == set(Role)
    }
    assert {row["peer"] for row in rows} == {"127.0.0.1"}


async def test_z1_what_is_discovered_is_what_is_allowed(running_hub: RunningHub) -> None:
    async with everybody(running_hub) as links:
        for role, link in links.items():
            if role is not J:
                told = (await link.ask("rpc.discover"))["result"]["methods"]
                assert {op["name"] for op in told} == {n for n, may in MAY.items() if role in may}


async def test_z1_an_operation_without_a_handler_stops_the_hub(running_hub: RunningHub) -> None:
    desk = people.desk_of(running_hub)
    with pytest.raises(RuntimeError, match=r"coord\.spawn"):
        registry.handlers(desk, [one for one in OPERATIONS if one.name != "coord.spawn"])
