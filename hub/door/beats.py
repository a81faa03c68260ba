"""A sign of life beside the link: a spoke whose loop is stuck asks for one small page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from websockets.http11 import Request, Response

from hub.door.gate import Gate, Knock
from hub.door.replies import page, refusal
from protocol.errors import CallError, FailedPrecondition, PermissionDenied
from protocol.limits import EPOCH_HEADER
from protocol.ops.catalogue import Role

Beaten = Callable[[str, int], Awaitable[bool]]


async def nobody(_spoke: str, _epoch: int) -> bool:
    """There is nobody yet who could write it down."""
    return False


async def take_beat(gate: Gate, beaten: Beaten, request: Request, address: str) -> Response:
    """A spoke lives, although its link is silent; it says for which connection."""
    headers = request.headers
    knock = Knock(headers.get_all("Authorization"), headers.get_all("Origin"), "", address)
    epoch = headers.get(EPOCH_HEADER, "")
    try:
        principal = await gate.admit(knock)
        if principal.role is not Role.SPOKE:
            raise PermissionDenied("FORBIDDEN", "only a spoke has a pulse")
        number = int(epoch) if epoch.isdecimal() and len(epoch) < 16 else -1
        if not await beaten(principal.id, number):
            raise FailedPrecondition("STALE_EPOCH", "that connection is not the newest")
    except CallError as error:
        return refusal(error)
    return page(HTTPStatus.OK, {"heard": True})
