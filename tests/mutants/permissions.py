"""Bugs in what an agent may do: rules, questions and their answers."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_PERMITTING: Final = "spoke/core/permitting.py"
_WORDS: Final = "spoke/core/shellwords.py"
_QUESTIONS: Final = "spoke/agents/questions.py"


def _rules(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/unit/test_permitting.py",))


def _asking(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/unit/test_questions.py",))


PERMISSIONS: Final = (
    _rules("the last layer decides", _PERMITTING, "max(verdicts, key=", "max(verdicts[-1:], key="),
    _rules("one good part is enough", _PERMITTING, "fits = all(", "fits = any("),
    _rules("what cannot be seen is allowed", _PERMITTING, "return line.plain and ", "return "),
    _rules("no path is any path", _PERMITTING, "return not allows", "return True"),
    _rules("one good path is enough", _PERMITTING, "all(found) if allows", "any(found) if allows"),
    _rules(
        "outside is inside",
        _PERMITTING,
        'if pattern.startswith("/") != path.startswith("/"):',
        'if pattern.startswith("/") and not path.startswith("/"):',
    ),
    _rules("the later deadline holds", _PERMITTING, "within_ms=min(", "within_ms=max("),
    _rules("a redirection is nothing", _WORDS, 'char not in "<>`"', 'char not in "`"'),
    _rules("a quote behind a dollar is plain", _WORDS, 'and before.endswith("$")', "and False"),
    _rules("a comment may open a quote", _WORDS, 'if char == "#":', "if False:"),
    _rules("an open quote is plain", _WORDS, "plain and not quote", "plain"),
    _rules("a new line goes with what is harmless", _WORDS, r'r"[ \t]*\d*>', r'r"\s*\d*>'),
    _asking("it is overdue at once", _QUESTIONS, "if one.until <= now:", "if True:"),
    _asking("nobody's yes", _QUESTIONS, "one.verdict.unanswered, one.told", '"allow", one.told'),
    _asking("an interrupt leaves it open", _QUESTIONS, "*self.drop()]", "]"),
    _asking(
        "a turn that ended goes on asking",
        "spoke/agents/talk.py",
        "taken_back = self._questions.drop()",
        "taken_back: list[Effect] = []",
    ),
    Mutant(
        "a session answers for itself",
        "hub/ops/answer.py",
        "params.session_id, own=False)",
        "params.session_id, own=True)",
        ("tests/security/test_reach.py",),
    ),
    Mutant(
        "an answer is given twice",
        "sql/migrations/0001_first.sql",
        "WHEN q.answer IS NOT NULL OR q.decision IS NOT NULL THEN 'answered'",
        "WHEN false THEN 'answered'",
        ("tests/integration/test_questions.py",),
    ),
)
