"""HTTP on the socket, with limits on the head of a request: its bytes, its fields, its time.

uvicorn waits for the end of a request's head for ever, and takes one of any size.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS: Final = 5.0
HEAD_BYTES: Final = 32 * 1_024
HEAD_FIELDS: Final = 100
URL_BYTES: Final = 8 * 1_024
LINGER_SECONDS: Final = 1.0


class BoundedHttp(HttpToolsProtocol):
    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _in_body = False
    _done = False  # the last answer was given; what still comes is not read
    _fed = 0  # bytes since the head began
    _size = 0  # of its fields
    _status = 400  # what a broken request is answered with

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._done or self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head and not self._done:
            self._fed += len(data)
            if self._fed > HEAD_BYTES:
                self._status = 431 if self.headers else 400
                self.send_400_response("the head of the request is too large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = self._fed = 0
        if not self._in_head:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        self._stop_clock()
        if len(self.headers) > HEAD_FIELDS or self._size > HEAD_BYTES:
            self._status = 431
            raise ValueError("the head of the request is too large")
        if len(self.url) > URL_BYTES:
            raise ValueError("the URL is too long")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body:  # it was refused before it was read
            self._linger()

    def send_400_response(self, msg: str) -> None:
        """The last thing that is said on this connection."""
        body = b'{"reason":"BAD_REQUEST","message":"this is not a request that can be answered"}'
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([STATUS_LINE[self._status], *lines, b"\r\n", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._done = True
        self._linger()

    def _linger(self) -> None:
        """Close a little later: data that is not read when a socket is closed takes the answer
        with it."""
        self._stop_clock()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _await_head(self) -> None:
        self._in_head = True
        self._stop_clock()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self._fed:
            self._status = 408
            self.send_400_response("the head of the request did not come in time")
        else:
            self.transport.close()
