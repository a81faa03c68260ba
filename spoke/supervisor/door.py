"""The unix socket of a supervisor: JSON lines in, answers and the spool's last number out.

A request with an ``id`` is answered. The last word, where all is well, is that it is over.
"""

from __future__ import annotations

import json
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, cast

from spoke.supervisor.assignment import encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from selectors import BaseSelector

    from spoke.supervisor.doorway import Doorway

    Request = dict[str, object]
    Answer = Callable[[Mapping[str, object]], None]

_LINE_BYTES = 20 * 1024 * 1024
_UNREAD_BYTES = 1024 * 1024
_FAREWELL_S = 1.0
_VISITORS = 64
_OVER = b'{"over":true}\n'


class Door:
    """Hands each request that comes through the doorway to ``on_request`` with its answer.

    Each has to carry the ``word``: an agent is of the same user, and no sandbox keeps it from here.
    """

    def __init__(
        self,
        doorway: Doorway,
        selector: BaseSelector,
        on_request: Callable[[Request, Answer], None],
        word: str = "",
    ) -> None:
        self._doorway = doorway
        self._selector = selector
        self._on_request = on_request
        self._word = word
        self._visitors: dict[Visitor, None] = {}  # in the order in which they came
        self._pushed = 0
        self._news = _news(0, ended=False)
        selector.register(doorway.listener, EVENT_READ, self._on_visitor)

    def push(self, seq: int, *, ended: bool = False) -> None:
        """Tell everybody how far the spool goes; once per turn, and only when it grew.

        ``ended``: there it ends.
        """
        if seq == self._pushed:
            return
        self._pushed, self._news = seq, _news(seq, ended=ended)
        for visitor in list(self._visitors):
            visitor.push(self._news)

    def flush(self) -> None:
        for visitor in list(self._visitors):
            visitor.flush()

    @property
    def is_visited(self) -> bool:
        return bool(self._visitors)

    def close(self, *, over: bool) -> None:
        """Say the last words, also to those who still wait at the door. To hang up is left to the
        end of this process, which follows. ``over``: the end is in the spool, and will last.
        """
        self._doorway.unlink()
        while self._admit():
            pass
        for visitor in list(self._visitors):
            visitor.say_last(_OVER if over else b"")

    def _on_visitor(self, _mask: int) -> None:
        self._admit()

    def _admit(self) -> bool:
        try:
            connection, _ = self._doorway.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        while len(self._visitors) >= _VISITORS:  # a newcomer, the next daemon, always gets in
            next(iter(self._visitors)).part()
        visitor = Visitor(connection, self._selector, self._hear, self._forget)
        self._visitors[visitor] = None
        visitor.push(self._news)
        return True

    def _hear(self, request: Request, answer: Answer) -> None:
        if request.pop("word", "") == self._word:
            self._on_request(request, answer)
        else:
            answer({"ok": False, "reason": "NOT_ADMITTED"})

    def _forget(self, visitor: Visitor) -> None:
        self._visitors.pop(visitor, None)


class Visitor:
    """One connection."""

    def __init__(
        self,
        connection: socket.socket,
        selector: BaseSelector,
        on_request: Callable[[Request, Answer], None],
        on_gone: Callable[[Visitor], None],
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._selector = selector
        self._on_request = on_request
        self._on_gone = on_gone
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._unpushed = b""
        self._is_open = True
        selector.register(connection, EVENT_READ, self._on_ready)

    def push(self, news: bytes) -> None:
        """A slow reader gets the latest number once it has read the rest, not all of them."""
        self._unpushed = news

    def flush(self) -> None:
        """Send what the socket takes; a visitor who lets too much pile up is sent away."""
        if self._is_open and not self._outbox:
            self._outbox += self._unpushed
            self._unpushed = b""
        if not self._is_open or not self._outbox:
            return
        try:
            del self._outbox[: self._connection.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        if len(self._outbox) > _UNREAD_BYTES:
            self._close()
            return
        events = EVENT_READ | EVENT_WRITE if self._outbox else EVENT_READ
        self._selector.modify(self._connection, events, self._on_ready)

    def part(self) -> None:
        self.say_last()
        self._close()

    def say_last(self, word: bytes = b"") -> None:
        if not self._is_open:
            return
        self._outbox += self._unpushed + word
        self._connection.settimeout(_FAREWELL_S)
        try:
            self._connection.sendall(self._outbox)
        except OSError:
            self._outbox.clear()  # gone already: there is nobody to tell

    def _on_ready(self, mask: int) -> None:
        if mask & EVENT_READ and self._is_open:
            self._take()
        self.flush()

    def _take(self) -> None:
        try:
            chunk = self._connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk or len(self._inbox) > _LINE_BYTES:
            self._close()
            return
        *lines, rest = (self._inbox + chunk).split(b"\n")
        self._inbox = rest
        for line in lines:
            self._handle(line)

    def _handle(self, line: bytearray) -> None:
        request = _decode(line)
        if request is None:
            self._outbox += b'{"ok":false,"reason":"BAD_REQUEST"}\n'
            return
        id = request.get("id")

        def answer(body: Mapping[str, object]) -> None:
            if self._is_open and id is not None:  # else nobody waits for it
                self._outbox += encode({"id": id, **body}) + b"\n"

        self._on_request(request, answer)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._selector.unregister(self._connection)
            self._connection.close()
            self._on_gone(self)


def _news(seq: int, *, ended: bool) -> bytes:
    return encode({"spool": seq, "ended": ended}) + b"\n"


def _decode(line: bytes | bytearray) -> Request | None:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("Request", value) if isinstance(value, dict) else None
