"""Adapters and the environment that an agent gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol import variables
from protocol.errors import InvalidArgument
from protocol.ops.wire import StartOrder
from spoke import environment
from spoke.agents import table
from spoke.agents.agent import AUTHOR, Plan
from spoke.environment import PROMPT_MAX, Bearings

ORDER = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="command", command="pytest",
    args=["-q", "; rm -rf /", "$(boom)"], env={}, stdin="closed", parent_session_id=None,
    worktree=None, resume=False, credential="secret",
)  # fmt: skip


def bearings(prompt: str = "do it", parent: str | None = None) -> Bearings:
    return Bearings(
        "ses_1",
        parent,
        2,
        True,
        None,
        "task",
        Path("/w"),
        "b",
        "/r",
        prompt,
        Path("/p"),
        "ws://h:1",
        Path("/t"),
    )


def test_a_command_is_what_was_given_and_no_shell_reads_it() -> None:
    plan = table.find("command").plan(ORDER, "ses_1/1")
    assert plan == Plan(["pytest", "-q", "; rm -rf /", "$(boom)"], {}, "closed")


def test_a_command_without_a_program_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="NO_COMMAND"):
        table.find("command").plan(ORDER.model_copy(update={"command": None}), "ses_1/1")


def test_any_agent_of_the_protocol_is_the_program_that_was_named() -> None:
    named = ORDER.model_copy(update={"agent": "acp", "command": "goose", "args": ["acp"]})
    plan = table.find("acp").plan(named, "ses_1/1")
    assert plan == Plan(["goose", "acp"], {}, "open", AUTHOR, tongue="acp", needs_author=True)
    later = table.find("acp").plan(named.model_copy(update={"agent_session_id": "c1"}), "ses_1/2")
    assert (later.agent_session_id, later.resume) == ("c1", True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [({"command": None}, "NO_COMMAND"), ({"model": "large"}, "MODEL_UNSUPPORTED")],
)
def test_what_cannot_be_known_of_any_agent_has_to_be_said(
    said: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        table.find("acp").plan(ORDER.model_copy(update=said), "ses_1/1")


def test_a_spoke_tells_which_agents_it_can_start() -> None:
    assert table.installed({"codex", "gemini"}.__contains__) == [
        "acp",
        "codex",
        "command",
        "gemini",
    ]
    found = table.installed({"opencode", "claude"}.__contains__)
    assert found == ["acp", "claude", "command", "opencode"]


def test_an_unknown_agent_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidArgument, match="AGENT_UNKNOWN") as caught:
        table.find("gpt\x1b[2J")
    assert "command" in caught.value.advice
    assert "\x1b" not in caught.value.message


def test_little_of_the_daemons_environment_passes() -> None:
    ours = {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "XDG_RUNTIME_DIR": "/x",
        "DATABASE_URL": "secret", "COORD_TOKEN": "secret", "PATHS": "no", "LANGUAGE": "no",
        "MODEL_KEY": "its own", "OTHER_KEY": "secret",
    }  # fmt: skip
    plan = Plan([], {"QUIET": "1"}, "open", frozenset({"MODEL_KEY", "MODEL_URL"}))
    env = environment.build(ours, {"MINE": "1", "HOME": "/other"}, plan, bearings(), Path("/tools"))
    assert {name: value for name, value in env.items() if not name.startswith("COORD_")} == {
        "PATH": "/bin:/tools", "HOME": "/other", "LC_ALL": "C", "XDG_RUNTIME_DIR": "/x",
        "MINE": "1", "QUIET": "1", "MODEL_KEY": "its own",
    }  # fmt: skip
    assert "COORD_TOKEN" not in env


def test_an_agent_is_told_who_it_is() -> None:
    assert bearings(parent="ses_0").variables() == {
        "COORD_SESSION_ID": "ses_1", "COORD_PARENT_SESSION_ID": "ses_0", "COORD_ATTEMPT": "2",
            "COORD_RESUMED": "1",
        "COORD_TASK": "task", "COORD_WORKTREE": "/w", "COORD_BRANCH": "b", "COORD_REPO": "/r",
        "COORD_PROMPT_FILE": "/p", "COORD_URL": "ws://h:1", "COORD_TOKEN_FILE": "/t",
        "COORD_PROMPT": "do it",
    }  # fmt: skip
    assert "COORD_PARENT_SESSION_ID" not in bearings().variables()
    assert "COORD_PROMPT" not in bearings("€" * (PROMPT_MAX // 3 + 1)).variables()


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "GIT_DIR",
     "COORD_SESSION_ID", "COORD_X", "", "A=B"],
)  # fmt: skip
def test_variables_that_decide_for_others_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="BAD_ENV"):
        variables.check({"FINE": "1", name: "x"})
    variables.check({"FINE": "1", "PATH": "/bin", "GITHUB_TOKEN": "x"})
