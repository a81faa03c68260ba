"""Fixtures that any test may ask for; and how hypothesis is run: by no clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

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

# An example that takes 0.2 s, or data that take a second, are no fault where the machine had other
# things to do. What else holds (hypothesis has a profile for CI) goes on holding;
# `--hypothesis-profile` goes before.
settings.register_profile(
    "by no clock", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("by no clock")
