"""The hub in figures, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from hub.desk import Desk
from protocol.session import ENDED, State


class Metrics:
    def __init__(self, desk: Desk, version: str) -> None:
        self._desk = desk
        self._started = time.monotonic()
        registry = self._registry = CollectorRegistry(auto_describe=True)
        self._sessions = Gauge(
            "coord_sessions", "Live sessions, by state", ["state"], registry=registry
        )
        self._spokes = Gauge("coord_spokes", "Spokes, by state", ["state"], registry=registry)
        self._links = Gauge("coord_links", "Open links to this hub", registry=registry)
        self._calls = Gauge(
            "coord_calls_in_flight", "Calls that are not answered yet", registry=registry
        )
        self._hub = Gauge(
            "coord_hub",
            "This hub: 1 where it is so",
            ["is"],
            registry=registry,
        )
        self._refusals = Gauge(
            "coord_reaper_refusals", "Looks at which the reaper did not act", registry=registry
        )
        self._deaf = Gauge(
            "coord_listen_deaf", "How often LISTEN was found dead", registry=registry
        )
        self._uptime = Gauge(
            "coord_uptime_seconds", "Since the start of this hub", registry=registry
        )
        info = Gauge("coord_info", "What runs here", ["version", "hub"], registry=registry)
        info.labels(version, desk.hub_id).set(1)

    async def text(self) -> bytes:
        """Raises Unavailable when the database is away."""
        desk = self._desk
        live = await desk.store.access.live_by_state()
        spokes = await desk.store.exchange.spokes()
        online = sum(row.online for row in spokes)
        for state in State:
            if state not in ENDED:
                self._sessions.labels(str(state)).set(live.get(state, 0))
        self._spokes.labels("online").set(online)
        self._spokes.labels("offline").set(len(spokes) - online)
        self._links.set(desk.links.count())
        self._calls.set(len(desk.links.node.in_flight()))
        health = desk.health
        for name, is_so in (
            ("listening", health.listening),
            ("leading", health.leads),
            ("reaper_waiting", health.doubt is not None),
            ("draining", health.draining),
        ):
            self._hub.labels(name).set(is_so)
        self._refusals.set(health.refusals)
        self._deaf.set(health.deaf)
        self._uptime.set(time.monotonic() - self._started)
        return generate_latest(self._registry)
