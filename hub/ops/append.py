"""session.append: a spoke stores records of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from hub.bells import QUEUE
from hub.desk import Asked, Desk
from hub.ops.registry import Operation, read
from hub.store.rows import AppendRow
from protocol.errors import InvalidArgument
from protocol.limits import CLOSE_UNAUTHENTICATED
from protocol.ops.catalogue import SESSION_APPEND
from protocol.ops.wire import Appended, AppendParams, Record

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


def _record(n: int, record: Sequence[JsonValue]) -> Record:
    match record:
        case [int(at), "stdout" | "stderr" as kind, str(text)] if at >= 0:
            # The transcript: by far most of what arrives, and nothing left to validate.
            line: dict[str, JsonValue] = {"text": text.replace("\0", _NUL)}
            return Record.model_construct(at=at, kind=kind, body=line)
        case [at, kind, body]:
            return read(Record, {"at": at, "kind": kind, "body": _clean(body)})
        case _:
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
