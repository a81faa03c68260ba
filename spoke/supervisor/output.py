"""Reads what the agent says and writes it to the spool, in the order in which it came."""

from __future__ import annotations

import os
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from spoke.spool import Kind
from spoke.supervisor.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from spoke.spool import Writer

_READ_BYTES = 64 * 1024
_LAST_READS = 64  # a stranger who was handed the pipe must not keep us reading for ever


class Stream:
    """One pipe; it is always read, so that the agent never waits for us."""

    def __init__(
        self,
        selector: BaseSelector,
        spool: Writer,
        pipe: int,
        kind: Kind,
        listener: Callable[[bytes], None] | None = None,
    ) -> None:
        self._selector = selector
        self._spool = spool
        self._listener = listener  # hears each chunk once it is written down
        self._pipe = pipe
        self._lines = Lines(kind)
        self._is_open = True
        selector.register(pipe, EVENT_READ, self.on_ready)

    def on_ready(self, _mask: int = 0) -> bool:
        """Take one chunk; False when there is none to take."""
        try:
            chunk = os.read(self._pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._close()
            return False
        self._spool.append(self._lines.feed(chunk))
        if self._listener is not None:
            self._listener(chunk)
        return True

    def drain(self) -> None:
        """Everything is dead: take what is still in the pipe, and the last unfinished line."""
        for _ in range(_LAST_READS):
            if not (self._is_open and self.on_ready()):
                break
        self._close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._selector.unregister(self._pipe)
            os.close(self._pipe)
            self._spool.append(self._lines.finish())
