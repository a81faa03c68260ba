"""Whether this hub leads: reaps, watches deadlines, tidies. One does; two would do no harm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from hub.health import Health
from hub.store.fleet import LEAD_SECONDS, Fleet

logger = logging.getLogger(__name__)

MARGIN_SECONDS: Final = 2.0  #: for which we stop trusting a lead before others may take it


class Leader:
    """``clock`` is monotonic. The lead counts from before it was asked for: no answer that was
    long on its way makes it longer than the database's own."""

    def __init__(
        self, fleet: Fleet, instance: str, health: Health, clock: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._instance = instance
        self._health = health
        self._clock = clock
        self._term: int | None = None
        self._until = 0.0
        self.since = clock()

    @property
    def term(self) -> int | None:
        """The term that we lead in. None: another hub leads, or we can no longer be sure."""
        return self._term if self._clock() < self._until else None

    async def renew(self) -> None:
        """Raises Unavailable when the database is away."""
        asked_at, before = self._clock(), self.term
        term = await self._fleet.lead(self._instance)
        if term is not None and term != before:
            self.since = self._clock()
            logger.info("this hub leads now, term %d", term)
        if term is None and before is not None:
            logger.warning("another hub leads now")
        self._term, self._until = term, asked_at + LEAD_SECONDS - MARGIN_SECONDS
        self._health.leads, self._health.term = term is not None, term or 0

    async def leave(self) -> None:
        """Let another hub lead at once."""
        if self._term is not None:
            self._term = None
            self._health.leads = False
            await self._fleet.leave_lead(self._instance)
