"""The SQL of the hub, as files: `schema.sql`, `migrations/`, and named `queries/`.

A query file is a list of blocks::

    -- name: lock_parent
    -- One line that says what it is for.
    SELECT ...
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z_]+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def parse(source: str) -> dict[str, str]:
    """Split query files into their named blocks. Raises ValueError on a duplicate name."""
    _, *rest = _NAME.split(source)
    names, bodies = rest[::2], rest[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"a query is defined twice among {names}")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}


@cache
def queries() -> dict[str, str]:
    return parse("".join(text for _, text in _files("queries")))


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, in the order of their numbers."""
    return tuple(Migration(name, text) for name, text in _files("migrations"))


def schema() -> str:
    return resources.files(__name__).joinpath("schema.sql").read_text(encoding="utf-8")


def ledger() -> str:
    """What must be there before the first migration."""
    return resources.files(__name__).joinpath("ledger.sql").read_text(encoding="utf-8")


def _files(folder: str) -> list[tuple[str, str]]:
    found = resources.files(__name__).joinpath(folder).iterdir()
    files = [file for file in found if file.name.endswith(".sql")]
    return sorted((file.name, file.read_text(encoding="utf-8")) for file in files)
