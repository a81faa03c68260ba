"""The first words on a wire, from the side that dialled: it is not yet a link."""

from __future__ import annotations

import asyncio
from typing import cast

from pydantic import JsonValue

from protocol.aio.wire import Wire
from protocol.codec import Object
from protocol.errors import DeadlineExceeded, Internal, LinkLost
from protocol.frames import Call, CallId, Fault, Reply, read, write
from protocol.handshake import INITIALIZE, Hello, Welcome, check_spoken
from protocol.ids import call_ids
from protocol.limits import INITIALIZE_SECONDS


async def greet(wire: Wire, hello: Hello) -> Welcome:
    """What the hub answers; whatever comes after it is still on the wire.

    Raises the CallError that it refuses us with (FailedPrecondition RESUME_EXPIRED: another hello
    may follow), LinkLost, DeadlineExceeded, Internal (BAD_ANSWER), FailedPrecondition (VERSION).
    """
    id = next(call_ids())  # others greet the same hub at the same moment
    said = cast("Object", hello.model_dump(mode="json", by_alias=True, exclude_none=True))
    try:
        async with asyncio.timeout(INITIALIZE_SECONDS):
            await wire.send([write(Call(id, INITIALIZE, said))])
            answer = await _answer(wire, id)
    except TimeoutError:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "the hub does not say hello") from None
    welcome = _read(answer)
    check_spoken(welcome.protocol_version)
    return welcome


async def _answer(wire: Wire, asked: CallId) -> JsonValue:
    while texts := await wire.receive(1):
        match read(texts[0]):
            case Reply(id, result) if id == asked:
                return cast("JsonValue", result)
            case Fault(id, error) if id in (asked, None):
                raise error
            case _:
                continue
    raise LinkLost("LINK_LOST", "the link went before it was welcome")


def _read(answer: JsonValue) -> Welcome:
    try:
        return Welcome.model_validate(answer)
    except ValueError as error:
        raise Internal(
            "BAD_ANSWER",
            "the hub's answer is no Welcome",
            advice="compare `coordctl version` on both sides",
        ) from error
