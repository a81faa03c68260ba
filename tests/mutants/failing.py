"""Bugs in what is done when an agent has failed, used too much, or goes round in circles."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_TOOL: Final = "            case ToolStarted(id, title):\n"


def _deciding(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "hub/core/failing.py", old, new, ("tests/unit/test_failing.py",))


def _guard(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "spoke/agents/guard.py", old, new, ("tests/unit/test_guard.py",))


FAILING: Final = (
    _deciding("one try too many", "failed, past) >= step.times:", "failed, past) > step.times:"),
    _deciding(
        "a try for one failure is one for all",
        "elif one.action == step.action and one.kind == failed.kind:",
        "elif one.action == step.action:",
    ),
    _deciding(
        "another agent has no try of its own", "            done = 0\n", "            pass\n"
    ),
    _deciding(
        "the chain is gone along for ever", "if link >= len(past.chain):", "if not past.chain:"
    ),
    _deciding("the earlier reset holds", "until = max(until,", "until = min(until,"),
    _deciding("a limit long ago counts", "now - over < IN_A_ROW", "True"),
    _deciding("it waits as long each time", "FIRST_WAIT * doubled", "FIRST_WAIT"),
    _deciding(
        "any reset is believed", "if away < FARTHEST_RESET", "if True or away < FARTHEST_RESET"
    ),
    _guard("a circle too early", "self._texts >= TEXTS", "self._texts >= TEXTS - 1"),
    _guard(
        "work is a circle",
        _TOOL + "                self._compactions = self._texts = 0\n",
        _TOOL,
    ),
    Mutant(
        "a mark is warned of again",
        "spoke/agents/meter.py",
        "        self._warned = due[-1]\n",
        "",
        ("tests/unit/test_meter.py",),
    ),
    Mutant(
        "a later limit is opened with the earlier",
        "sql/queries/policy.sql",
        " WHERE account = $1 AND limited_until = $2\n",
        " WHERE account = $1 AND limited_until >= $2\n",
        ("tests/integration/test_policy.py",),
    ),
)
