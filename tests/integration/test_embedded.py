"""The embedded PostgreSQL, for real: starts, deaths, second owners, and who may read what."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import asyncpg
import pytest

from hub.embedded import child
from hub.embedded.binaries import Binaries, find, installed
from hub.embedded.cluster import Cluster, Endpoint
from hub.embedded.layout import Layout, make_private
from hub.embedded.orphans import postmaster_pid, stop_orphans
from hub.embedded.owner import Owner
from hub.embedded.settings import server_arguments
from protocol.errors import CallError, Conflict, FailedPrecondition, PermissionDenied
from tests.support.postgres import database_name, fresh_database

OWNER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.embedded.owner import Owner

async def main(data):
    with Owner(data):
        endpoint = await Cluster(data, find()).start()
        connection = await asyncpg.connect(endpoint.dsn)
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (1)")
        print("committed", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return find()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, binaries: Binaries) -> Generator[Path]:
    """A data directory that holds a stopped cluster."""
    folder = tmp_path_factory.mktemp("made")
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        cluster = Cluster(folder, binaries, durable=False)
        runner.run(cluster.start())
        runner.run(cluster.stop())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path: Path, made: Path) -> Generator[Path]:
    """A copy of it, to spare most tests an initdb."""
    folder = tmp_path / "pg"
    subprocess.run(["cp", "-r", made, folder], check=True)  # a third of the time of copytree
    yield folder
    stop_orphans(folder / "cluster", folder / "run")  # a killed owner's may still be on its way
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def running(cluster: Cluster) -> AsyncGenerator[Endpoint]:
    endpoint = await cluster.start()
    try:
        yield endpoint
    finally:
        await cluster.stop()


@contextlib.contextmanager
def owner_process(data: Path) -> Generator[subprocess.Popen[str]]:
    """A process that owns `data` and has committed one row; killed with -9 at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data)], stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "committed\n"
            yield owner
        finally:
            owner.kill()


def server_pid(data: Path) -> int:
    pid = postmaster_pid(data / "cluster")
    assert pid is not None
    return pid


def shared_memory(data: Path) -> set[str]:
    """What the processes of the running server share: files by their names, a segment by its id.

    If it is killed they stay, until a server is started in the same directory.
    """
    leader = server_pid(data)
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    shared = {(data / "cluster" / "postmaster.pid").read_text().splitlines()[6].split()[1]}
    for pid in (leader, *children):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that was ending
            maps = Path(f"/proc/{pid}/maps").read_text()
            shared.update(re.findall(r"/dev/shm/(PostgreSQL\.\d+)", maps))
    return shared


def still_shared(those: set[str]) -> set[str]:
    table = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    files = {path.name for path in Path("/dev/shm").iterdir()}
    return those & (files | {line.split()[1] for line in table})


def wait_gone(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(30_000), "still running"
    os.close(pidfd)


async def query(endpoint: Endpoint, statement: str) -> object:
    connection = await asyncpg.connect(endpoint.dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_cold_start_gives_a_durable_private_server(
    tmp_path: Path, binaries: Binaries
) -> None:
    data = tmp_path / "pg"
    async with running(Cluster(data, binaries)) as endpoint:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await query(endpoint, f"SHOW {setting}") == "on"
        assert await query(endpoint, "SHOW listen_addresses") == ""
        assert await query(endpoint, "SELECT current_database()") == "coord"
        assert mode(data) == mode(endpoint.sockets) == mode(data / "cluster") == 0o700
        assert mode(data / "password") == mode(data / "postgres.log") == 0o600
        assert mode(endpoint.sockets / ".s.PGSQL.5432") == 0o700
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(endpoint.dsn.replace(endpoint.password, "guess"))
        assert endpoint.password not in repr(endpoint)
        pid = os.pidfd_open(server_pid(data))
    wait_gone(pid)
    assert not list(data.glob("cluster.new*"))


async def test_warm_start_keeps_rows_and_address(data: Path, binaries: Binaries) -> None:
    async with running(Cluster(data, binaries)) as first:
        await query(first, "CREATE TABLE kept AS SELECT 7 AS n")
    async with running(Cluster(data, binaries)) as second:
        assert await query(second, "SELECT n FROM kept") == 7
        assert second == first


async def test_server_shuts_down_cleanly_when_its_owner_is_killed(
    data: Path, binaries: Binaries
) -> None:
    with owner_process(data) as owner:
        pidfd = os.pidfd_open(server_pid(data))
        owner.kill()
        wait_gone(pidfd)
    log = (data / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")
    async with running(Cluster(data, binaries)) as endpoint:
        assert await query(endpoint, "SELECT count(*) FROM kept") == 1


async def test_start_right_after_a_killed_owner(data: Path, binaries: Binaries) -> None:
    for kills in (1, 2):
        with owner_process(data) as owner:
            owner.kill()
            owner.wait()
            async with running(Cluster(data, binaries)) as endpoint:
                assert await query(endpoint, "SELECT count(*) FROM kept") == kills


@pytest.mark.parametrize("everything", [True, False], ids=["everything", "postmaster"])
async def test_recovers_after_kill(data: Path, binaries: Binaries, everything: bool) -> None:
    with owner_process(data) as owner:
        shared = shared_memory(data)
        leader = server_pid(data)
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        os.kill(leader, signal.SIGKILL)
        for pid in children if everything else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        owner.kill()
    assert (data / "cluster" / "postmaster.pid").exists()
    async with running(Cluster(data, binaries)) as endpoint:
        assert await query(endpoint, "SELECT count(*) FROM kept") == 1
    assert "automatic recovery in progress" in (data / "postgres.log").read_text()
    assert len(shared) > 1
    assert still_shared(shared) == set()


async def test_stale_pid_file_that_names_another_process(data: Path, binaries: Binaries) -> None:
    async with running(Cluster(data, binaries)):
        pid_file = data / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["sleep", "600"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        async with running(Cluster(data, binaries)):
            assert stranger.poll() is None
        stranger.kill()


async def test_living_orphan_is_shut_down_first(data: Path, binaries: Binaries) -> None:
    layout = Layout.of(data)
    async with running(Cluster(data, binaries)) as endpoint:
        await query(endpoint, "CREATE TABLE kept AS SELECT 7 AS n")
    make_private(layout.sockets)
    server = [str(binaries.bin / "postgres")]
    server += server_arguments(layout, binaries.major, durable=True)
    immortal = child.launch_command(["/usr/bin/env", sys.executable, "-c", UNTIE, *server])
    with subprocess.Popen(immortal, cwd="/", stderr=subprocess.PIPE, text=True) as orphan:
        assert orphan.stderr is not None
        for line in orphan.stderr:
            if "ready to accept connections" in line:
                break
        async with running(Cluster(data, binaries)) as endpoint:
            assert orphan.wait() == 0, "a fast shutdown ends with 0"
            assert await query(endpoint, "SELECT n FROM kept") == 7


#: becomes a program that no longer follows its parent
UNTIE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


async def test_wait_died_reports_a_dead_server(data: Path, binaries: Binaries) -> None:
    cluster = Cluster(data, binaries, durable=False)
    async with running(cluster):
        died = asyncio.create_task(cluster.wait_died())
        shared = shared_memory(data)
        os.kill(server_pid(data), signal.SIGKILL)
        assert await died == -signal.SIGKILL
    async with running(cluster):
        assert still_shared(shared) == set()


async def test_second_cluster_is_refused_and_the_first_unharmed(
    data: Path, binaries: Binaries
) -> None:
    async with running(Cluster(data, binaries, durable=False)) as endpoint:
        with pytest.raises(Conflict) as refused:
            await Cluster(data, binaries, durable=False).start()
        assert refused.value.reason == "ALREADY_RUNNING"
        assert await query(endpoint, "SELECT 1") == 1


async def test_second_owner_is_told_the_pid_of_the_first(data: Path) -> None:
    with owner_process(data) as first:
        with pytest.raises(Conflict, match=f"pid {first.pid}") as refused, Owner(data):
            pass
        assert refused.value.reason == "ALREADY_RUNNING"
        assert refused.value.details == {"pid": first.pid}
        first.kill()
        first.wait()
        with Owner(data) as owner:
            assert owner.file.read_text() == f"{os.getpid()}\n"
        with Owner(data):
            pass


async def test_interrupted_creation_starts_afresh(tmp_path: Path, binaries: Binaries) -> None:
    cluster = Cluster(tmp_path, binaries, durable=False)
    start = asyncio.create_task(cluster.start())
    while not list(tmp_path.glob("cluster.new-*/PG_VERSION")):
        await asyncio.sleep(0)
        assert not start.done()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not (tmp_path / "cluster").exists()
    async with running(cluster) as endpoint:
        assert await query(endpoint, "SELECT 1") == 1
    assert not list(tmp_path.glob("cluster.new*"))


async def failure_of(cluster: Cluster) -> CallError:
    with pytest.raises(CallError) as failed:
        await cluster.start()
    return failed.value


async def test_other_major_version_says_how_to_move(tmp_path: Path, binaries: Binaries) -> None:
    (tmp_path / "cluster").mkdir(mode=0o700)
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")
    error = await failure_of(Cluster(tmp_path, binaries))
    assert error.reason == "WRONG_PG_VERSION"
    assert "written by PostgreSQL 9" in error.message
    assert "pg_dump" in error.advice
    assert "pg_restore" in error.advice
    with Owner(tmp_path, "cluster.lock"):
        pass  # a failed start lets go of the directory


async def test_folder_that_is_no_cluster(tmp_path: Path, binaries: Binaries) -> None:
    (tmp_path / "cluster").mkdir()
    assert (await failure_of(Cluster(tmp_path, binaries))).reason == "NOT_A_CLUSTER"


async def test_what_others_could_reach_is_refused(tmp_path: Path, binaries: Binaries) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    assert (await failure_of(Cluster(tmp_path, binaries))).reason == "FOLDER_NOT_PRIVATE"
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o644)
    assert (await failure_of(Cluster(tmp_path, binaries))).reason == "FILE_NOT_PRIVATE"


def test_link_in_place_of_the_socket_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionDenied):
        make_private(tmp_path / "run")


async def test_lost_password_is_said(data: Path, binaries: Binaries) -> None:
    async with running(Cluster(data, binaries, durable=False)):
        pass
    (data / "password").unlink()
    assert (await failure_of(Cluster(data, binaries))).reason == "PASSWORD_MISSING"


async def test_server_that_cannot_start_says_why(data: Path, binaries: Binaries) -> None:
    async with running(Cluster(data, binaries, durable=False)):
        pass
    (data / "cluster" / "global" / "pg_control").unlink()
    error = await failure_of(Cluster(data, binaries))
    assert error.reason == "POSTGRES_FAILED"
    assert "pg_control" in error.message


async def test_long_odd_path_puts_the_socket_elsewhere(tmp_path: Path, binaries: Binaries) -> None:
    data = tmp_path / ("long, \"odd' " * 12)
    async with running(Cluster(data, binaries, durable=False)) as endpoint:
        assert data not in endpoint.sockets.parents
        assert mode(endpoint.sockets) == 0o700
        assert await query(endpoint, "SELECT 1") == 1
    assert not endpoint.sockets.exists()


def test_no_place_for_a_socket(tmp_path: Path, binaries: Binaries) -> None:
    with pytest.raises(FailedPrecondition, match="SOCKET_PATH_TOO_LONG"):
        Cluster(tmp_path / ("x" * 100), binaries, runtime=tmp_path / ("y" * 100))


def test_refused_namespace_is_explained() -> None:
    error = child.failure(Path("postgres"), 120, "Operation not permitted\n")
    assert error.reason == "NO_USER_NAMESPACE"
    assert "DATABASE_URL" in error.advice


async def test_every_installed_server_works(tmp_path: Path) -> None:
    for found in installed():
        async with running(
            Cluster(tmp_path / found.bin.parent.name, found, durable=False)
        ) as endpoint:
            version = await query(endpoint, "SHOW server_version_num")
            assert str(version).startswith(str(found.major))


def test_named_binaries_win_and_bad_ones_are_refused(tmp_path: Path, binaries: Binaries) -> None:
    named = find(binaries.bin)
    assert (named.major, named.source) == (binaries.major, "COORD_PG_BIN")
    with pytest.raises(FailedPrecondition, match="BAD_PG_BIN"):
        find(tmp_path)


def test_no_binaries_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("hub.embedded.binaries._SYSTEM", tmp_path)
    monkeypatch.setattr("hub.embedded.binaries._WHEEL", "no_such_wheel")
    with pytest.raises(FailedPrecondition, match="NO_POSTGRES") as refused:
        find()
    assert refused.value.advice.count("`") == 6


async def test_fresh_databases_are_empty_and_dropped(
    postgres_server: Endpoint, database: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE here (n int)")
    await connection.close()
    async with (
        fresh_database(postgres_server, template=database_name(database)) as copy,
        fresh_database(postgres_server) as empty,
    ):
        for dsn, tables in ((copy, 1), (empty, 0)):
            connection = await asyncpg.connect(dsn)
            count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert await connection.fetchval(count) == tables
            await connection.close()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(copy)
