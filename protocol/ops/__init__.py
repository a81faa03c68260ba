"""The catalogue: every operation, with the shape of what it is asked and what it answers."""

from protocol.ops.catalogue import CATALOGUE, LIVE, Kind, Op, Role

__all__ = ["CATALOGUE", "LIVE", "Kind", "Op", "Role"]
