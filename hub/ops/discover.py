"""rpc.discover: the operations that the caller may use, with their JSON Schemas."""

from __future__ import annotations

from functools import cache

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.catalogue import CATALOGUE, DISCOVER
from protocol.ops.shapes import Nothing
from protocol.ops.spokes import Discovery, OperationView


async def discover(_: Desk, asked: Asked[Nothing]) -> Discovery:
    role = asked.principal.role
    return Discovery(
        protocol_version=PROTOCOL_VERSION,
        operations=[_shown(op.name) for op in CATALOGUE.values() if role in op.roles],
    )


@cache  # writing the schemas of all takes 60 ms, in which nobody else is answered
def _shown(name: str) -> OperationView:
    op = CATALOGUE[name]
    return OperationView(
        name=op.name,
        summary=op.summary,
        kind=op.kind,
        roles=sorted(op.roles),
        params=op.params.model_json_schema(by_alias=True),
        result=op.result.model_json_schema(by_alias=True, mode="serialization"),
        item=None if op.item is None else op.item.model_json_schema(by_alias=True),
    )


OPERATION = Operation(DISCOVER, discover)
