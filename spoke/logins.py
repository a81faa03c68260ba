"""Whether an agent's provider knows the person who runs this spoke, as far as that can be seen.

Nothing is read and nobody is asked: a key stands in the environment, or the agent's own login has
left its file. Where neither is, it may still be logged in (by the keychain of the system, say).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from spoke.agents import table
from spoke.agents.agent import Signs

Login = Literal["key", "login", "unseen"]


def logins(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, Login]:
    """Of those agents that have one; ``environ`` is the daemon's."""
    signs = {name: table.AGENTS[name].signs for name in names}
    return {name: _seen(one, environ) for name, one in signs.items() if one.variables}


def _seen(signs: Signs, environ: Mapping[str, str]) -> Login:
    if any(environ.get(name) for name in signs.variables):
        return "key"
    places = ((where.at(environ), file) for where, file in signs.files)
    return "login" if any(top and Path(top, file).exists() for top, file in places) else "unseen"
