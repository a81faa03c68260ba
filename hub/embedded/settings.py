"""How the embedded server is set: safe with its data, small, and closed to the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hub.embedded.layout import PORT, USER, Layout

_ALWAYS: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    # Small: one hub, a few connections.
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    # What agents say must not end up in a log through a failed statement.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "cluster_name": "coord",
}


def server_arguments(layout: Layout, major: int, *, durable: bool) -> list[str]:
    """What follows `postgres` on its command line."""
    safe = "on" if durable else "off"
    settings = {
        **_ALWAYS,
        "unix_socket_directories": _quoted(layout.sockets),
        "fsync": safe,
        "synchronous_commit": safe,
        "full_page_writes": safe,
    }
    if major >= 18:
        settings["io_method"] = "sync"
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ["-D", str(layout.cluster), *flags]


def initdb_arguments(target: Path, layout: Layout, major: int, *, durable: bool) -> Sequence[str]:
    """What follows `initdb` on its command line."""
    # The same order of texts on every system, and none that an upgrade of libc can change.
    locale = (
        ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        if major >= 17
        else ("--locale=C",)
    )
    return (
        f"--pgdata={target}",
        f"--username={USER}",
        f"--pwfile={layout.password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *locale,
        "--data-checksums",
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    )


def _quoted(folder: Path) -> str:
    """A folder as PostgreSQL's list of folders wants it, where a comma would separate two."""
    return '"' + str(folder).replace('"', '""') + '"'
