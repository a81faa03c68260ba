"""session.append: a spoke stores records of an attempt."""

from __future__ import annotations

import math
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from hub.bells import QUEUE, ROOM
from hub.core import telling
from hub.desk import Asked, Desk
from hub.ops.failing import judged
from hub.ops.registry import Operation
from hub.store.rows.exchange import AppendRow
from protocol.codec import Object
from protocol.errors import Cancelled, InvalidArgument
from protocol.limits import CLOSE_UNAUTHENTICATED
from protocol.ops.catalogue import SESSION_APPEND
from protocol.ops.wire import RECORD_KINDS, Appended, AppendParams, Record

MAX_DEPTH: Final = 16  #: of a record's body; what carries it to a reader adds a few levels
MAX_BYTES: Final = 512 * 1_024  #: of a record's body: with what carries it, it fits in a frame
ANY_CHARS: Final = MAX_BYTES // 6 - 64  #: of text surely fit in there; none has more in JSON
MAX_AT: Final = 253_402_300_799_999  #: the last millisecond of the year 9999
_NUL: Final = "\N{SYMBOL FOR NULL}"
_OF_MESSAGES: Final = frozenset({"delivered", "undelivered"})


async def append(desk: Desk, asked: Asked[AppendParams]) -> Appended:
    params = asked.params
    records = [_record(n, record) for n, record in enumerate(params.records)]
    await _check_messages(desk, params.session_id, records)
    records = [await _whole(desk, params, record) for record in records]
    spoke_id = asked.principal.id
    desk.spokes.hear(spoke_id)
    row = await desk.store.exchange.append(
        spoke_id, params.epoch, params.session_id, params.attempt, params.first, records,
        telling.of_all(params.first, records),
    )  # fmt: skip
    _tell(desk, params, records, row)
    match row.verdict:
        case "ok" | "stale_epoch" | "superseded" as verdict:
            return Appended(verdict=verdict, stored=row.stored)
        case _:
            raise AssertionError(row.verdict)


async def _whole(desk: Desk, params: AppendParams, record: Record) -> Record:
    if record.kind != "exited":
        return record
    return await judged(desk.store.policy, params.session_id, params.attempt, record)


def _tell(desk: Desk, params: AppendParams, records: list[Record], row: AppendRow) -> None:
    if row.first_seq is None:
        return
    new = records[row.skipped or 0 :]
    desk.feed.stored(params.session_id, row.first_seq, params.attempt, new)
    if row.told_to is not None:
        desk.bells.ring(row.told_to)
    if records[-1].kind == "exited":
        # What was said to it just before it was blocked puts it into the queue again, and so may
        # what is decided about its failure.
        body = records[-1].body
        queued = body.get("outcome") == "blocked" or "policy" in body
        desk.bells.ring(QUEUE if queued else ROOM)
        over = Cancelled("SESSION_ENDED", "the session that asked for this has ended")
        desk.links.close(params.session_id, CLOSE_UNAUTHENTICATED, over, lost=True)


async def _check_messages(desk: Desk, session_id: str, records: list[Record]) -> None:
    """A spoke says of the messages to this session what became of them, and of no others."""
    for n, record in enumerate(records):
        if record.kind in _OF_MESSAGES:
            row = await desk.store.sessions.message(str(record.body.get("messageId")))
            if row is not None and row.session_id != session_id:
                raise _bad(n, "that message was said to another session")


def _record(n: int, record: list[JsonValue]) -> Record:
    if len(record) == 3:
        at, kind, body = record
        if type(at) is int and 0 <= at <= MAX_AT and type(kind) is str:
            if type(body) is str and kind in ("stdout", "stderr"):
                line: Object = {"text": body.replace("\0", _NUL)}
                return Record(at, kind, line if len(body) < ANY_CHARS else _small(n, line))
            if kind in RECORD_KINDS and isinstance(clean := _clean(n, body, 1), dict):
                return Record(at, kind, _small(n, clean))
    raise _bad(n, "a record is [at, kind, body]")


def _small(n: int, body: Object) -> Object:
    if len(to_json(body)) > MAX_BYTES:
        raise _bad(n, f"its body has at most {MAX_BYTES:,} bytes")
    return body


def _clean(n: int, value: JsonValue, depth: int) -> JsonValue:
    """As Postgres can hold it: NUL is shown as its picture, a number without end as null."""
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        raise _bad(n, f"its body has at most {MAX_DEPTH} levels")
    match value:
        case str(text):
            return text.replace("\0", _NUL)
        case list(items):
            return [_clean(n, item, depth + 1) for item in items]
        case dict(fields):
            return {
                name.replace("\0", _NUL): _clean(n, field, depth + 1)
                for name, field in fields.items()
            }
        case float(number) if not math.isfinite(number):
            return None
        case _:
            return value


def _bad(n: int, why: str) -> InvalidArgument:
    return InvalidArgument("BAD_VALUE", f"records.{n}: {why}", details={"field": f"records.{n}"})


OPERATION = Operation(SESSION_APPEND, append)
