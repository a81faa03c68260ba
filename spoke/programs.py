"""Which version an agent's program has, where that is written beside it: nothing is run for it.

All four agents come as npm packages; to ask one for its version takes seconds of a processor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, cast

from spoke.agents import table

_UP: Final = 6  #: folders, from the program to its package


def versions(names: Iterable[str], finds: Callable[[str], str | None]) -> dict[str, str]:
    """Of those agents whose version is known; ``finds`` says where a program is."""
    programs = {name: table.AGENTS[name].program for name in names}
    paths = {name: finds(program) for name, program in programs.items() if program is not None}
    known = {name: version_of(Path(path)) for name, path in paths.items() if path is not None}
    return {name: version for name, version in known.items() if version}


def version_of(program: Path) -> str:
    """That of the package that it is in; empty where it is in none."""
    for folder in program.resolve().parents[:_UP]:
        if folder.name == "node_modules":
            return ""
        if "node_modules" in folder.parts and (version := _said(folder / "package.json")):
            return version
    return ""


def _said(file: Path) -> str:
    try:
        found: object = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return ""
    version = cast("dict[str, object]", found).get("version") if isinstance(found, dict) else None
    return version[:64] if isinstance(version, str) else ""
