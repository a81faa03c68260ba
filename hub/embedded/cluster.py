"""One embedded PostgreSQL server: started as our child, stopped with us, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg

from hub.embedded.binaries import Binaries
from hub.embedded.child import failure, kill_session, spawn
from hub.embedded.creation import check_version, create
from hub.embedded.layout import DATABASE, Endpoint, Layout, make_private, rotate
from hub.embedded.orphans import is_ready, stop_orphans
from hub.embedded.owner import Owner
from hub.embedded.settings import server_arguments
from protocol.errors import DeadlineExceeded, FailedPrecondition

__all__ = ["Cluster", "Endpoint"]

START_S: Final = 60.0

_FAST_S: Final = 20.0  #: a fast shutdown: ends the connections and writes a checkpoint
_IMMEDIATE_S: Final = 5.0
_POLL_S: Final = 0.004
_LOG_TAIL: Final = 4096


class Cluster:
    """The server on one data directory.

    Promises: (1) it takes connections on a unix socket that only our user can reach, with a
    password; (2) what was committed survives a kill -9 of everything, if `durable`; (3) it shuts
    down when the thread that started it dies, so start it from the main one; (4) one `Cluster`
    at a time has the directory.
    """

    def __init__(
        self,
        data: Path,
        binaries: Binaries,
        *,
        durable: bool = True,
        runtime: Path | None = None,
    ) -> None:
        """`runtime` takes the socket if its path below `data` is too long (default: the temporary
        directory). `durable=False` gives up promise 2 for speed. Raises FailedPrecondition.
        """
        self.layout = Layout.of(data, runtime)
        self._binaries = binaries
        self._durable = durable
        # Not the name that a caller's own lock of the same directory would have.
        self._owner = Owner(self.layout.root, "cluster.lock")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Endpoint:
        """Start the server, making cluster and database if they are missing.

        Raises Conflict (ALREADY_RUNNING), FailedPrecondition (WRONG_PG_VERSION, NOT_A_CLUSTER,
        PASSWORD_MISSING, PASSWORD_REFUSED, NO_USER_NAMESPACE, POSTGRES_FAILED), PermissionDenied,
        DeadlineExceeded (POSTGRES_SLOW). After a failure nothing runs.
        """
        self._owner.__enter__()
        try:
            async with asyncio.timeout(START_S):
                return await self._start()
        except TimeoutError:
            await self.stop()
            raise DeadlineExceeded(
                "POSTGRES_SLOW",
                f"PostgreSQL did not start within {START_S:.0f} s",
                advice=f"look into {self.layout.log}",
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut down and see it dead (bounded: fast, then immediate, then killed)."""
        if self._process is not None:
            await _end(self._process)
            self._process = None
        self._owner.__exit__(None, None, None)
        with contextlib.suppress(OSError):
            self.layout.sockets.rmdir()

    async def wait_died(self) -> int:
        """Return once the running server has ended, with its exit status (-9 for a kill)."""
        if self._process is None:
            raise FailedPrecondition("POSTGRES_STOPPED", "the server was not started")
        return await self._process.wait()

    async def _start(self) -> Endpoint:
        await _finish(self._prepare)
        if self.layout.cluster.exists():
            await _finish(lambda: check_version(self.layout, self._binaries))
        else:
            await create(self.layout, self._binaries, durable=self._durable)
        endpoint = self.layout.endpoint()
        await self._launch()
        await _ensure_database(endpoint)
        return endpoint

    def _prepare(self) -> None:
        make_private(self.layout.root, forbidden=0o022)
        make_private(self.layout.sockets)
        stop_orphans(self.layout.cluster, self.layout.sockets)
        rotate(self.layout.log)

    async def _launch(self) -> None:
        program = self._binaries.bin / "postgres"
        arguments = server_arguments(self.layout, self._binaries.major, durable=self._durable)
        log = os.open(self.layout.log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(log, "ab") as output:
            before = os.fstat(log).st_size
            process = self._process = await spawn([str(program), *arguments], output)
        while not is_ready(self.layout.cluster, process.pid):
            if process.returncode is not None:
                raise failure(program, process.returncode, self._said(before))
            await asyncio.sleep(_POLL_S)

    def _said(self, since: int) -> str:
        """The end of what was logged after byte `since`."""
        with self.layout.log.open("rb") as log:
            log.seek(max(since, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            return log.read().decode(errors="replace")


async def _finish(work: Callable[[], None]) -> None:
    """Run `work` in a thread, and wait for its end even if cancelled: it still needs our lock."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    for number, within in ((signal.SIGINT, _FAST_S), (signal.SIGQUIT, _IMMEDIATE_S)):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), within)
            return
    await kill_session(process)


async def _ensure_database(endpoint: Endpoint) -> None:
    """Raises FailedPrecondition (PASSWORD_REFUSED)."""
    try:
        connection = await asyncpg.connect(endpoint.dsn)
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(endpoint.dsn_of("postgres"))
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    except asyncpg.InvalidPasswordError as error:
        raise FailedPrecondition(
            "PASSWORD_REFUSED",
            f"the cluster below {endpoint.sockets.parent} does not accept the password beside it",
            advice="restore the file `password` from a backup",
        ) from error
    await connection.close()
