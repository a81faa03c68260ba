"""rpc.discover: the operations that the caller may use, as an OpenRPC document."""

from __future__ import annotations

from functools import cache

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol import openrpc
from protocol.ops.catalogue import CATALOGUE, DISCOVER, Role
from protocol.ops.shapes import Nothing
from protocol.ops.spokes import Discovery


async def discover(_: Desk, asked: Asked[Nothing]) -> Discovery:
    return _for(asked.principal.role)


@cache  # writing the schemas of all takes 60 ms, in which nobody else is answered
def _for(role: Role) -> Discovery:
    ops = [op for op in CATALOGUE.values() if role in op.roles]
    return Discovery.model_validate(openrpc.document(ops))


OPERATION = Operation(DISCOVER, discover)
