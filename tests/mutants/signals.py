"""Bugs in what is told of an agent that is silent, or needs somebody."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_HEARD: Final = "\n        return told\n\n    def note"
_WAIT: Final = "hub/ops/wait.py"


def _silence(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "spoke/agents/silence.py", old, new, ("tests/unit/test_silence.py",))


SIGNALS: Final = (
    _silence(
        "a tool that runs is ended as silence",
        "self._activity in _COUNTED and not self._tools",
        "self._activity in _COUNTED",
    ),
    _silence(
        "who waits for an answer is silent", '{"busy", "rate_limited"}', '{"busy", "waiting"}'
    ),
    _silence(
        "a wait that was announced is silence",
        f"max(at.now, self._excused){_HEARD}",
        f"at.now{_HEARD}",
    ),
    _silence("silence is told again and again", "        self._is_told = True\n", ""),
    _silence(
        "a tool outlives its turn",
        "                self._tools.clear()\n",
        "                pass\n",
    ),
    _silence(
        "a bound comes before its warning", "min(bounds.told_ms, most // 2)", "bounds.told_ms"
    ),
    Mutant(
        "one that does not end its turn failed for its end",
        "spoke/agents/talk.py",
        "        self.failure = why\n",
        "",
        ("tests/unit/test_talk.py",),
    ),
    Mutant(
        "a parent is told with each repetition",
        "sql/migrations/0001_first.sql",
        " WHERE (x ->> 0)::bigint >= new;",
        ";",
        ("tests/integration/test_telling.py",),
    ),
    Mutant(
        "a parent is held after its child",
        "sql/migrations/0001_first.sql",
        "WHERE e -> 6 <> '[]'))))\n      ORDER BY x.depth, x.session_id",
        "WHERE e -> 6 <> '[]'))))\n      ORDER BY x.session_id",
        ("tests/integration/test_telling.py",),
    ),
    Mutant(
        "who asks needs nobody",
        _WAIT,
        "session.activity is Activity.WAITING or is_silent",
        "is_silent",
        ("tests/integration/test_attention.py",),
    ),
    Mutant(
        "an account is opened twice",
        "sql/migrations/0001_first.sql",
        "     WHERE x.account = acct AND x.limited_until IS NOT NULL;\n",
        "     WHERE x.account = acct;\n",
        ("tests/integration/test_accounts.py",),
    ),
    Mutant(
        "who only reads answers on the page",
        "hub/web/asked.py",
        "        rights.check(principal, ANSWER.name, ANSWER.roles)\n",
        "        pass\n",
        ("tests/integration/web/test_questions.py",),
    ),
)
