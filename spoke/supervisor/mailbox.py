"""Messages on their way to the agent's stdin: queued, written without blocking, never twice."""

from __future__ import annotations

import os
from collections import deque
from selectors import EVENT_WRITE
from typing import TYPE_CHECKING, NamedTuple

from spoke.spool import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from selectors import BaseSelector

    Note = Callable[[Kind, Mapping[str, object]], None]

QUEUE_BYTES = 16 * 1024 * 1024


class Letter(NamedTuple):
    """``id`` is None for what nobody asked to be told of: the greeting, an agent's own protocol."""

    id: str | None
    text: bytes
    answer: Callable[[str], None]
    mode: str = "queue"


class Mailbox:
    """One agent's stdin. A message is delivered once all of it and a newline are in the pipe."""

    def __init__(self, selector: BaseSelector, note: Note, stdin: int | None) -> None:
        self._selector = selector
        self._note = note
        self._stdin = stdin
        self._queue: deque[Letter] = deque()
        self._written = 0  # bytes of the first letter that are in the pipe already
        self._bytes = 0
        self._delivered: set[str] = set()
        self._refused: set[str] = set()
        self._greets_only = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    def greet(self, text: str, *, then_close: bool) -> None:
        self._greets_only = then_close
        self._enqueue(Letter(None, _line(text), _nobody))

    def post(self, id: str, text: str, answer: Callable[[str], None]) -> None:
        """Answers delivered, duplicate, closed (no stdin any more) or full, now or later."""
        line = _line(text)
        if id in self._delivered:
            answer("duplicate")
        elif self._stdin is None or self._greets_only:
            self._refuse(Letter(id, line, answer))
        elif self._bytes + len(line) > QUEUE_BYTES:
            answer("full")
        else:
            self._enqueue(Letter(id, line, answer))

    def send(self, text: str, id: str | None, mode: str) -> None:
        """A line of a conversation; with it the message ``id`` is delivered, in this mode."""
        letter = Letter(id, _line(text), _nobody, mode)
        if self._stdin is None:
            self._refuse(letter)
        else:
            self._enqueue(letter)

    def finish(self) -> None:
        """Close it once all that was sent is in the pipe."""
        self._greets_only = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """The agent is gone, or it closed its stdin: what is queued will not arrive."""
        if self._stdin is not None:
            self._watch(on=False)
            os.close(self._stdin)
            self._stdin = None
        while self._queue:
            self._refuse(self._queue.popleft())
        self._bytes = 0

    def on_ready(self, _mask: int = 0) -> None:
        """Write as much as the pipe takes."""
        while self._queue and self._stdin is not None:
            letter = self._queue[0]
            if letter.id not in self._delivered:
                try:
                    self._written += os.write(self._stdin, letter.text[self._written :])
                except BlockingIOError:
                    self._watch(on=True)
                    return
                except BrokenPipeError:
                    self.close()
                    return
                if self._written < len(letter.text):
                    continue
            self._settle(self._queue.popleft())
        self._watch(on=False)
        if self._greets_only:
            self.close()

    def _enqueue(self, letter: Letter) -> None:
        self._queue.append(letter)
        self._bytes += len(letter.text)
        if len(self._queue) == 1:
            self.on_ready()

    def _settle(self, letter: Letter) -> None:
        self._written = 0
        self._bytes -= len(letter.text)
        if letter.id in self._delivered:  # the same message was queued twice
            letter.answer("duplicate")
            return
        if letter.id is not None:
            self._delivered.add(letter.id)
            self._note(Kind.DELIVERED, {"messageId": letter.id, "mode": letter.mode})
        letter.answer("delivered")

    def _refuse(self, letter: Letter) -> None:
        if letter.id is not None and letter.id not in self._refused:
            self._refused.add(letter.id)
            self._note(Kind.UNDELIVERED, {"messageId": letter.id})
        letter.answer("closed")

    def _watch(self, *, on: bool) -> None:
        if self._stdin is None:
            return
        watched = self._stdin in self._selector.get_map()
        if on and not watched:
            self._selector.register(self._stdin, EVENT_WRITE, self.on_ready)
        elif watched and not on:
            self._selector.unregister(self._stdin)


def _nobody(_state: str) -> None:
    """Nobody waits for the answer."""


def _line(text: str) -> bytes:
    return text.encode("utf-8", "replace") + b"\n"
