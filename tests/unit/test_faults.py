"""Each fault of docs/faults.md has a test of its number, or says what stands in for one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNT = 41

_ROW = re.compile(r"^\| (\d+) \| .+ \| .+ \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"def test_fault_(\d\d)_\w+")


def _rows() -> dict[int, str]:
    found = _ROW.findall((ROOT / "docs" / "faults.md").read_text())
    return {int(number): where for number, where in found}


def _tests() -> dict[int, set[str]]:
    """By number, the files that have a test of it."""
    tests: dict[int, set[str]] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        for number in _TEST.findall(file.read_text()):
            tests.setdefault(int(number), set()).add(str(file.relative_to(ROOT)))
    return tests


def test_the_table_has_every_fault_once() -> None:
    text = (ROOT / "docs" / "faults.md").read_text()
    assert [int(number) for number, _ in _ROW.findall(text)] == list(range(1, COUNT + 1))


def test_each_fault_has_its_test_or_says_what_stands_in() -> None:
    tests = _tests()
    for number, where in _rows().items():
        if where.startswith("stands in: "):
            assert number not in tests, f"fault {number} has a test"
            assert re.search(r"`tests/[\w/.]+`|`make \w+`", where), where
        else:
            named = set(re.findall(r"`(tests/[\w/.]+)`", where))
            assert tests.get(number, set()) & named, f"fault {number}: {tests.get(number)}"


def test_no_test_has_a_number_that_is_not_in_the_table() -> None:
    assert _tests().keys() <= _rows().keys()
