"""One connection for LISTEN and NOTIFY, apart from the pool: topics in, topics out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from hub.store import queries
from hub.store.trouble import translated

CHANNEL: Final = "coord"
PAYLOAD_BYTES: Final = 7_900  #: Postgres takes less than 8,000
CONNECT_SECONDS: Final = 10.0

Heard = Callable[[str, list[str]], None]  #: which hub says it, and the topics


class Ear:
    """Open while the connection is."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection
        self._speaking = asyncio.Lock()  # a connection runs one statement at a time
        self.closed = asyncio.Event()
        connection.add_termination_listener(lambda _: self.closed.set())

    async def say(self, instance: str, topics: Iterable[str]) -> None:
        """Raises Unavailable when the connection is lost."""
        async with self._speaking:
            await queries.say_to_hubs.all(self._connection, list(payloads(instance, topics)))


@asynccontextmanager
async def listening(dsn: str, heard: Heard) -> AsyncGenerator[Ear]:
    """Raises Unavailable when the database is away."""
    with translated():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"search_path": "coord", "application_name": "coord-hub-ear"},
        )
    try:
        ear = Ear(connection)
        with translated():
            await connection.add_listener(CHANNEL, _listener(heard))
        yield ear
    finally:
        # A server that is gone answers no goodbye.
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=1)


def payloads(instance: str, topics: Iterable[str]) -> Iterator[str]:
    """The topics in as few texts as may be, each with who says it; ids have no spaces."""
    text = instance
    for topic in topics:
        if len(text) + 1 + len(topic) > PAYLOAD_BYTES:
            yield text
            text = instance
        text += f" {topic}"
    if text != instance:
        yield text


def _listener(heard: Heard) -> Callable[..., None]:
    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        instance, *topics = str(payload).split(" ")
        heard(instance, topics)

    return hear
