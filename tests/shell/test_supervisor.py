"""A supervisor and its agent from the start to the end: what each is, and what is written down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import FailedPrecondition, Unavailable
from protocol.failure import ADVICE, FailureKind
from spoke import groups
from spoke.spool import RESERVE_BYTES, Kind
from spoke.supervisor.tree import boot_id, look
from tests.support.supervised import PATIENCE_S, ROOT, Case, stop, until


async def test_an_agent_runs_to_its_end_and_its_spool_tells_all(case: Case) -> None:
    await case.run("bash", "-c", "echo out; echo err >&2; printf unfinished; exit 3")
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["exitCode"], ending["signal"]) == ("failed", 3, None)
    assert (ending["endedBy"], ending["ended"], ending["survivors"]) == ("itself", 0, 0)
    assert case.kinds()[:2] == [Kind.STARTING, Kind.RUNNING]
    assert (case.text(), case.text(Kind.STDERR)) == (b"out\nunfinished", b"err\n")


async def test_the_supervisor_says_who_it_is(case: Case) -> None:
    line = await case.bash("read -r _")
    assert case.started is not None
    identity = json.loads((case.folder / "supervisor.json").read_bytes())
    supervisor, leader = look(case.started.supervisor_pid), look(case.started.pid)
    assert supervisor is not None
    assert leader is not None
    group = identity.pop("group")
    assert group is None or supervisor.pid in groups.members(Path(group))
    assert identity == {
        "pid": supervisor.pid,
        "startTime": supervisor.start,
        "bootId": boot_id(),
    }
    running = json.loads(case.records()[1].payload)
    assert running == {"pid": leader.pid, "startTime": leader.start}
    status = await line.status()
    assert (status["pid"], status["alive"], status["phase"]) == (leader.pid, True, "watching")
    assert (case.folder / "s").stat().st_mode & 0o777 == 0o600
    assert os.getsid(leader.pid) == leader.pid
    stop(line)
    await case.wait_exit()


def test_a_supervisor_loads_nothing_but_the_standard_library() -> None:
    script = (
        f"import sys; sys.path.append({str(ROOT)!r}); import spoke.supervisor.main;"
        "print(*{name.partition('.')[0] for name in sys.modules}, end='')"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) - sys.stdlib_module_names == {"spoke"} | ({"__main__"} & set(loaded))
    heavy = {"asyncio", "pydantic", "subprocess", "pathlib", "dataclasses", "logging", "threading"}
    assert not heavy & set(loaded)


async def test_the_agent_starts_with_default_signals_and_no_stray_descriptor(case: Case) -> None:
    await case.run("grep", "-E", "^Sig(Blk|Ign)|^Seccomp:", "/proc/self/status")
    await case.wait_exit()
    masks = dict(line.split(b":\t") for line in case.text().splitlines())
    settable = sum(1 << number - 1 for number in signal.valid_signals())
    assert int(masks[b"SigBlk"], 16) & settable == 0
    assert int(masks[b"SigIgn"], 16) & settable == 0


async def test_the_agent_holds_its_three_pipes_and_nothing_else(case: Case) -> None:
    await case.run("ls", "/proc/self/fd")
    await case.wait_exit()
    assert case.text().split() == [b"0", b"1", b"2", b"3"]  # 3 is ls reading the folder


FAILURES: dict[str, tuple[list[str], str, str]] = {
    "missing": (["no-such-program-anywhere"], ".", "AGENT_NOT_FOUND"),
    "missing path": (["./no-such-program"], ".", "AGENT_NOT_FOUND"),
    "not executable": (["./plain"], ".", "SPAWN_FAILED"),
    "no interpreter": (["./orphan"], ".", "SPAWN_FAILED"),
    "no format": (["./noformat"], ".", "SPAWN_FAILED"),
    "cwd gone": (["true"], "gone", "SPAWN_FAILED"),
    "a zero byte": (["true", "a\0b"], ".", "SPAWN_FAILED"),
}


@pytest.mark.parametrize(("argv", "cwd", "reason"), FAILURES.values(), ids=FAILURES)
async def test_an_agent_that_cannot_start_says_why(
    case: Case, argv: list[str], cwd: str, reason: str
) -> None:
    for name, mode in (("plain", 0o644), ("orphan", 0o755), ("noformat", 0o755)):
        path = case.folder / name
        path.write_text("#!/no/such/interpreter\n" if name == "orphan" else "\x7fnothing\n")
        path.chmod(mode)
    with pytest.raises(FailedPrecondition) as caught:
        await case.start(*argv, cwd=str(case.folder / cwd))
    assert caught.value.reason == reason
    assert caught.value.message
    assert case.kinds() == [Kind.STARTING, Kind.EXITED]
    ending = json.loads(case.records()[-1].payload)
    assert (ending["outcome"], ending["reason"], ending["exitCode"]) == ("failed", reason, None)
    assert ending["endedBy"] == "never_started"
    assert not (case.folder / "s").exists()


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        ("./no-such-program", "commit it, or name it by its absolute path"),
        ("no-such-program", ADVICE[FailureKind.AGENT_MISSING]),
        ("/no/such/program", ADVICE[FailureKind.AGENT_MISSING]),
    ],
)
async def test_what_to_do_about_a_missing_program_is_of_how_it_was_named(
    case: Case, program: str, advice: str
) -> None:
    with pytest.raises(FailedPrecondition):
        await case.start(program)
    ending = json.loads(case.records()[-1].payload)
    assert (ending["advice"], ending["failure"]["advice"]) == (advice, advice)


async def test_a_flood_of_lines_is_kept_in_order(case: Case) -> None:
    await case.run("seq", "1", "100000")
    await case.wait_exit()
    assert case.text() == "".join(f"{number}\n" for number in range(1, 100_001)).encode()


async def test_output_beyond_the_limit_is_dropped_and_the_end_is_still_told(case: Case) -> None:
    await case.run("seq", "1", "100000", spoolLimit=RESERVE_BYTES + 4096)
    ending = await case.wait_exit()
    kept = len(case.text())
    assert kept + ending["droppedBytes"] == sum(len(f"{n}\n") for n in range(1, 100_001))
    assert case.kinds().count(Kind.DROPPED) == 1
    assert ending["outcome"] == "completed"


async def test_a_supervisor_survives_polite_signals(case: Case) -> None:
    line = await case.bash("echo ready; read -r _")
    assert case.started is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(case.started.supervisor_pid, number)
    assert (await line.status())["alive"] is True
    stop(line)
    await case.wait_exit()


async def test_an_end_that_the_hub_has_does_not_wait_for_the_disk(case: Case) -> None:
    line = await case.bash("echo ready; read -r _", storedMs=10 * PATIENCE_S * 1_000)
    await case.wait_said("ready")
    stop(line)
    await until(lambda: case.heard_the_end)
    assert case.kinds()[-1] is Kind.EXITED and case.pushed == len(case.records())
    unheard = asyncio.create_task(line.message("m1", "too late"))
    await asyncio.sleep(0)  # it says it before, or the line may break with our last word unread
    line.stored()
    assert (await case.wait_exit())["outcome"] == "aborted"
    with pytest.raises(Unavailable):
        await unheard
