"""session.append: a spoke stores records of an attempt."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from hub.bells import QUEUE
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.store.rows import AppendRow
from protocol.errors import InvalidArgument
from protocol.limits import CLOSE_UNAUTHENTICATED, MAX_INTEGER
from protocol.ops.catalogue import SESSION_APPEND
from protocol.ops.wire import RECORD_KINDS, Appended, AppendParams, Record

_NUL: Final = "\N{SYMBOL FOR NULL}"


async def append(desk: Desk, asked: Asked[AppendParams]) -> Appended:
    params = asked.params
    records = [_record(n, record) for n, record in enumerate(params.records)]
    spoke_id = asked.principal.id
    desk.spokes.hear(spoke_id)
    row = await desk.store.exchange.append(
        spoke_id, params.epoch, params.session_id, params.attempt, params.first, records
    )
    await _tell(desk, params, records, row)
    match row.verdict:
        case "ok" | "stale_epoch" | "superseded" as verdict:
            return Appended(verdict=verdict, stored=row.stored)
        case _:
            raise AssertionError(row.verdict)


async def _tell(desk: Desk, params: AppendParams, records: list[Record], row: AppendRow) -> None:
    if row.first_seq is None:
        return
    new = records[row.skipped or 0 :]
    desk.feed.stored(params.session_id, row.first_seq, params.attempt, new)
    if row.moved:
        desk.bells.ring(QUEUE)
    if records[-1].kind == "exited":
        await desk.links.close(params.session_id, CLOSE_UNAUTHENTICATED, "the session has ended")


def _record(n: int, record: list[JsonValue]) -> Record:
    if len(record) == 3:
        at, kind, body = record
        if type(at) is int and 0 <= at <= MAX_INTEGER and type(kind) is str:
            if type(body) is str and kind in ("stdout", "stderr"):
                return Record(at, kind, {"text": body.replace("\0", _NUL)})
            if kind in RECORD_KINDS and isinstance(clean := _clean(body), dict):
                return Record(at, kind, clean)
    raise InvalidArgument(
        "BAD_VALUE", "a record is [at, kind, body]", details={"field": f"records.{n}"}
    )


def _clean(value: JsonValue) -> JsonValue:
    """NUL is shown as its picture: Postgres text cannot hold it."""
    match value:
        case str(text):
            return text.replace("\0", _NUL)
        case list(items):
            return [_clean(item) for item in items]
        case dict(fields):
            return {name.replace("\0", _NUL): _clean(field) for name, field in fields.items()}
        case _:
            return value


OPERATION = Operation(SESSION_APPEND, append)
