"""rpc.discover: the operations that the caller may use, with their JSON Schemas."""

from __future__ import annotations

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.catalogue import CATALOGUE, DISCOVER
from protocol.ops.shapes import Nothing
from protocol.ops.spokes import Discovery, OperationView


async def discover(_: Desk, asked: Asked[Nothing]) -> Discovery:
    return Discovery(
        protocol_version=PROTOCOL_VERSION,
        operations=[
            OperationView(
                name=op.name,
                summary=op.summary,
                kind=op.kind,
                roles=sorted(op.roles),
                params=op.params.model_json_schema(by_alias=True),
                result=op.result.model_json_schema(by_alias=True, mode="serialization"),
                item=None if op.item is None else op.item.model_json_schema(by_alias=True),
            )
            for op in CATALOGUE.values()
            if asked.principal.role in op.roles
        ],
    )


OPERATION = Operation(DISCOVER, discover)
