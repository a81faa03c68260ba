"""Which variables a session may set: hub and spoke refuse the same ones. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from protocol.errors import InvalidArgument

#: With these, whoever may start a session would decide what other programs load or obey.
_REFUSED: Final = re.compile(
    r"(LD_PRELOAD|LD_LIBRARY_PATH|PYTHONPATH|NODE_OPTIONS|BASH_ENV|GIT_.*|COORD_.*)\Z"
)


def check(ordered: Mapping[str, str]) -> None:
    """Raises InvalidArgument (BAD_ENV) for a variable that an order may not set."""
    for name, value in ordered.items():
        if _REFUSED.match(name) or not name or "=" in name or "\0" in name + value:
            raise InvalidArgument(
                "BAD_ENV",
                f"a session may not set {name[:64]!a}",
                advice="start a wrapper script that sets it, if it must be set",
                details={"field": f"env.{name[:64]}"},
            )
