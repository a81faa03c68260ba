"""Bugs in what holds an agent: the table, the trial, and who may ask for less."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_TABLE: Final = "spoke/core/sandboxing.py"
_TRIAL: Final = "spoke/trial.py"
_WALLS: Final = "spoke/walls.py"
_CALLS: Final = "spoke/supervisor/landlock.py"


def _table(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/unit/test_sandboxing.py",))


def _walls(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/shell/test_walls.py",))


SANDBOX: Final = (
    _table("the widest holds", "protocol/sandbox.py", "SANDBOXES[max(", "SANDBOXES[min("),
    _table(
        "any spoke can hold anybody",
        "hub/core/placement.py",
        " and sandbox in self.sandboxes",
        "",
    ),
    _table("who reads may write", _TABLE, "else (READ, READ)", "else (CHANGE, STORE)"),
    _table(
        "links go where the daemon writes",
        _TABLE,
        "STORE: Final = CHANGE &",
        "STORE: Final = CHANGE or",
    ),
    _table("a link in the open is followed", _TABLE, "if not tops.intersection(_above(path))", ""),
    _table(
        "what is hidden is read",
        _TABLE,
        "                continue  # whatever",
        "                yield path  # whatever",
    ),
    _table("what has the hidden in it is open", _TABLE, "(*_above(path), path)", "(path,)"),
    _walls(
        "the rules are made and not kept",
        "spoke/supervisor/unborn.py",
        'landlock.enter(landlock.ruleset(order["walls"]))',
        'landlock.ruleset(order["walls"])',
    ),
    _walls(
        "the kernel is believed",
        _TRIAL,
        "_LOOSE if _can_write(outside) else ",
        "",
    ),
    _walls(
        "what opens the hidden is let through", _WALLS, "(wide := sand", "None and (wide := sand"
    ),
    _walls("links are not followed first", _WALLS, "str(Path(path).resolve())", "path"),
    _walls("signals go everywhere", _CALLS, "_SCOPED = 0b11", "_SCOPED = 0b01"),
    _walls(
        "a supervisor hears anybody",
        "spoke/supervisor/door.py",
        'request.pop("word", "") == self._word',
        'request.pop("word", "") is not None',
    ),
)
