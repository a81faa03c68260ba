"""Whether our own files are the ones that were installed.

The names `hub`, `protocol` and `sql` belong to other distributions too. pip overwrites files of
that name in silence, and `pip check` does not notice: here it is noticed.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGES: Final = ("coord", "hub", "protocol", "spoke", "sql")


def strange_files() -> list[str]:
    """Files that are missing or altered, and packages that come from somewhere else."""
    try:
        files = metadata.distribution("coord").files or []
    except metadata.PackageNotFoundError:
        files = []
    ours = [file for file in files if file.parts[0] in PACKAGES]
    altered = [
        str(file)
        for file in ours
        if file.hash is not None
        and _digest(Path(str(file.locate())), file.hash.mode) != file.hash.value
    ]
    return sorted({*altered, *_elsewhere()})


def _elsewhere() -> list[str]:
    """Packages that are not beside this one; all of them come from one folder."""
    home = Path(__file__).parents[2]
    return [name for name in PACKAGES if home / name / "__init__.py" != _origin(name)]


def _origin(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _digest(file: Path, mode: str) -> str | None:
    """As RECORD writes it; None where the file is gone."""
    try:
        digest = hashlib.new(mode, file.read_bytes()).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
