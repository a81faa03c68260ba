"""What a sandbox comes to as a table, and what is above what: no kernel is asked."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from hub.core import permitted, roles
from hub.core.placement import Place, Room, Waiting, decide
from protocol.errors import FailedPrecondition
from protocol.ops.spawning import SpawnParams
from protocol.sandbox import SANDBOXES, Sandbox, strictest
from spoke.agents import claude, codex, gemini, opencode
from spoke.agents.agent import Kept
from spoke.core.sandboxing import (
    CHANGE,
    ON_FILES,
    READ,
    Ground,
    Level,
    Right,
    environment,
    exposed,
    known,
    outermost,
    readable,
    rules,
)

GROUND = Ground(
    worktree="/s/worktrees/r/1",
    own=["/s/attempts/1/tmp"],
    kept=["/h/.claude/projects"],
    git=["/s/clones/r/objects", "/s/clones/r/refs/heads"],
    given=["/s/attempts/1/credential"],
    open=["/usr", "/h/code"],
)
LINKS = Right.MAKE_SYM | Right.MAKE_FIFO | Right.MAKE_SOCK
CHANGES = Right.WRITE_FILE | Right.MAKE_REG | Right.REMOVE_FILE | Right.TRUNCATE | Right.REFER

TREE: Mapping[str, list[str]] = {
    "/": ["/etc", "/h", "/usr"],
    "/h": ["/h/code", "/h/s"],
    "/h/s": ["/h/s/key"],
}


def changeable(level: Level) -> set[str]:
    return {path for path, rights in rules(level, GROUND) if rights & CHANGES == CHANGES}


def test_a_worktree_sandbox_changes_its_worktree_what_git_needs_and_what_its_agent_keeps() -> None:
    assert changeable("worktree") == {
        "/s/worktrees/r/1", "/s/attempts/1/tmp", "/h/.claude/projects", "/s/clones/r/objects",
        "/s/clones/r/refs/heads",
    }  # fmt: skip


def test_no_link_is_put_where_the_daemon_writes_too() -> None:
    seen = dict(rules("worktree", GROUND))
    assert not any(seen[path] & LINKS for path in GROUND.git)
    assert seen[GROUND.worktree] & LINKS == LINKS


def test_what_lies_in_what_is_open_is_not_opened_by_itself() -> None:
    """It could be a link by now, to anywhere."""
    paths = ["/h/.cache", "/h/.cache/data/x", "/h/.cachet", "/x"]
    assert outermost(paths) == ["/h/.cache", "/h/.cachet", "/x"]
    assert outermost(["/", "/x"]) == ["/"]


def test_a_read_only_one_reads_its_worktree_and_git() -> None:
    assert changeable("read-only") == {"/s/attempts/1/tmp", "/h/.claude/projects"}
    seen = dict(rules("read-only", GROUND))
    assert seen["/s/worktrees/r/1"] == seen["/s/clones/r/objects"] == READ


@pytest.mark.parametrize("level", ["worktree", "read-only"])
def test_names_are_listed_everywhere_and_no_device_is_made(level: Level) -> None:
    table = dict(rules(level, GROUND))
    assert table["/"] == Right.READ_DIR
    assert table["/dev/null"] & Right.WRITE_FILE
    assert "/dev" not in table
    assert not any(rights & (Right.MAKE_CHAR | Right.MAKE_BLOCK) for rights in table.values())


def test_what_is_read_is_all_but_what_is_hidden() -> None:
    inside = TREE.__getitem__
    assert sorted(readable({"/h/s/key"}, inside)) == ["/etc", "/h/code", "/usr"]
    assert sorted(readable({"/h/s", "/etc"}, inside)) == ["/h/code", "/usr"]
    assert sorted(readable({"/h/not-yet"}, inside)) == ["/etc", "/h/code", "/h/s", "/usr"]
    assert list(readable(set(), inside)) == ["/"]


def test_what_is_hidden_twice_is_hidden() -> None:
    """As the state of a spoke is in the folder of `coordctl up`, which is hidden itself."""
    inside = TREE.__getitem__
    assert sorted(readable({"/h/s", "/h/s/key"}, inside)) == ["/etc", "/h/code", "/usr"]
    assert sorted(readable({"/h/s/key", "/h"}, inside)) == ["/etc", "/usr"]


def test_what_is_open_must_not_be_above_what_is_hidden() -> None:
    assert exposed(["/h/code", "/h/s/key/x"], {"/h/s/key"}) is None
    assert exposed(["/h/code", "/h/s"], {"/h/s/key"}) == "/h/s"
    assert exposed(["/h/s/key"], {"/h/s/key"}) == "/h/s/key"
    assert exposed(["/"], {"/h/s/key"}) == "/"


@pytest.mark.parametrize(
    ("abi", "newest"),
    [
        (1, Right.MAKE_SYM), (2, Right.REFER), (3, Right.TRUNCATE), (4, Right.TRUNCATE),
        (5, Right.IOCTL_DEV), (7, Right.IOCTL_DEV), (99, Right.IOCTL_DEV),
    ],
)  # fmt: skip
def test_a_kernel_is_asked_for_no_more_than_it_knows(abi: int, newest: Right) -> None:
    assert known(abi) & newest
    assert known(abi) < newest << 1


def test_a_file_is_given_no_rights_of_folders() -> None:
    assert not ON_FILES & (Right.READ_DIR | Right.MAKE_REG | Right.REMOVE_FILE | Right.REFER)
    assert ON_FILES & CHANGE == ON_FILES ^ Right.IOCTL_DEV


def test_it_hears_where_its_temporary_files_go_and_what_git_shall_not_write() -> None:
    said = environment({}, "/t")
    assert said["TMPDIR"] == said["TMP"] == said["TEMP"] == "/t"
    assert said["GIT_CONFIG_COUNT"] == "2"
    more = environment({"GIT_CONFIG_COUNT": "3"}, "/t")
    assert more["GIT_CONFIG_COUNT"] == "5"
    assert more["GIT_CONFIG_KEY_3"] == said["GIT_CONFIG_KEY_0"]
    assert environment({"GIT_CONFIG_COUNT": "many"}, "/t") == said


@pytest.mark.parametrize(
    ("environ", "at"),
    [
        ({"HOME": "/h"}, "/h/.x/y"),
        ({"HOME": "/h", "X_HOME": "/x"}, "/x/y"),
        ({"HOME": "/h", "X_HOME": "relative"}, "/h/.x/y"),
        ({"X_HOME": "/x"}, "/x/y"),
        ({}, None),
        ({"HOME": "relative"}, None),
    ],
)
def test_where_an_agent_keeps_something(environ: dict[str, str], at: str | None) -> None:
    assert Kept("X_HOME", ".x", "y").at(environ) == at


def test_a_home_that_is_not_named_by_a_variable() -> None:
    assert Kept("", ".x").at({"HOME": "/h"}) == "/h/.x"


def test_no_agent_may_change_what_names_programs() -> None:
    """But for Gemini CLI, which writes beside its settings: docs/agents.md says so."""
    for one in (*claude.KEEPS, *codex.KEEPS):
        assert one.folders, "not the whole of it"
        opened = {*one.folders, *one.files, *one.made}
        assert not opened & {
            "settings.json", "settings.local.json", "config.toml", "hooks", "hooks.json", "plugins",
            "agents", "commands", "skills", "rules", "prompts", "shell-snapshots",
            "shell_snapshots", "session-env", "tmp", "local",
        }  # fmt: skip
    assert all(one.below == "opencode" for one in opencode.PROFILE.keeps)
    assert [one.folders for one in gemini.PROFILE.keeps] == [()]


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ((), "off"),
        (("off", None), "off"),
        (("worktree", "off"), "worktree"),
        (("worktree", "read-only", "off"), "read-only"),
    ],
)
def test_the_strictest_holds(asked: tuple[str | None, ...], holds: Sandbox) -> None:
    assert strictest(*asked) == holds


def test_a_session_goes_only_where_it_can_be_held() -> None:
    rooms = [Room("a", "a", {}, 4, 0), Room("b", "b", {}, 4, 3, SANDBOXES)]
    assert decide([Waiting("s", None, {}, "worktree")], rooms) == [Place("s", "b")]
    assert decide([Waiting("s", None, {}, "off")], rooms) == [Place("s", "a")]
    assert decide([Waiting("s", "a", {}, "read-only")], rooms) == []


def test_a_spoke_that_is_named_and_cannot_hold_it_is_refused_at_once() -> None:
    permitted.check_holds("anvil", SANDBOXES, "read-only")
    permitted.check_holds("anvil", None, "read-only")
    with pytest.raises(FailedPrecondition) as refused:
        permitted.check_holds("anvil", ["off"], "worktree")
    assert refused.value.reason == "SANDBOX_UNAVAILABLE"


def test_what_a_spawn_says_goes_before_its_role() -> None:
    def held(**said: object) -> Sandbox | None:
        asked = SpawnParams.model_validate({"task": "t", "repo": "/r", **said})
        return roles.applied(roles.BUILT_IN, asked).sandbox

    assert held() is None
    assert held(sandbox="worktree") == "worktree"
    assert held(role="code-reviewer") == "read-only"
    assert held(role="code-reviewer", sandbox="off") == "off"
    assert held(role="implementation-specialist") is None


def test_what_is_no_sandbox_is_refused() -> None:
    with pytest.raises(ValidationError):
        SpawnParams.model_validate({"task": "t", "repo": "/r", "sandbox": "none"})
