"""The version of an agent's program is that of the package that it is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoke.programs import version_of, versions


def _program(folder: Path, said: str | None = '{"version": "1.2.3"}') -> Path:
    """In the package `agent` below a folder; what its package.json says."""
    package = folder / "lib" / "node_modules" / "agent"
    (package / "bin").mkdir(parents=True)
    if said is not None:
        (package / "package.json").write_text(said)
    program = package / "bin" / "agent"
    program.touch()
    return program


def test_it_is_found_from_the_link_on_the_path(tmp_path: Path) -> None:
    link = tmp_path / "claude"
    link.symlink_to(_program(tmp_path))
    assert version_of(link) == "1.2.3"
    where = {"claude": str(link)}
    assert versions(["claude", "codex", "command"], where.get) == {"claude": "1.2.3"}


@pytest.mark.parametrize("said", [None, "{", "[]", '{"version": 1}', "{}"])
def test_what_is_not_said_is_not_known(tmp_path: Path, said: str | None) -> None:
    assert version_of(_program(tmp_path, said)) == ""


def test_a_program_outside_of_packages_has_none(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"version": "9"}')
    (tmp_path / "agent").touch()
    assert version_of(tmp_path / "agent") == ""
