"""Roles from a file, what a spawn with one comes to, and assignments as text."""

from __future__ import annotations

import pytest

from hub.core import briefing, roles
from protocol.errors import InvalidArgument, NotFound
from protocol.ops.roles import Assignment
from protocol.ops.spawning import SpawnParams

FILE = """\
[tester]
description = "tests"
agent = "codex"
model = "m-1"
prompt = "Test it."
skills = "pytest"
args = ["-c", "x=1"]
env = { A = "role", B = "role" }

[tester.permissions]
default = "ask"
rules = ["allow run(pytest *)"]
"""


def asked(**said: object) -> SpawnParams:
    return SpawnParams.model_validate({"task": "t", "repo": "/r", **said})


def test_a_file_adds_to_the_built_in_ones_and_replaces_those_of_its_names() -> None:
    found = roles.read(FILE, "r.toml")
    assert sorted(found) == ["code-reviewer", "implementation-specialist", "tester"]
    assert roles.read("[code-reviewer]\nagent = 'codex'", "r")["code-reviewer"].agent == "codex"
    assert roles.view("tester", found["tester"]).env == ["A", "B"]
    assert not roles.view("tester", found["tester"]).built_in
    assert roles.view("code-reviewer", found["code-reviewer"]).built_in


def test_what_a_spawn_says_goes_before_its_role() -> None:
    found = roles.read(FILE, "r.toml")
    plain = roles.applied(found, asked(role="tester"))
    assert (plain.agent, plain.model, plain.args) == ("codex", "m-1", ["-c", "x=1"])
    assert plain.labels == {"role": "tester"}
    said = {"agent": "claude", "model": "m-2", "args": ["-y"], "env": {"B": "said"}}
    own = roles.applied(found, asked(role="tester", labels={"a": "b"}, **said))
    assert (own.agent, own.model, own.args) == ("claude", "m-2", ["-c", "x=1", "-y"])
    assert own.env == {"A": "role", "B": "said"}
    assert own.labels == {"role": "tester", "a": "b"}
    assert roles.applied(found, asked()) == asked()
    assert roles.instructions(found, asked(role="tester")) == "Test it.\n\npytest"
    assert roles.instructions(found, asked()) == ""


def test_permissions_of_the_spawn_come_on_top_of_those_of_the_role() -> None:
    found = roles.read(FILE, "r.toml")
    of_role, of_spawn = roles.layers(found, asked(role="tester", permissions={"default": "deny"}))
    assert isinstance(of_role, dict)
    assert of_role["rules"] == ["allow run(pytest *)"]
    assert isinstance(of_spawn, dict)
    assert of_spawn["default"] == "deny"
    assert roles.layers(found, asked(permissions={"default": "allow"})) == []


def test_a_role_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="ROLE_NOT_FOUND") as caught:
        roles.applied(roles.BUILT_IN, asked(role="boss"))
    assert "code-reviewer" in caught.value.advice


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("[a]\nagent = \n", 2, "Invalid value"),
        ("[a]\n\nagent = 'gpt'\n", 3, "a.agent: none of"),
        ("[a]\nmodel = 'm'\nmodle = 'x'\n", 3, "a.modle: Extra inputs"),
        ("[b]\nmodel = 'm'\n[a]\nmodel = 7\n", 4, "a.model: Input should be a valid string"),
        ("[a.permissions]\nrules = ['allow', 'no']\n", 2, "is no rule"),
        ("[a]\npermissions = { default = 'maybe' }\n", 2, "a.permissions.default"),
        ("[a]\n[a.env]\nLD_PRELOAD = 'x'\n", 2, "a session may not set 'LD_PRELOAD'"),
        ("['a b']\n", 1, "is no name for a role"),
        ("a = 1\n", 1, "a: Input should be a valid dictionary"),
    ],
)
def test_a_bad_file_is_refused_with_line_and_reason(text: str, line: int, why: str) -> None:
    with pytest.raises(InvalidArgument, match="BAD_ROLES") as caught:
        roles.read(text, "r.toml")
    assert caught.value.message.startswith(f"r.toml:{line}: ")
    assert why in caught.value.message


def test_an_assignment_becomes_text_without_what_is_empty() -> None:
    work = Assignment(
        objective=" Fix it ", requirements=["one\nmore", " "], definition_of_done=["green"]
    )
    assert briefing.mission(work) == (
        "# Mission\n\n## Objective\n\nFix it\n\n## Requirements\n\n- one\n  more\n\n"
        "## Definition of done\n\n- green\n"
    )
    told = briefing.prompt("Begin.", work)
    assert told.startswith("Begin.\n\n# Mission\n")
    assert told.endswith(briefing.WHERE)
    assert briefing.prompt("Begin.", None) == "Begin."
    assert briefing.prompt("", work).startswith("# Mission")


def test_every_part_of_an_assignment_is_told() -> None:
    fields = Assignment.model_fields
    said = {name: "objective" if name == "objective" else [f"<{name}>"] for name in fields}
    text = briefing.mission(Assignment.model_validate({**said, "context": "<context>"}))
    assert all(f"<{name}>" in text for name in fields if name != "objective")
