"""The engine of every client: calls by name, answers as they came, asked again where it is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeVar, cast

from pydantic import BaseModel, JsonValue, ValidationError

from coord.context import find
from coord.line import Line
from protocol.aio.dial import addresses
from protocol.codec import Object
from protocol.errors import Internal, InvalidArgument, LinkLost, Unavailable
from protocol.handshake import Hello, Welcome
from protocol.limits import OLDEST_VERSION, PROTOCOL_VERSION
from protocol.ops import CATALOGUE, Op
from protocol.ops.shapes import Params

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=BaseModel)

OWN_KEY: Final = "idempotencyKey"  # of the parameters of a spawn
RUNNING_SECONDS: Final = 0.5  # at the most, before a call that runs elsewhere is asked for again


class Caller:
    """Calls to a hub, over a line that is kept up."""

    def __init__(self, line: Line, url: str) -> None:
        self._line = line
        self.url = url

    @property
    def welcome(self) -> Welcome:
        """What the hub said of itself and of us."""
        return self._line.welcome

    async def call(
        self,
        op: str,
        params: Mapping[str, JsonValue] | None = None,
        *,
        within: float | None = None,
        key: str | None = None,
        detach: bool | None = None,
    ) -> JsonValue:
        """Ask the hub for an operation, in the words of the wire (camelCase keys).

        ``within``: seconds until the call is given up. ``key``: an idempotency key; the same call
        with the same key has the same answer, whatever is restarted meanwhile. ``detach``: whether
        the work goes on when this process is lost (None: as the operation declares). Cancelling the
        wait aborts the call and all that runs on its behalf.

        A lost link is resumed. Where that fails, the call is asked again if it may be: when its
        operation is idempotent, or it has a key. Raises the CallError it was answered with;
        LinkLost when it is not known whether it happened.
        """
        loop = asyncio.get_running_loop()
        deadline = None if within is None else loop.time() + within
        said = dict(params or {})
        while True:
            link = await self._line.ready(deadline)
            left = None if deadline is None else deadline - loop.time()
            self._line.enter(link)
            try:
                return await self._line.node.ask(
                    link, op, said, within=left, key=key, detach=detach
                )
            except LinkLost:
                if key is None and OWN_KEY not in said and not is_idempotent(op):
                    raise
            except Unavailable as error:
                if error.reason != "CALL_RUNNING":
                    raise
                await asyncio.sleep(random.uniform(0, RUNNING_SECONDS))  # noqa: S311 - jitter
            finally:
                self._line.leave(link)

    async def stream(
        self,
        op: str,
        params: Mapping[str, JsonValue] | None = None,
        *,
        idle: float | None = None,
        on_end: Callable[[JsonValue], None] = lambda _: None,
    ) -> AsyncGenerator[JsonValue]:
        """The items of a stream; ``on_end`` is given its final answer. Leaving early aborts it.

        ``idle``: seconds without an item after which it fails. Raises LinkLost when the link is
        lost and cannot be resumed: only the reader knows from where to read on.
        """
        link = await self._line.ready(None)
        self._line.enter(link)
        try:
            items = self._line.node.stream(link, op, dict(params or {}), idle=idle, on_end=on_end)
            async with aclosing(items):
                async for item in items:
                    yield item
        finally:
            self._line.leave(link)

    async def ask(
        self, op: Op[P, R], given: Mapping[str, object], within: float | None = None
    ) -> R:
        answer = await self.call(op.name, params_of(op, given), within=within)
        return read_answer(op.result, answer)


@asynccontextmanager
async def link(
    url: str | None, token: str | None, name: str, patience: float
) -> AsyncGenerator[tuple[Line, str]]:
    """A line to the hub, hands shaken; closed on the way out. What a Caller is made of.

    Raises what `coord.context.find`, `protocol.aio.dial.dial` and the handshake raise.
    """
    where = find(url, token)
    hello = Hello(
        protocol_version=PROTOCOL_VERSION,
        oldest_version=OLDEST_VERSION,
        role="client",
        name=name,
        version=our_version(),
        resumable=True,
    )
    line = Line(addresses(where.url), where.token, hello, patience)
    try:
        await line.begin()
        yield line, line.url
    finally:
        await line.close()


def is_idempotent(op: str) -> bool:
    """Whether an operation may be asked again when it is not known whether it happened."""
    known = CATALOGUE.get(op)
    return known is not None and known.idempotent


def params_of(op: Op[P, R], given: Mapping[str, object]) -> Object:
    """Parameters as the wire wants them. Raises InvalidArgument (BAD_PARAMS)."""
    said = {key: value for key, value in given.items() if value is not None}
    try:
        params = op.params.model_validate(said)
    except ValidationError as error:
        raise _bad_params(op.name, error) from None
    return cast("Object", params.model_dump(mode="json", by_alias=True, exclude_unset=True))


def read_answer(shape: type[R], answer: JsonValue) -> R:
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        raise Internal(
            "BAD_ANSWER",
            f"the hub's answer is no {shape.__name__}: {_faults(error)}",
            advice="compare `coordctl version` on both sides",
        ) from error


def our_version() -> str:
    try:
        return version("coord")
    except PackageNotFoundError:
        return "0"


def _bad_params(op: str, error: ValidationError) -> InvalidArgument:
    fields: list[JsonValue] = [".".join(map(str, fault["loc"])) for fault in error.errors()]
    return InvalidArgument("BAD_PARAMS", f"{op}: {_faults(error)}", details={"fields": fields})


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)[:5]
    )
