"""Rows of the queries on what agents used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TreeUsageRow:
    """``cost_usd``: null where one of them does not say; ``known_cost_usd``: of those that do."""

    sessions: int
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    known_cost_usd: float | None
