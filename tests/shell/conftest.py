"""Fixtures of one shell and its far side."""

from __future__ import annotations

from tests.support.supervised import case, doors, supervisors

__all__ = ["case", "doors", "supervisors"]
