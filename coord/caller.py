"""The engine of every client: one link to a hub, calls by name, answers as they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeVar, cast

from pydantic import BaseModel, JsonValue, ValidationError

from coord.context import find
from protocol.aio.dial import address, dial
from protocol.aio.node import Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.errors import Internal, InvalidArgument
from protocol.handshake import INITIALIZE, Hello, Welcome
from protocol.limits import INITIALIZE_SECONDS, PROTOCOL_VERSION
from protocol.ops import Op
from protocol.ops.shapes import Params
from protocol.switchboard import LinkId

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=BaseModel)

_HUB: Final = LinkId("hub")


class Caller:
    """Calls over one link. ``welcome`` is what the hub said of itself and of us."""

    def __init__(self, node: Node, welcome: Welcome, url: str) -> None:
        self._node = node
        self.welcome = welcome
        self.url = url

    async def call(
        self,
        op: str,
        params: Mapping[str, JsonValue] | None = None,
        *,
        within: float | None = None,
    ) -> JsonValue:
        """Ask the hub for an operation, in the words of the wire (camelCase keys).

        ``within``: seconds until the hub gives the call up. Cancelling the wait aborts the call
        and all that runs on its behalf. Raises the CallError it was answered with; LinkLost.
        """
        return await self._node.ask(_HUB, op, dict(params or {}), within=within)

    def stream(
        self,
        op: str,
        params: Mapping[str, JsonValue] | None = None,
        *,
        on_end: Callable[[JsonValue], None] = lambda _: None,
    ) -> AsyncGenerator[JsonValue]:
        """The items of a stream; ``on_end`` is given its final answer. Leaving early aborts it."""
        return self._node.stream(_HUB, op, dict(params or {}), on_end=on_end)

    async def ask(
        self, op: Op[P, R], given: Mapping[str, object], within: float | None = None
    ) -> R:
        answer = await self.call(op.name, params_of(op, given), within=within)
        return read_answer(op.result, answer)


@asynccontextmanager
async def link(
    url: str | None, token: str | None, name: str
) -> AsyncGenerator[tuple[Node, Welcome, str]]:
    """A link to the hub, hands shaken; closed on the way out. What a Caller is made of.

    Raises what `coord.context.find`, `protocol.aio.dial.dial` and the handshake raise.
    """
    where = find(url, token)
    to = address(where.url)
    async with dial(to, f"Bearer {where.token}") as websocket:
        node = Node()
        listening = asyncio.create_task(node.attach(_HUB, WebsocketWire(websocket)), name="link")
        try:
            await asyncio.sleep(0)  # the link exists once its task has taken its first step
            yield node, await _shake_hands(node, name), str(to)
        finally:
            await websocket.close()
            await listening


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


async def _shake_hands(node: Node, name: str) -> Welcome:
    hello = Hello(
        protocol_version=PROTOCOL_VERSION, role="client", name=name, version=our_version()
    )
    said = cast("Object", hello.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    return read_answer(Welcome, await node.ask(_HUB, INITIALIZE, said, within=INITIALIZE_SECONDS))


def _bad_params(op: str, error: ValidationError) -> InvalidArgument:
    fields: list[JsonValue] = [".".join(map(str, fault["loc"])) for fault in error.errors()]
    return InvalidArgument("BAD_PARAMS", f"{op}: {_faults(error)}", details={"fields": fields})


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)[:5]
    )
