"""The changelog has the form that readers and tools expect, and speaks of this version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
RELEASE = re.compile(r"## \[(\d+)\.(\d+)\.(\d+)\] - (unreleased|\d{4}-\d{2}-\d{2})")


def _lines() -> list[str]:
    return (ROOT / "CHANGELOG.md").read_text().splitlines()


def _releases() -> list[re.Match[str]]:
    heads = [line for line in _lines() if line.startswith("## ")]
    found = [RELEASE.fullmatch(head) for head in heads]
    assert all(found), f"a release is `## [1.2.3] - 2026-01-31`: {heads}"
    return [match for match in found if match]


def test_it_begins_with_its_name() -> None:
    assert _lines()[0] == "# Changelog"


def test_the_newest_release_is_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = _releases()[0]
    assert ".".join(newest.group(1, 2, 3)) == project["version"]


def test_releases_are_in_order_and_only_the_newest_may_be_unreleased() -> None:
    found = _releases()
    versions = [tuple(map(int, match.group(1, 2, 3))) for match in found]
    assert versions == sorted(set(versions), reverse=True)
    assert all(match[4] != "unreleased" for match in found[1:])


def test_changes_are_sentences_under_a_kind_that_is_known() -> None:
    entries: list[str] = []
    kind = None
    for line in _lines():
        if line.startswith("### "):
            kind = line.removeprefix("### ")
            assert kind in KINDS
        elif line.startswith("- "):
            assert kind is not None, line
            entries.append(line)
        elif line.startswith("  ") and entries:
            entries[-1] += " " + line.strip()
    assert entries
    assert [entry for entry in entries if not entry.endswith(".")] == []
