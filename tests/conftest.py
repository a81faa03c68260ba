"""Fixtures that any test may ask for."""

from __future__ import annotations

from tests.support.hubs import client, connections, hub_database, migrated, running_hub, store
from tests.support.postgres import database, postgres_server

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
