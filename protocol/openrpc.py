"""Operations as an OpenRPC document: what `rpc.discover` answers and `coordctl schema` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from protocol.codec import Object
from protocol.errors import BY_CODE, CallError
from protocol.handshake import INITIALIZE, Hello, Welcome
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.catalogue import CATALOGUE, LIVE, Kind, Op
from protocol.ops.shapes import Params
from protocol.schema import ERROR_DATA

OPENRPC: Final = "1.3.2"
_WHERE: Final = "#/components/schemas/"

_Mode = Literal["validation", "serialization"]
_Refs = Mapping[tuple[type[BaseModel], _Mode], Object]


def document(ops: Iterable[Op[Params, BaseModel]]) -> Object:
    """These operations. Each has, beside what OpenRPC says: ``x-kind``, ``x-roles``,
    ``x-idempotent``, ``x-readOnly``, ``x-stream`` (a stream's item), and ``x-params`` (its
    parameters as one object, for whoever validates)."""
    ops = list(ops)
    refs, defs = _shapes(ops)
    return {
        "openrpc": OPENRPC,
        "info": {"title": "coord", "version": f"{PROTOCOL_VERSION}"},
        "methods": [_method(op, refs, defs) for op in ops],
        "components": {
            "schemas": {**defs, "ErrorData": ERROR_DATA},
            "errors": {code: _error(kind) for code, kind in BY_CODE.items()},
        },
    }


def everything() -> Object:
    """All operations of hub and spoke, and the greeting."""
    return document([_INITIALIZE, *CATALOGUE.values(), *LIVE.values()])


_INITIALIZE: Final = Op(
    INITIALIZE, "The first call on a link, from the side that dialled.",
    Kind.QUERY, cast("type[Params]", Hello), Welcome, frozenset(),
)  # fmt: skip


def _shapes(ops: list[Op[Params, BaseModel]]) -> tuple[_Refs, Object]:
    wanted: dict[tuple[type[BaseModel], _Mode], None] = {}
    for op in ops:
        wanted[op.params, "validation"] = None
        wanted[op.result, "serialization"] = None
        if op.item is not None:
            wanted[op.item, "serialization"] = None
    refs, schemas = models_json_schema(list(wanted), ref_template=_WHERE + "{model}")
    return cast("_Refs", refs), cast("Object", schemas.get("$defs", {}))


def _method(op: Op[Params, BaseModel], refs: _Refs, defs: Object) -> Object:
    takes, gives = refs[op.params, "validation"], refs[op.result, "serialization"]
    method: Object = {
        "name": op.name,
        "summary": op.summary,
        "paramStructure": "by-name",
        "params": [*_descriptors(takes, defs)],
        "result": {"name": op.result.__name__, "schema": gives},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in BY_CODE],
        "x-kind": op.kind.value,
        "x-roles": [*sorted(role.value for role in op.roles)],
        "x-idempotent": op.idempotent,
        "x-readOnly": op.kind is not Kind.MUTATION,
        "x-params": takes,
    }
    if op.item is not None:
        method["x-stream"] = refs[op.item, "serialization"]
    return method


def _descriptors(ref: Object, defs: Object) -> Iterable[Object]:
    """Each parameter by itself, as OpenRPC wants it."""
    shape = cast("Object", defs[str(ref["$ref"]).removeprefix(_WHERE)])
    required = cast("list[str]", shape.get("required", []))
    for name, schema in cast("Object", shape.get("properties", {})).items():
        yield {"name": name, "required": name in required, "schema": schema}


def _error(kind: type[CallError]) -> Object:
    return {
        "code": kind.number,
        "message": kind.code,
        "data": {"code": kind.code, "retryable": kind.retryable},
    }
