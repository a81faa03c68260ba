"""The port of the call protocol before there is a websocket: its socket, plain HTTP answers."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Response

from protocol.aio.dial import keep_noticing
from protocol.codec import encode
from protocol.errors import CallError, Unauthenticated

_STATUS: Final[Mapping[str, HTTPStatus]] = {
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
}


def refusal(error: CallError) -> Response:
    status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
    extra = (
        {} if error.retry_after_ms is None else {"Retry-After": f"{error.retry_after_ms // 1000}"}
    )
    if isinstance(error, Unauthenticated):
        extra["WWW-Authenticate"] = "Bearer"
    body = {"reason": error.reason, "message": error.message, "advice": error.advice}
    return page(status, body, extra)


def page(
    status: HTTPStatus, body: Mapping[str, object], extra: Mapping[str, str] | None = None
) -> Response:
    text = encode(body)
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": f"{len(text)}",
            "Connection": "close",
        }
    )
    headers.update(extra or {})
    return Response(status.value, status.phrase, headers, text)


def listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, where = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keep_noticing(sock)  # accepted sockets inherit it
        sock.bind(where)
        sock.listen(1_024)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
