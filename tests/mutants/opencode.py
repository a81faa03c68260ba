"""Bugs in what is heard from opencode's plugin."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_TESTS: Final = ("tests/unit/test_tongues.py",)


def _heard(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "spoke/agents/opencode.py", old, new, _TESTS)


OPENCODE: Final = (
    _heard(
        "an error that it got over is why it failed later",
        "                self._error = None\n                return self._accepted",
        "                return self._accepted",
    ),
    _heard(
        "the error of a subagent is its own",
        'case _ if params.get("sessionId") != self._session_id:',
        'case _ if params.get("sessionId") is None:',
    ),
    _heard(
        "what was steered in is never taken up",
        "[*self._told].index(last) + 1]",
        "[*self._told].index(last)]",
    ),
    _heard(
        "what it refused stands for the next",
        "            self._unheard.remove(message_id)",
        "            pass",
    ),
    _heard("its last answer counts twice", "if self._counts else usage", "if False else usage"),
    _heard(
        "an empty account is a limit",
        'word = code if code == "insufficient_quota" else name',
        "word = name",
    ),
    Mutant(
        "its port obeys everybody",
        "spoke/agents/profile.py",
        "blake2s(order.credential.encode()).hexdigest()",
        '""',
        _TESTS,
    ),
)
