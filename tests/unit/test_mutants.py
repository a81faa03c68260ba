"""Each hand-written bug still has its place in the code: `make mutants` runs them, now and then."""

from __future__ import annotations

from collections import Counter

from tests.mutants.__main__ import ROOT
from tests.mutants.catalogue import MUTANTS


def test_each_has_its_place() -> None:
    texts = {one.file: (ROOT / one.file).read_text() for one in MUTANTS}
    assert [one.name for one in MUTANTS if texts[one.file].count(one.old) != 1] == []


def test_the_tests_that_are_to_catch_it_are_there() -> None:
    files = {(one.name, ROOT / test.partition("::")[0]) for one in MUTANTS for test in one.tests}
    assert [name for name, file in files if not file.is_file()] == []


def test_no_two_have_one_name() -> None:
    assert [name for name, n in Counter(one.name for one in MUTANTS).items() if n > 1] == []
