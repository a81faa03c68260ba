"""Where an embedded cluster keeps what, who may read it, and how it is addressed."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from protocol.errors import FailedPrecondition, PermissionDenied

USER: Final = "coord"
DATABASE: Final = "coord"
PORT: Final = 5432  #: only part of the socket's name: nothing listens on TCP

_SOCKET_LIMIT: Final = 100  #: bytes; the kernel refuses paths longer than 107
_LOG_LIMIT: Final = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running server's address."""

    sockets: Path
    password: str = field(repr=False)

    @property
    def dsn(self) -> str:
        """The address of our database, as asyncpg and libpq read it. Holds the password."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """The address of another database on the same server."""
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{USER}:{self.password}@/{quote(database)}?host={host}&port={PORT}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one embedded cluster: `root` and `sockets` are given, the rest follows."""

    root: Path
    sockets: Path

    @classmethod
    def of(cls, data: Path, runtime: Path | None = None) -> Self:
        """The layout below `data`; sockets go below `runtime` if their path would be too long.

        Raises FailedPrecondition (SOCKET_PATH_TOO_LONG).
        """
        root = data.resolve()  # a data directory may well be a link to a bigger disk
        name = f"coord-{os.geteuid()}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
        far = (runtime or Path(tempfile.gettempdir())).absolute() / name
        for sockets in (root / "run", far):
            if len(os.fsencode(sockets / f".s.PGSQL.{PORT}")) <= _SOCKET_LIMIT:
                return cls(root, sockets)
        raise FailedPrecondition(
            "SOCKET_PATH_TOO_LONG",
            f"a socket below {root} or {far.parent} would have a path of over"
            f" {_SOCKET_LIMIT} bytes",
            advice="name a data directory with a shorter path",
        )

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def password(self) -> Path:
        return self.root / "password"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"

    def endpoint(self) -> Endpoint:
        """The address of the cluster, whether it runs or not. Raises as `read_password`."""
        return Endpoint(self.sockets, read_password(self.password))


def make_private(folder: Path, forbidden: int = 0o077) -> None:
    """Make `folder` (0700), or check that it is ours and has none of the `forbidden` mode bits.

    Raises PermissionDenied (FOLDER_NOT_PRIVATE).
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder, stat.S_IFDIR, forbidden)


def read_password(file: Path) -> str:
    """Raises PermissionDenied (FILE_NOT_PRIVATE), FailedPrecondition (PASSWORD_MISSING)."""
    try:
        _check_private(file, stat.S_IFREG, 0o077)
        return file.read_text().strip()
    except FileNotFoundError:
        raise FailedPrecondition(
            "PASSWORD_MISSING",
            f"{file} is gone, and the cluster beside it cannot be opened without it",
            advice="restore that file from a backup, or move the directory away to start afresh",
        ) from None


def make_password(file: Path) -> None:
    """Write a new random password; a crash leaves either none or all of it."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(secrets.token_hex(24) + "\n")
        out.flush()
        os.fsync(fd)
    new.rename(file)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` last."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rotate(log: Path) -> None:
    """Set a log aside that has grown too long; one older one is kept."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.rename(log.with_suffix(".log.1"))


def _check_private(path: Path, kind: int, forbidden: int) -> None:
    found = path.lstat()
    if stat.S_IFMT(found.st_mode) != kind or found.st_uid != os.geteuid():
        fault = f"it has to be a real one that belongs to uid {os.geteuid()}"
    elif found.st_mode & forbidden:
        fault = f"its mode is {stat.S_IMODE(found.st_mode):04o}"
    else:
        return
    raise PermissionDenied(
        "FOLDER_NOT_PRIVATE" if kind == stat.S_IFDIR else "FILE_NOT_PRIVATE",
        f"others may reach into {path}: {fault}",
        advice=f"check who made it, then `chmod go= {path}`, or name another data directory",
    )
