"""Fixtures of several rooms together."""

from __future__ import annotations

from tests.support.worktrees import house, source

__all__ = ["house", "source"]
