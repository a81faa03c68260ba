"""What `coordctl up` was told of its spoke reaches the daemon that it starts."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from coord.cli import spoke_settings
from protocol.errors import InvalidArgument
from spoke.settings import SpokeSettings

STATE = Path("/srv/coord/spoke")
SAID = [
    "--slots", "3", "--label", "gpu=yes", "--label", "zone=a=b", "--quiet-after", "1500ms",
    "--sandbox-floor", "worktree", "--sandbox-write", "/srv/shared", "--sandbox-hide", "/srv/keys",
]  # fmt: skip


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--state", type=Path)
    spoke_settings.add(parser)
    return parser.parse_args(words)


def test_what_is_said_is_meant() -> None:
    assert spoke_settings.of(_parsed(SAID), STATE, Path("/srv/coord")) == SpokeSettings(
        state=STATE,
        slots=3,
        labels={"gpu": "yes", "zone": "a=b"},
        quiet_ms=1_500,
        sandbox_floor="worktree",
        sandbox_writes=(Path("/srv/shared"),),
        hidden=(Path("/srv/coord"), Path("/srv/keys")),
    )


def test_nothing_said_leaves_the_defaults() -> None:
    assert spoke_settings.of(_parsed([]), STATE) == SpokeSettings(state=STATE)


def test_another_process_is_told_the_same() -> None:
    settings = SpokeSettings(
        state=Path("/a folder/-x"),
        slots=0,
        labels={"-odd": "--slots=9"},
        quiet_ms=0,
        sandbox_floor="read-only",
        sandbox_writes=(Path("/b"), Path("/c d")),
        hidden=(Path("/e"),),
    )
    again = _parsed(spoke_settings.words(settings))
    assert spoke_settings.of(again, again.state) == settings


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument) as refused:
        spoke_settings.of(_parsed(["--slots", "-1"]), STATE)
    assert refused.value.reason == "BAD_SETTINGS"
    assert "slots" in refused.value.message
