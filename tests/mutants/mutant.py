"""What a hand-written bug is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``file`` with ``old`` replaced by ``new``; paths are relative to the repository."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
