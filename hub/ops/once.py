"""A call with an idempotency key: run once, and answered alike each time that it is asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic_core import to_json

from hub.desk import Asked, Desk
from hub.store.keys import Keyed
from hub.store.rows.access import CallRow
from protocol.errors import (
    AlreadyExists,
    CallError,
    Cancelled,
    Conflict,
    DataLoss,
    DeadlineExceeded,
    Unavailable,
)
from protocol.faults import error_body, error_of
from protocol.ops.catalogue import Op
from protocol.ops.shapes import Params

AGAIN_MS: Final = 250
_BODY: Final[TypeAdapter[dict[str, JsonValue]]] = TypeAdapter(dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Once:
    """One key, in this hub. ``run`` is what the operation does without one."""

    desk: Desk
    op: Op[Params, BaseModel]
    call: Keyed
    run: Callable[[], Awaitable[BaseModel]]

    async def answer(self) -> JsonValue | BaseModel:
        """What the call is answered with, now or then.

        Raises the CallError that it was answered with; Conflict (IDEMPOTENCY_CONFLICT), Unavailable
        (CALL_RUNNING), DataLoss (OUTCOME_UNKNOWN), AlreadyExists (ANSWER_WITHHELD).
        """
        running, place = self.desk.running, (self.call.owner, self.call.key)
        while (other := running.get(place)) is not None:
            self._check_same(await self.desk.store.keys.find(self.call))
            await other.wait()
        over = running[place] = asyncio.Event()  # nothing was awaited since nobody ran it here
        try:
            return await self._answer()
        finally:
            del running[place]
            over.set()

    async def _answer(self) -> JsonValue | BaseModel:
        fresh = await self.desk.store.keys.claim(self.call, self.desk.instance)
        if fresh is None:
            row = await self.desk.store.keys.find(self.call)
            self._check_same(row)
            if row is None or row.answer is None:
                raise _running("another hub runs this call")
            return _stored(row)
        try:
            result = await self._run(fresh=fresh)
        except BaseException as error:
            await asyncio.shield(self._failed(error))
            raise
        said: JsonValue = result.model_dump(mode="json", by_alias=True)
        await self._keep({"withheld": True} if self.op.secret else {"result": said})
        return result

    def _check_same(self, row: CallRow | None) -> None:
        if row is not None and (row.op, row.params_hash) != (self.call.op, self.call.params_hash):
            raise Conflict(
                "IDEMPOTENCY_CONFLICT",
                "this key was used for something else",
                advice="use another key",
                details={"op": row.op},
            )

    async def _run(self, *, fresh: bool) -> BaseModel:
        if not fresh and not self.op.idempotent:
            raise DataLoss(
                "OUTCOME_UNKNOWN",
                "this call was begun and its end is not known: it may have happened",
                advice="look whether it did; ask again with another key if it did not",
            )
        return await self.run()

    async def _failed(self, error: BaseException) -> None:
        """Remember what asking again cannot cure; else the key may be used again."""
        again = not isinstance(error, CallError) or error.retryable
        if again or isinstance(error, Cancelled | DeadlineExceeded):
            await self.desk.store.keys.free(self.call, self.desk.instance)
        elif isinstance(error, CallError):
            await self._keep({"error": _BODY.validate_python(error_body(error))})

    async def _keep(self, answer: dict[str, JsonValue]) -> None:
        if not await self.desk.store.keys.settle(self.call, self.desk.instance, answer):
            raise _running("another hub took this call over")


def _running(why: str) -> Unavailable:
    return Unavailable("CALL_RUNNING", why, retry_after_ms=AGAIN_MS)


def keyed(asked: Asked[Params], op: str, key: str) -> Keyed:
    digest = hashlib.sha256(to_json(asked.params)).digest()
    return Keyed(asked.principal.owner, key, op, digest)


def _stored(row: CallRow) -> JsonValue:
    """The answer of then. Raises the error of then."""
    match row.answer:
        case {"result": result}:
            return result
        case {"error": dict(body)}:
            raise error_of(body)
        case _:
            raise AlreadyExists(
                "ANSWER_WITHHELD",
                "this was done; its answer was a secret, which is shown once",
                advice="make another one, with another key",
            )
