"""The only room that speaks SQL."""

from __future__ import annotations

from hub.store.access import Access
from hub.store.exchange import Exchange, Outbox
from hub.store.fleet import Fleet
from hub.store.keys import Keys
from hub.store.policy import Policy
from hub.store.postgres import Postgres
from hub.store.questions import Questions
from hub.store.resuming import Resuming
from hub.store.sessions import Sessions
from hub.store.spawning import Spawner
from hub.store.usage import Usages

__all__ = [
    "Access",
    "Exchange",
    "Fleet",
    "Keys",
    "Outbox",
    "Policy",
    "Postgres",
    "Questions",
    "Resuming",
    "Sessions",
    "Spawner",
    "Store",
    "Usages",
]


class Store:
    """All that the hub remembers, by room."""

    def __init__(self, postgres: Postgres) -> None:
        self.spawner = Spawner(postgres)
        self.sessions = Sessions(postgres)
        self.exchange = Exchange(postgres)
        self.outbox = Outbox(postgres)
        self.access = Access(postgres)
        self.fleet = Fleet(postgres)
        self.keys = Keys(postgres)
        self.resuming = Resuming(postgres)
        self.policy = Policy(postgres)
        self.usage = Usages(postgres)
        self.questions = Questions(postgres)
