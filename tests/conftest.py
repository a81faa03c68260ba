"""Fixtures that any test may ask for."""

from __future__ import annotations

from hypothesis import settings

from tests.support.hubs import client, connections, hub_database, migrated, running_hub, store
from tests.support.postgres import database, postgres_server

# How long one example takes says something about the machine; `--hypothesis-profile` goes before.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

__all__ = [
    "client",
    "connections",
    "database",
    "hub_database",
    "migrated",
    "postgres_server",
    "running_hub",
    "store",
]
