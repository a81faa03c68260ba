"""What holds an agent on this machine: the trial, the calls to the kernel, the folders it needs."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from protocol.errors import FailedPrecondition
from spoke import layout, trial, walls
from spoke.agents.agent import Kept, Plan
from spoke.clones import Clone, Clones
from spoke.core.sandboxing import CHANGE, LIST, READ, STORE, Right
from spoke.folder import Folder
from spoke.git import Git
from spoke.journal import Key
from spoke.place import Place
from spoke.settings import SpokeSettings
from spoke.supervisor import agent, landlock, unborn
from spoke.supervisor.assignment import Assignment
from spoke.supervisor.door import Door
from spoke.supervisor.doorway import Doorway
from tests.support.repositories import git, make_repository

PATIENCE = 30.0  # seconds
COMMAND = Plan(["true"], {}, "open")


def test_a_trial_holds_a_child_of_ours_and_not_us(tmp_path: Path) -> None:
    found = trial.hold()
    assert found.sandboxes == ["off", "worktree", "read-only"], found
    assert str(found) == f"landlock {landlock.abi()}"
    (tmp_path / "free").touch()


@pytest.mark.parametrize(("abi", "why"), [(0, "no Landlock"), (2, "Landlock 3 is needed")])
def test_a_kernel_that_is_too_old_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, abi: int, why: str
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    found = trial.hold()
    assert found.sandboxes == ["off"]
    assert why in str(found)
    assert found.narrowest("off") == "off"
    with pytest.raises(FailedPrecondition) as refused:
        found.narrowest("off", "worktree")
    assert refused.value.reason == "SANDBOX_UNAVAILABLE"


def test_a_kernel_that_does_not_keep_to_the_rules_holds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def enter(_ruleset: int) -> None:
        """As a kernel that takes anything."""

    monkeypatch.setattr(landlock, "enter", enter)
    assert trial.hold().why == "the kernel took the rules and did not keep to them"


def _assignment(
    folder: Path, walls: list[tuple[str, int]], script: str = "echo in > in; echo out > ../out"
) -> Assignment:
    return {
        "session": "ses_1", "attempt": 1, "dir": str(folder), "socket": str(folder / "s"),
        "argv": ["sh", "-c", script],
        "env": {"PATH": os.environ["PATH"]}, "cwd": str(folder), "stdin": "closed",
        "starting": {}, "ladder": {"termMs": 1, "killMs": 2, "sweepMs": 3}, "spoolLimit": 1,
        "storedMs": 1, "greeting": None, "talk": None, "walls": walls,
    }  # fmt: skip


def test_an_agent_is_held_and_who_starts_it_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    rules = [("/", int(READ)), (str(folder), int(CHANGE)), (f"{tmp_path}/not-there", int(CHANGE))]
    started = agent.start(_assignment(folder, rules), unborn.conceive())
    _, status = os.waitpid(started.leader.pid, 0)
    for end in (started.stdout, started.stderr):
        os.close(end)
    assert os.waitstatus_to_exitcode(status) != 0
    assert (folder / "in").read_text() == "in\n"
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").touch()


def test_no_signal_leaves_it_and_it_has_no_powers(tmp_path: Path) -> None:
    script = "kill -0 $PPID && echo free; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status"
    started = agent.start(_assignment(tmp_path, [("/", int(READ))], script), unborn.conceive())
    said = b""
    os.set_blocking(started.stdout, True)
    while chunk := os.read(started.stdout, 4096):
        said += chunk
    os.waitpid(started.leader.pid, 0)
    for end in (started.stdout, started.stderr):
        os.close(end)
    status = dict(line.split(b":\t") for line in said.splitlines())
    assert status[b"NoNewPrivs"] == b"1"
    assert int(status[b"CapPrm"], 16) == int(status[b"CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert int(status[b"CapBnd"], 16) == 0


def test_a_supervisor_hears_who_has_its_word(tmp_path: Path) -> None:
    heard: list[object] = []

    def on_request(
        request: dict[str, object], answer: Callable[[Mapping[str, object]], None]
    ) -> None:
        heard.append(request)
        answer({"ok": True})

    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as line:
        door = Door(Doorway.at(str(tmp_path / "door")), selector, on_request, "sesame")
        line.connect(str(tmp_path / "door"))
        line.sendall(b'{"id":1,"op":"stop"}\n{"id":2,"op":"stop","word":"x"}\n')
        line.sendall(b'{"id":3,"op":"status","word":"sesame"}\n')
        said = b""
        while b'"id":3' not in said:
            for key, mask in selector.select(PATIENCE):
                key.data(mask)
            door.flush()
            said += line.recv(65536)
        door.close(over=True)
        while not said.endswith(b'{"over":true}\n'):
            said += line.recv(65536)
        for key in list(selector.get_map().values()):  # as the end of a supervisor's process does
            cast("socket.socket", key.fileobj).close()
    assert heard == [{"id": 3, "op": "status"}]
    assert said.count(b"NOT_ADMITTED") == 2


def test_an_agent_that_cannot_be_held_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    will_be = unborn.conceive()
    with pytest.raises(agent.SpawnFailed) as failed:
        agent.start(_assignment(tmp_path, [("/", int(READ))]), will_be)
    will_be.dismiss()
    assert failed.value.reason == "SANDBOX_UNAVAILABLE"
    assert not (tmp_path / "in").exists()


def _ground(
    tmp_path: Path, plan: Plan, environ: Mapping[str, str], **said: object
) -> dict[str, Right]:
    """The rules for an attempt whose spoke has its state in `tmp_path`/state."""
    settings = SpokeSettings.model_validate({"state": tmp_path / "state", **said})
    clone, place = _place(settings.state)
    settings.places.make()
    folder = Folder(settings.places, Key("ses_1", 1))
    folder.furnish("prompt", "token")
    made = walls.make("worktree", clone, place, folder, plan, settings, environ)
    table: dict[str, Right] = {}
    for path, rights in made.rules:
        table[path] = table.get(path, Right(0)) | rights
    return table


def _place(state: Path) -> tuple[Path, Place]:
    clone = state / "clones/r"
    layout.build_clone(clone)
    place = Place(state / "worktrees/r/1", state / "views/r/1", clone / "commons/worktrees/1")
    layout.build_view(place.view, clone, "https://h/r", {})
    return clone, place


def test_the_state_of_the_spoke_is_shut_but_for_what_is_given(tmp_path: Path) -> None:
    table = _ground(tmp_path, COMMAND, {"HOME": str(tmp_path / "home")})
    state = tmp_path / "state"
    attempt = state / "attempts/ses_1.1"
    inside = {path for path in table if Path(path).is_relative_to(state)}
    assert str(state) not in table
    assert str(attempt / "credential") in inside
    assert not any(Path(path).name in ("key", "journal", "spool", "attempts") for path in inside)
    assert table["/"] == LIST
    assert "/dev" not in table
    assert table[str(state / "clones/r/refs/heads")] == STORE
    assert str(state / "clones/r/refs") not in table
    assert table[str(tmp_path / "home/.cache")] == CHANGE


def test_of_an_agents_folder_only_what_nobody_obeys_is_open(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".x").mkdir(parents=True)
    for name in ("settings", "history", "secret"):
        (home / ".x" / name).touch()
    (home / ".x/linked").symlink_to(home)
    kept = Kept("X_HOME", ".x", folders=("talks",), files=("history", "none"), made=("id",))
    plan = COMMAND._replace(keeps=(kept._replace(told={"X_TALKS": "talks"}),))
    table = _ground(tmp_path, plan, {"HOME": str(home), "XDG_CACHE_HOME": str(tmp_path / "c")})
    may = {Path(path).name for path, rights in table.items() if rights & Right.WRITE_FILE}
    assert may >= {"talks", "history", "none", "id"}
    assert not may & {"settings", "secret", ".x", "linked", "home"}
    assert (home / ".x/talks").is_dir()
    assert (home / ".x/id").is_file()
    assert not (home / ".x/none").exists()


def test_an_agent_is_told_where_its_databases_go(tmp_path: Path) -> None:
    settings = SpokeSettings(state=tmp_path / "state")
    clone, place = _place(settings.state)
    settings.places.make()
    folder = Folder(settings.places, Key("ses_1", 1))
    folder.make()
    kept = Kept("X_HOME", ".x", folders=("talks",), told={"X_TALKS": "talks"})
    plan = COMMAND._replace(keeps=(kept,), held_env={"IS_HELD": "1"})
    made = walls.make("read-only", clone, place, folder, plan, settings, {"HOME": str(tmp_path)})
    said = made.told({"X_HOME": "/of/the/order"})
    assert said["X_TALKS"] == f"{tmp_path}/.x/talks"
    assert said["IS_HELD"] == "1"
    assert said["TMPDIR"] == str(folder.temp)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"XDG_CACHE_HOME": "{}"}, {}),
        ({"XDG_CACHE_HOME": "{}/elsewhere", "X_HOME": "{}/state"}, {}),
        ({"XDG_CACHE_HOME": "{}/elsewhere"}, {"sandbox_writes": ["{}/linked"]}),
        ({"XDG_CACHE_HOME": "{}/secrets"}, {"hidden": ["{}/secrets/mine"]}),
    ],
)
def test_what_would_open_the_hidden_refuses_the_spawn(
    tmp_path: Path, environ: dict[str, str], said: dict[str, list[str]]
) -> None:
    (tmp_path / "linked").symlink_to(tmp_path)
    named = {name: text.format(tmp_path) for name, text in environ.items()}
    more = {name: tuple(text.format(tmp_path) for text in texts) for name, texts in said.items()}
    plan = COMMAND._replace(keeps=(Kept("X_HOME", ".x"),))
    with pytest.raises(FailedPrecondition) as refused:
        _ground(tmp_path, plan, {"HOME": str(tmp_path / "home"), **named}, **more)
    assert refused.value.reason == "SANDBOX_UNAVAILABLE"


async def test_a_narrow_view_shares_branches_and_keeps_the_rest(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "repo")
    clones = Clones(tmp_path / "state", Git(tmp_path / "home"), allow_local=True)
    clone: Clone = await clones.get(repo)
    commit = git(Path(repo), "rev-parse", "HEAD")
    for ref in ("refs/heads/a/b", "refs/coord/wip/ses_other"):
        await clone.run(["update-ref", ref, commit])
    await clone.run(["pack-refs", "--all"])
    place = Place.of(tmp_path / "state", clone.path, "worktrees", "ses_1")
    await place.check_out(clone, commit, {})
    for _ in range(2):  # as at each of its attempts
        layout.narrow(place.view, clone.path)
    tree = place.tree
    git(tree, "checkout", "-q", "a/b")
    (tree / "file0.txt").write_text("mine\n")
    git(tree, "stash")
    git(tree, "branch", "c")
    assert git(tree, "stash", "list").startswith("stash@{0}: WIP on a/b")
    seen = git(tree, "for-each-ref", "--format=%(refname)").split()
    assert {"refs/heads/a/b", "refs/heads/c", "refs/stash"} <= set(seen)
    shared = (await clone.run(["for-each-ref", "--format=%(refname)"])).split()
    assert "refs/heads/c" in shared
    assert "refs/stash" not in shared
    assert "refs/coord/wip/ses_other" in shared
    layout.narrow(place.view, clone.path)
    assert git(tree, "stash", "list"), "its stash is still there"
