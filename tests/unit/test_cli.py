"""What coordctl is made of: safe text, tables, trees, words, exit codes, the registry."""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.cli import terminal
from coord.cli.asking import count, duration, outcome, pair
from coord.cli.daemon import OneLine
from coord.cli.exits import Exit
from coord.cli.failures import exit_of, first_of_ours, guarded, text_of
from coord.cli.parser import UsageError, build, read
from coord.cli.registry import COMMANDS
from coord.cli.serving import settings_of
from coord.cli.tables import Column, Paper, age, facts, table
from coord.cli.trees import tree
from protocol.errors import (
    BY_CODE,
    CallError,
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    LinkLost,
    ResourceExhausted,
    Unauthenticated,
)
from protocol.ops.sessions import SessionView
from protocol.session import State
from tests.support.fake_hub import session

ANY_TEXT = st.text(st.characters(exclude_categories=()))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@given(ANY_TEXT)
def test_nothing_that_steers_a_terminal_passes(text: str) -> None:
    shown = terminal.lines(text)
    assert not [c for c in shown if (ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]
    assert not set(shown) & set("\u202a\u202e\u2066\u2069\u200b\ufeff")
    assert "\n" not in terminal.cell(text)
    shown.encode()  # no half of a surrogate pair is left


@given(ANY_TEXT, ANY_TEXT)
def test_a_sequence_cut_in_two_is_shown_like_a_whole_one(a: str, b: str) -> None:
    assert terminal.lines(a) + terminal.lines(b) == terminal.lines(a + b)


@given(st.text())
def test_safe_json_is_the_same_json(text: str) -> None:
    safe = terminal.json_text(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(safe) == {"text": text}


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"))))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert terminal.cell(text) == text


ROWS: list[tuple[str, str]] = [("running", "日本"), ("x", "two\nlines")]
COLUMNS: list[Column[tuple[str, str]]] = [
    Column("STATE", lambda row: row[0]),
    Column("NAME", lambda row: row[1]),
]


def test_columns_are_aligned_and_rows_stay_on_one_line() -> None:
    assert table(ROWS, COLUMNS, Paper()) == "STATE    NAME\nrunning  日本\nx        two␊lines\n"


def test_a_table_is_cut_where_the_paper_ends() -> None:
    assert table(ROWS, COLUMNS, Paper(columns=12)).splitlines() == [
        "STATE    NAM", "running  日", "x        two",
    ]  # fmt: skip


def test_states_have_colours_on_a_terminal_only() -> None:
    assert "\x1b[32mrunning" in table(ROWS, COLUMNS, Paper(colour=True))
    assert "\x1b" not in table(ROWS, COLUMNS, Paper())


def test_facts_leave_out_what_is_not_there() -> None:
    assert facts([("a", "1"), ("long", "2"), ("none", "")], Paper()) == "a     1\nlong  2\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0s"), (59, "59s"), (60, "1m"), (7_200, "2h"), (200_000, "2d")]
)
def test_ages_have_one_unit(seconds: int, said: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


def _view(id: str, parent: str | None, second: int) -> SessionView:
    at = (NOW + timedelta(seconds=second)).isoformat()
    return SessionView.model_validate(session(id, id, parentSessionId=parent, createdAt=at))


def test_sessions_are_drawn_below_their_parents() -> None:
    views = [
        _view("d", "b", 4), _view("c", "a", 3), _view("a", None, 1), _view("b", "a", 2),
        _view("e", "not shown", 5),
    ]  # fmt: skip
    drawn = [lead + view.session_id for lead, view in tree(views)]
    assert drawn == ["a", "├ b", "│ └ d", "└ c", "e"]


@pytest.mark.parametrize(
    ("text", "ms"), [("90", 90_000), ("1.5m", 90_000), ("500ms", 500), ("2h", 7_200_000)]
)
def test_durations(text: str, ms: int) -> None:
    assert duration(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1w", "1 s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1.5"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        count(text)


@pytest.mark.parametrize("words", [["ps", "--state", "x"], ["ps", "-o", "x"], ["call", "a", "-ox"]])
def test_a_wrong_choice_is_told_the_right_ones(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"choose from '(queued|table|json)', '"):
        read(words)


def test_options_before_the_command_are_told_their_place() -> None:
    with pytest.raises(UsageError, match="options go behind the command: -o"):
        read(["-o", "json", "ps"])


def test_a_port_that_cannot_be_is_refused_in_words() -> None:
    args = read(["up", "--port", "99999"]).args
    with pytest.raises(InvalidArgument, match="port: Input should be less than or equal to 65535"):
        settings_of(args, "", Path("state"))


def test_a_file_that_cannot_be_used_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: argparse.Namespace) -> Exit:
        raise PermissionError(13, "Permission denied", "/some/file")

    assert guarded(run, argparse.Namespace(), as_json=False) == Exit.CONFLICT
    assert capsys.readouterr().err.startswith("error: /some/file: Permission denied\nwhy: ")


def test_pairs() -> None:
    assert pair("a=b=c") == ("a", "b=c")
    for text in ("a", "=b", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            pair(text)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([State.COMPLETED], Exit.OK),
        ([State.ABORTED, State.COMPLETED], Exit.ABORTED),
        ([State.ABORTED, State.BLOCKED], Exit.WORK_FAILED),
        ([State.RUNNING], Exit.WORK_FAILED),
    ],
)
def test_outcomes(states: list[State], code: Exit) -> None:
    assert outcome(states) == code


def test_every_error_has_an_exit_code() -> None:
    codes = {kind.__name__: exit_of(kind("R", "m")) for kind in BY_CODE.values()}
    assert codes["NotFound"] == 3
    assert codes["PermissionDenied"] == codes["Unauthenticated"] == 4
    assert codes["Conflict"] == codes["FailedPrecondition"] == codes["AlreadyExists"] == 5
    assert exit_of(LinkLost("R", "m")) == codes["Unavailable"] == 6
    assert exit_of(DeadlineExceeded("R", "m")) == 8
    assert exit_of(Cancelled("R", "m")) == 9
    assert exit_of(Internal("R", "m")) == exit_of(ResourceExhausted("R", "m")) == 1
    assert 0 not in codes.values()


def test_an_error_says_what_why_and_what_to_try() -> None:
    assert text_of("it\x1b failed", "CODE REASON", "coordctl ps") == (
        "error: it␛ failed\nwhy:   CODE REASON\ntry:   coordctl ps\n"
    )


def test_the_first_error_of_ours_is_found_in_groups() -> None:
    ours = Unauthenticated("R", "m")
    group = ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [ours])])
    assert first_of_ours(group) is ours
    assert first_of_ours(ExceptionGroup("a", [ValueError()])) is None


def test_a_log_line_cannot_be_forged() -> None:
    try:
        raise CallError("R", "boom\n2026-01-01 INFO forged")
    except CallError:
        exc_info = sys.exc_info()
    record = logging.LogRecord(
        "hub.x", logging.ERROR, "f", 1, "task %s", ("a\n2026 INFO forged",), exc_info
    )
    first, *rest = OneLine().format(record).splitlines()
    assert first.endswith("ERROR   hub.x: task a␊2026 INFO forged")
    assert rest
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        read([name, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "example: " in text
    assert "coordctl" in text


def test_all_examples_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    for name in COMMANDS:
        with pytest.raises(SystemExit):
            read([name, "--help"])
        example = capsys.readouterr().out.partition("example: ")[2].split("\n\n")[0]
        words = shlex.split(example.replace("\n", " "))
        words = words[words.index("coordctl") + 1 :]
        read(words[: words.index(">")] if ">" in words else words)


def test_an_unknown_command_is_told_its_neighbour() -> None:
    with pytest.raises(UsageError, match="did you mean spawn"):
        read(["spwan"])


def test_only_the_chosen_command_is_read_in_full() -> None:
    assert "--repo" not in build({}).format_help()
    chosen = read(["spawn", "t", "--repo", "r", "--", "ps", "--all"])
    assert chosen.args.program == ["ps", "--all"]
    assert read(["message", "ref", "--", "-text"]).args.text == "-text"


def test_help_loads_nothing_heavy() -> None:
    heavy = (
        "pydantic",
        "websockets",
        "rich",
        "asyncio",
        "hub",
        "spoke",
        "protocol",
        "platformdirs",
    )
    code = (
        "import sys\nfrom coord.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"coordctl --help: {spent * 1_000:.0f} ms of CPU")
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", ["spoke list", "ps", "token list", "status x"])
def test_commands_that_only_ask_load_no_daemon(name: str) -> None:
    code = (
        "import sys\nfrom coord.cli.parser import read\n"
        f"read({name.split()!r})\n"
        "print([n for n in ('hub', 'spoke', 'asyncpg', 'fastapi', 'cryptography')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completions_know_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = read(["completion", shell])
    assert chosen.run(chosen.args) == Exit.OK
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in text] == []
    assert "uncordon" in text
    assert "branch-prefix" in text


def test_errors_in_words_are_ours() -> None:
    with pytest.raises(UsageError) as caught:
        read(["logs", "x", "--tail", "many"])
    assert caught.value.command == "coordctl logs"
    assert isinstance(InvalidArgument("R", "m"), CallError)
