"""Makes a new cluster, complete or not at all, and checks one that is there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Final

from hub.embedded.binaries import Binaries, installed
from hub.embedded.child import failure, kill_session, spawn
from hub.embedded.layout import Layout, make_password, read_password, sync_folder
from hub.embedded.settings import initdb_arguments
from protocol.errors import FailedPrecondition

_UNFINISHED: Final = "cluster.new-"


def check_version(layout: Layout, binaries: Binaries) -> None:
    """Raises FailedPrecondition: WRONG_PG_VERSION, NOT_A_CLUSTER. Runs nothing if all is well."""
    try:
        written_by = (layout.cluster / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise FailedPrecondition(
            "NOT_A_CLUSTER",
            f"{layout.cluster} is there, but its PG_VERSION cannot be read: {error.strerror}",
            advice="move that directory away, or restore it from a backup",
        ) from error
    if written_by != str(binaries.major):
        raise _wrong_version(layout, binaries, written_by)


async def create(layout: Layout, binaries: Binaries, *, durable: bool) -> None:
    """Run initdb into a temporary name, then rename: a crash leaves no half cluster."""
    await asyncio.to_thread(_prepare, layout)
    target = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_UNFINISHED, dir=layout.root))
    program = binaries.bin / "initdb"
    arguments = initdb_arguments(target, layout, binaries.major, durable=durable)
    process = await spawn([str(program), *arguments], asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        await kill_session(process)
        raise
    if process.returncode != 0:
        raise failure(program, process.returncode or 0, said.decode(errors="replace"))
    await asyncio.to_thread(_adopt, target, layout)


def _prepare(layout: Layout) -> None:
    for left in layout.root.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left)
    if layout.password.exists():
        read_password(layout.password)  # for its checks: the file outlives an interrupted initdb
    else:
        make_password(layout.password)


def _adopt(target: Path, layout: Layout) -> None:
    target.rename(layout.cluster)
    sync_folder(layout.root)


def _wrong_version(layout: Layout, binaries: Binaries, written_by: str) -> FailedPrecondition:
    folder = next(
        (str(other.bin) for other in installed() if str(other.major) == written_by),
        f"/usr/lib/postgresql/{written_by}/bin",
    )
    return FailedPrecondition(
        "WRONG_PG_VERSION",
        f"{layout.cluster} was written by PostgreSQL {written_by}, and {binaries.bin} is"
        f" PostgreSQL {binaries.major}, which cannot read it",
        advice=(
            f"to go on with it, start with COORD_PG_BIN={folder}; to move it to {binaries.major}:"
            f" start it that way, `{folder}/pg_dump --format=custom --file=coord.dump"
            f' "$DATABASE_URL"`, stop, move {layout.root} away, start without COORD_PG_BIN, and'
            f' `{binaries.bin}/pg_restore --clean --if-exists --dbname="$DATABASE_URL" coord.dump`'
        ),
        details={"found": written_by, "binaries": binaries.major},
    )
