"""The line to one attempt's supervisor, made again for as long as there is a supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from protocol.errors import ResourceExhausted, Unavailable
from protocol.ops.wire import AnswerOrder
from spoke.core.story import Stop
from spoke.flight import in_thread
from spoke.folder import Folder
from spoke.line import OnSpool
from spoke.process import Supervisor

_LOOK_S: Final = 0.01  #: between looks at a supervisor that lives and does not answer
_FULL_S: Final = 1.0  #: before a message is tried again that the agent had no room for


class Watch:
    def __init__(self, folder: Folder, on_spool: OnSpool) -> None:
        self._folder = folder
        self._on_spool = on_spool
        self._line: Supervisor | None = None

    async def keep(self, on_up: Callable[[], None]) -> bool:
        """Until the supervisor is gone; whether the end is in the spool. ``on_up``: a new line.

        Raises DataLoss when the spool is broken.
        """
        while True:
            try:
                word = await in_thread(self._folder.word)
                self._line = await Supervisor.connect(self._folder.socket, self._on_spool, word)
            except Unavailable:
                pass
            else:
                if await self._attend(self._line, on_up):
                    return True
            ended = await in_thread(self._ending)
            if ended is not None:
                return ended
            await asyncio.sleep(_LOOK_S)

    async def _attend(self, line: Supervisor, on_up: Callable[[], None]) -> bool:
        """Whether it said that it was over."""
        try:
            on_up()
            return await line.wait_gone()
        finally:
            self._line = None
            await line.close()

    def _ending(self) -> bool | None:
        """None while there is a supervisor."""
        return None if self._folder.is_supervised() else self._folder.is_ended()

    async def message(self, id: str, text: str, mode: str) -> None:
        """Say it on the line there is; on the next one it is said again, and arrives once."""
        while (line := self._line) is not None:
            try:
                await line.message(id, text, mode)
            except ResourceExhausted:
                await asyncio.sleep(_FULL_S)
                continue
            except Unavailable:
                pass
            return

    async def answer(self, order: AnswerOrder) -> None:
        """As `message`."""
        if self._line is None:
            return
        try:
            await self._line.answer(order.question, order.decision, order.by, order.message)
        except Unavailable:
            return

    def stop(self, stop: Stop) -> None:
        """Nobody waits for an answer: what comes of it shows in the spool."""
        if self._line is not None:
            self._line.stop(stop)

    def stored(self) -> None:
        """The hub has the end."""
        if self._line is not None:
            self._line.stored()
