"""What a hub knows of its own health: shown in metrics and to whoever asks why nothing happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Health:
    listening: bool = False  #: word from other hubs arrives; else they are polled
    deaf: int = 0  #: how often LISTEN was found dead
    leads: bool = False
    term: int = 0
    doubt: str | None = None  #: why the reaper does not act, where it could
    refusals: int = 0  #: of the reaper
    away_since: datetime | None = None  #: the database does not answer
    draining: bool = False
    others: list[str] = field(default_factory=list[str])  #: where other hubs may be reached
