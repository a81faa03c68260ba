"""Who is logged in is seen by a key or a file, without reading either."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.agents import ABILITIES, is_named
from spoke.logins import logins

FILES = {
    "claude": ".claude/.credentials.json", "codex": ".codex/auth.json",
    "gemini": ".gemini/oauth_creds.json", "opencode": ".local/share/opencode/auth.json",
}  # fmt: skip
KEYS = {
    "claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY",
    "opencode": "OPENROUTER_API_KEY",
}  # fmt: skip


def test_each_agent_that_has_logins_is_looked_at() -> None:
    assert set(logins(ABILITIES, {})) == {name for name in ABILITIES if not is_named(name)}
    assert set(FILES) == set(KEYS) == set(logins(ABILITIES, {}))


@pytest.mark.parametrize("agent", FILES)
def test_a_login_is_seen_by_its_file_or_a_key(agent: str, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert logins([agent], {}) == {agent: "unseen"}, "there is no home"
    assert logins([agent], {**home, KEYS[agent]: ""}) == {agent: "unseen"}
    file = tmp_path / FILES[agent]
    file.parent.mkdir(parents=True)
    file.touch()
    assert logins([agent], home) == {agent: "login"}
    assert logins([agent], {**home, KEYS[agent]: "k"}) == {agent: "key"}


def test_a_login_is_looked_for_where_the_agent_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "auth.json").touch()
    assert logins(["codex"], {"CODEX_HOME": str(tmp_path)}) == {"codex": "login"}
