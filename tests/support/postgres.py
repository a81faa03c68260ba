"""A PostgreSQL server for the whole test run, and a new empty database for each test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster, Endpoint

_MEMORY: Final = Path("/dev/shm")
_ENOUGH: Final = 4 << 30  #: bytes; a server of a test run holds some 300 MB, and there are several

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Endpoint]:
    """One server, without fsync, gone with the test run. In memory if there is plenty of it: each
    database is 300 files, which come and go with each test.
    """
    # Its own loop, since those of the tests end with each test; not made the current one.
    with (
        tempfile.TemporaryDirectory(prefix="coord-test-", dir=_memory()) as folder,
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        cluster = Cluster(Path(folder), find(), durable=False)
        endpoint = runner.run(cluster.start())
        try:
            yield endpoint
        finally:
            runner.run(cluster.stop())


@pytest.fixture
async def database(postgres_server: Endpoint) -> AsyncGenerator[str]:
    """The dsn of an empty new database."""
    async with fresh_database(postgres_server) as dsn:
        yield dsn


@contextlib.asynccontextmanager
async def fresh_database(server: Endpoint, *, template: str | None = None) -> AsyncGenerator[str]:
    """The dsn of a new database, empty or a copy of the database named `template`.

    It is dropped afterwards, with whatever connections are left in it. Nobody may be connected
    to the template meanwhile; `database_name(dsn)` gives the name of one made here.
    """
    name = f"test_{os.getpid()}_{next(_numbers)}"
    # As files: through the log, which is the default, a copy costs eight times as much.
    await _administer(
        server,
        f'CREATE DATABASE {name} TEMPLATE "{template or "template1"}" STRATEGY FILE_COPY',
    )
    try:
        yield server.dsn_of(name)
    finally:
        await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def database_name(dsn: str) -> str:
    """The database that a dsn of ours names."""
    return dsn.partition("@/")[2].partition("?")[0]


def _memory() -> Path | None:
    """Where files are memory, with room for what tests need; None: nowhere."""
    if sys.platform != "linux" or not os.access(_MEMORY, os.W_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _ENOUGH else None


async def _administer(server: Endpoint, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn_of("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
