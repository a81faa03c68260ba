"""Documents say what the code says: generated parts, names of files, links, decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import docs

ROOT = Path(__file__).parents[2]
TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(ROOT.glob("docs/adr/*.md"))

_PATH = re.compile(
    r"`((?:coord|hub|spoke|protocol|sql|tests|docs|deploy|examples|requirements)/[\w./-]*)`"
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("file", docs.MADE)
def test_generated_parts_are_what_the_code_says(file: str) -> None:
    fresh = docs.renewed(file)
    assert fresh == docs.current(file), "run: python -m tests.docs --write"


@pytest.mark.parametrize("text", TEXTS, ids=_name)
def test_files_that_are_named_exist(text: Path) -> None:
    named = set(_PATH.findall(text.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("text", TEXTS, ids=_name)
def test_links_lead_somewhere(text: Path) -> None:
    links = [link.partition("#")[0] for link in _LINK.findall(text.read_text())]
    inside = [link for link in links if link and "://" not in link]
    assert [link for link in inside if not (text.parent / link).exists()] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("decision", DECISIONS, ids=_name)
def test_a_decision_has_its_three_parts_on_one_page(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {int(decision.name[:4])}. ")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads == ["Context", "Decision", "What we gave up"]
    assert "\nStatus: " in text
    assert len(text.splitlines()) <= 60


def test_a_meaning_for_a_variable_that_is_not_set_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docs, "VARIABLES", {**docs.VARIABLES, "COORD_GONE": "nothing"})
    with pytest.raises(KeyError, match="COORD_GONE"):
        docs.variables()
