"""A supervisor with real agents: stubborn trees, messages, deaths of the daemon and of itself."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from protocol.errors import FailedPrecondition, Unavailable
from spoke import groups
from spoke.contact import Contact
from spoke.core.story import Stop
from spoke.nursery import forget_spares
from spoke.process import Assignment, Exit, LadderTimes, Started, Supervisor, Supervisors
from spoke.spool import LIMIT_BYTES, RESERVE_BYTES, Kind, Reader, Record
from spoke.supervisor import attempt, tree
from spoke.supervisor.doorway import SPARE
from spoke.supervisor.fence import Fence, now_ms
from spoke.supervisor.tree import boot_id, look
from spoke.sweep import is_alive, kill_marked

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 30.0
SLOW: LadderTimes = {"termMs": 8_000, "killMs": 16_000, "sweepMs": 25_000}
QUICK: LadderTimes = {"termMs": 150, "killMs": 300, "sweepMs": 10_000}
SESSIONS = count(1)


async def until(question: Callable[[], object]) -> None:
    """Ask until the answer is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not question():
            await asyncio.sleep(0.002)


def marked(mark: str) -> list[int]:
    """Every process whose command line carries the mark, found without the code under test."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class Case:
    """One attempt in a folder of its own."""

    def __init__(self, supervisors: Supervisors) -> None:
        self.supervisors = supervisors
        self.session = f"ses_{os.getpid()}_{next(SESSIONS)}"
        self.mark = f"mark-{self.session}-"
        self.folder = Path(tempfile.mkdtemp(prefix="coord-"))
        self.started: Started | None = None
        self.line: Supervisor | None = None
        self.pushed = 0
        self.heard_the_end = False

    def assignment(self, *argv: str, **more: object) -> Assignment:
        marks = {"COORD_SESSION_ID": self.session, "COORD_ATTEMPT": "1", "MARK": self.mark}
        assignment: Assignment = {
            "session": self.session,
            "attempt": 1,
            "dir": str(self.folder),
            "socket": str(self.folder / "s"),
            "argv": list(argv),
            "env": {"PATH": os.environ["PATH"], **marks},
            "cwd": str(self.folder),
            "stdin": "open",
            "starting": {"sessionId": self.session},
            "ladder": SLOW,
            "spoolLimit": LIMIT_BYTES,
            "storedMs": 0,
            "greeting": None,
            "talk": None,
        }
        return cast("Assignment", {**assignment, **more})

    async def bash(self, script: str, **more: object) -> Supervisor:
        return await self.start("bash", "-c", script, **more)

    async def start(self, *argv: str, **more: object) -> Supervisor:
        await self.run(*argv, **more)
        return await self.connect()

    async def run(self, *argv: str, **more: object) -> None:
        """Start one that may have ended before anybody could connect."""
        self.started = await self.supervisors.start(self.assignment(*argv, **more))

    async def connect(self) -> Supervisor:
        self.line = await Supervisor.connect(self.folder / "s", self.on_spool)
        return self.line

    def on_spool(self, last: int, *, ended: bool) -> None:
        self.pushed, self.heard_the_end = last, ended

    def records(self) -> list[Record]:
        reader = Reader(self.folder / "spool")
        try:
            found: list[Record] = []
            while records := reader.read():
                found += records
            return found
        finally:
            reader.close()

    def kinds(self) -> list[Kind]:
        return [record.kind for record in self.records()]

    def text(self, kind: Kind = Kind.STDOUT) -> bytes:
        return b"".join(record.raw for record in self.records() if record.kind is kind)

    async def wait_said(self, text: str) -> None:
        await until(lambda: text.encode() in self.text())

    async def wait_exit(self) -> Exit:
        assert self.started is not None
        if self.line is not None:
            async with asyncio.timeout(PATIENCE_S):
                assert await self.line.wait_gone(), "it said that it was over"
        await until(lambda: self.started and not look_alive(self.started.supervisor_pid))
        records = self.records()
        assert records[-1].kind is Kind.EXITED
        ending: Exit = json.loads(records[-1].payload)
        assert not (self.folder / "exit.json").exists()
        assert self.line is None or self.pushed == records[-1].seq
        assert not (self.folder / "s").exists()
        return ending

    async def clean(self) -> None:
        if self.line is not None:
            await self.line.close()
        if self.started is not None and is_mine(self.started.supervisor_pid, self.folder):
            os.kill(self.started.supervisor_pid, signal.SIGKILL)
        swept = await kill_marked(self.session, 1)
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)
        assert not swept.survivors


def is_mine(pid: int, folder: Path) -> bool:
    identity = json.loads((folder / "supervisor.json").read_bytes())
    return identity["pid"] == pid and is_alive(pid, identity["startTime"])


@pytest.fixture
def doors() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coord-") as folder:
        yield Path(folder)


@pytest.fixture
async def supervisors(tmp_path: Path, doors: Path) -> AsyncIterator[Supervisors]:
    """With control groups, where there are any."""
    born_in = groups.find(tmp_path)
    made = Supervisors(ROOT, groups=born_in, doors=doors)
    made.warm()
    yield made
    await made.close()
    if born_in is not None:
        groups.leave(born_in)


@pytest.fixture
async def case(supervisors: Supervisors) -> AsyncIterator[Case]:
    made = Case(supervisors)
    yield made
    await made.clean()


def stop(line: Supervisor, *, now: bool = False) -> None:
    line.stop(Stop("aborted", "asked by a test", now=now, by="test"))


async def test_an_agent_runs_to_its_end_and_its_spool_tells_all(case: Case) -> None:
    await case.run("bash", "-c", "echo out; echo err >&2; printf unfinished; exit 3")
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["exitCode"], ending["signal"]) == ("failed", 3, None)
    assert (ending["endedBy"], ending["ended"], ending["survivors"]) == ("itself", 0, 0)
    assert case.kinds()[:2] == [Kind.STARTING, Kind.RUNNING]
    assert (case.text(), case.text(Kind.STDERR)) == (b"out\nunfinished", b"err\n")


async def test_a_stop_that_is_not_obeyed_at_once_is_told_meanwhile(case: Case) -> None:
    line = await case.bash("trap '' INT; echo ready; while :; do sleep 0.05; done")
    await case.wait_said("ready")
    stop(line)
    await until(lambda: case.pushed and case.kinds()[case.pushed - 1] is Kind.NOTED)
    assert Kind.EXITED not in case.kinds() and not case.heard_the_end
    stop(line, now=True)
    assert (await case.wait_exit())["endedBy"] == "SIGKILL"


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


STUBBORN = {
    "ignores INT and TERM": (
        "trap '' INT TERM; echo ready; while :; do (exec -a $MARK sleep 9); done"
    ),
    "setsid": "setsid bash -c 'exec -a $MARK sleep 900' & echo ready; wait",
    "nohup": "nohup bash -c 'exec -a $MARK sleep 900' & echo ready; wait",
    "double fork": "(setsid bash -c 'exec -a $MARK sleep 900' &) & echo ready; wait; read -r _",
    "new process group": "set -m; bash -c 'exec -a $MARK sleep 900' & echo ready; wait",
    "wiped environment": 'setsid env -i bash -c "exec -a $MARK sleep 900" & echo ready; wait',
    "respawner": (
        "setsid bash -c 'trap \"\" INT TERM; while :; do (exec -a $MARK sleep 0.02) & wait; done' &"
        " echo ready; wait"
    ),
}


@pytest.mark.parametrize("script", STUBBORN.values(), ids=STUBBORN)
async def test_no_stubborn_kind_survives_a_stop(case: Case, script: str) -> None:
    line = await case.bash(script, ladder=QUICK)
    await case.wait_said("ready")
    await until(lambda: marked(case.mark))
    stop(line)
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["outcome"], ending["survivors"]) == ("aborted", 0)
    assert ending["ended"] >= 2
    assert {process["pid"] for process in ending["processes"]} >= {
        case.started and case.started.pid
    }


@pytest.mark.parametrize("script", STUBBORN.values(), ids=STUBBORN)
async def test_no_stubborn_kind_survives_a_stop_now(case: Case, script: str) -> None:
    line = await case.bash(script)
    await case.wait_said("ready")
    await until(lambda: marked(case.mark))
    stop(line, now=True)
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["signal"], ending["endedBy"]) == ("SIGKILL", "SIGKILL")
    assert ending["survivors"] == 0


async def test_one_who_ignores_int_and_term_is_killed_by_the_ladder(case: Case) -> None:
    line = await case.bash(
        "trap 'echo int' INT; trap 'echo term' TERM; echo ready; while :; do read -r _; done",
        ladder=QUICK,
    )
    await case.wait_said("ready")
    stop(line)
    ending = await case.wait_exit()
    assert case.text() == b"ready\nint\nterm\n"
    assert (ending["signal"], ending["endedBy"]) == ("SIGKILL", "SIGKILL")


async def test_one_who_obeys_int_may_clean_up_with_a_process_of_its_own(case: Case) -> None:
    script = "trap 'bash -c \"sleep 0.1; echo saved\"; exit 0' INT; echo ready; read -r _"
    line = await case.bash(script)
    await case.wait_said("ready")
    stop(line)
    ending = await case.wait_exit()
    assert case.text() == b"ready\nsaved\n"
    assert (ending["outcome"], ending["exitCode"], ending["endedBy"]) == ("aborted", 0, "SIGINT")


async def test_a_stop_asked_twice_changes_nothing_and_now_makes_it_urgent(case: Case) -> None:
    line = await case.bash("trap '' INT TERM; echo ready; while :; do read -r _; done")
    await case.wait_said("ready")
    line.stop(Stop("blocked", "first", by="a"))
    line.stop(Stop("aborted", "second", by="b"))
    assert (await line.status())["phase"] == "interrupting"
    line.stop(Stop("aborted", "third", now=True, by="c"))
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["reason"]) == ("blocked", "first")
    assert ending["endedBy"] == "SIGKILL"
    notes = [json.loads(r.payload)["by"] for r in case.records() if r.kind is Kind.NOTED]
    assert notes == ["a", "c"]


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


async def doorway_of_the_spare(supervisors: Supervisors, doors: Path) -> Path:
    (spare,) = supervisors._spares
    path = doors / f"{SPARE}{(await spare.met()).pid}"
    await until(path.exists)
    return path


async def test_the_socket_of_a_spare_is_there_before_its_work(
    supervisors: Supervisors, doors: Path
) -> None:
    path = await doorway_of_the_spare(supervisors, doors)
    assert path.stat().st_mode & 0o777 == 0o600
    made = path.stat().st_ino
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"id":1,"op":"stop","outcome":"aborted","now":true}\n')
    case = Case(supervisors)
    await case.run("bash", "-c", "echo ready; read -r _", word="sesame")
    heard: dict[str, object] = {}
    while "id" not in heard:
        heard = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert heard == {"id": 1, "ok": False, "reason": "NOT_ADMITTED"}
    assert not path.exists()
    assert (case.folder / "s").stat().st_ino == made
    case.line = line = await Supervisor.connect(case.folder / "s", case.on_spool, "sesame")
    assert (await line.status())["alive"] is True
    stop(line)
    assert (await case.wait_exit())["outcome"] == "aborted"
    await case.clean()


async def test_a_socket_that_was_tidied_away_is_made_again(
    supervisors: Supervisors, doors: Path
) -> None:
    path = await doorway_of_the_spare(supervisors, doors)
    path.unlink()
    case = Case(supervisors)
    stop(await case.bash("echo ready; read -r _"))
    assert (await case.wait_exit())["outcome"] == "aborted"
    await case.clean()


async def test_a_spare_whose_socket_the_disk_does_not_take_works_all_the_same(
    doors: Path,
) -> None:
    supervisors = Supervisors(ROOT, doors=doors / "not/there")
    supervisors.warm()
    case = Case(supervisors)
    stop(await case.bash("echo ready; read -r _"))
    assert (await case.wait_exit())["outcome"] == "aborted"
    await case.clean()
    await supervisors.close()


def test_sockets_that_a_crash_left_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    for name in (f"{SPARE}1", "contact"):
        (tmp_path / name).touch()
    (tmp_path / f"{SPARE}2").mkdir()
    forget_spares(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"contact", f"{SPARE}2"}


async def test_a_supervisor_that_cannot_begin_leaves_no_socket(case: Case, doors: Path) -> None:
    path = await doorway_of_the_spare(case.supervisors, doors)
    (case.folder / "spool").mkdir()
    with pytest.raises(FailedPrecondition, match="the supervisor: "):
        await case.bash("true")
    assert not path.exists()


async def test_whoever_is_stopped_before_many_others_rests_until_they_are_stopped_too() -> None:
    cores = os.cpu_count() or 1
    assert [attempt._rest_ms(behind) for behind in (0, cores, 29 * cores)] == [0, 2, 58]
    assert attempt._rest_ms(1_000_000) == 250
    assert attempt._rest_ms(None) == 0


async def test_one_that_is_killed_before_it_becomes_the_agent_is_an_agent_that_was_killed(
    supervisors: Supervisors,
) -> None:
    (spare,) = supervisors._spares
    await spare.met()
    await until(lambda: tree.descendants(spare.pid))
    (unborn,) = tree.descendants(spare.pid)
    os.kill(unborn.pid, signal.SIGKILL)
    await until(lambda: not look_alive(unborn.pid))
    case = Case(supervisors)
    await case.run("true")
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["signal"]) == ("failed", "SIGKILL")
    await case.clean()


async def test_what_a_natural_end_leaves_behind_is_ended_and_counted(case: Case) -> None:
    await case.run(
        "bash",
        "-c",
        "setsid bash -c 'exec -a $MARK sleep 900' & "
        "until grep -qs $MARK /proc/$!/cmdline; do :; done; exit 0",
    )
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["outcome"], ending["exitCode"], ending["endedBy"]) == ("completed", 0, "itself")
    assert [(one["name"], one["endedBy"]) for one in ending["processes"]] == [("sleep", "SIGTERM")]
    assert (ending["ended"], ending["survivors"]) == (1, 0)


async def test_a_leader_that_ended_before_the_order_keeps_its_outcome(case: Case) -> None:
    line = await case.bash(
        "setsid bash -c 'trap \"\" TERM; touch up; while :; do sleep 9; done' &"
        " until [ -e up ]; do :; done; exit 0"
    )
    await until(lambda: case.started and not look_alive(case.started.pid))
    stop(line, now=True)
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["reason"]) == ("completed", None)
    assert ending["stopAskedAt"] is not None


def look_alive(pid: int) -> bool:
    process = look(pid)
    return process is not None and not process.is_dead


async def test_a_tree_of_thirty_is_gone(case: Case) -> None:
    line = await case.start(
        "bash",
        "-c",
        "for i in {1..29}; do bash -c 'exec -a $MARK sleep 900' & done; echo ready; wait",
    )
    await until(lambda: len(marked(case.mark)) == 29)
    stop(line)
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["ended"], ending["survivors"], len(ending["processes"])) == (30, 0, 30)


async def test_a_message_arrives_once(case: Case) -> None:
    line = await case.bash('while read -r text; do echo "got $text"; done')
    assert await line.message("m1", "one") == "delivered"
    assert await line.message("m2", "zwei ü \x00") == "delivered"
    assert await line.message("m1", "one") == "duplicate"
    await case.wait_said("zwei")
    assert case.text() == "got one\ngot zwei ü\n".encode()
    delivered = [json.loads(r.payload) for r in case.records() if r.kind is Kind.DELIVERED]
    assert delivered == [{"messageId": id, "mode": "queue"} for id in ("m1", "m2")]
    stop(line)
    await case.wait_exit()


async def queued(line: Supervisor, letters: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await line.status())["queued"] != letters:
            await asyncio.sleep(0.002)


async def test_a_message_larger_than_the_pipe_does_not_hold_up_the_rest(case: Case) -> None:
    line = await case.bash("echo ready; until [ -e go ]; do :; done; wc -c", greeting="hello")
    big = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    again = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    await queued(line, 2)
    await case.wait_said("ready")
    assert not big.done()
    (case.folder / "go").touch()
    assert [await big, await again] == ["delivered", "duplicate"]
    stop(line)
    await case.wait_exit()


async def test_a_message_to_a_closed_stdin_is_undelivered(case: Case) -> None:
    line = await case.bash("exec <&-; echo ready; trap 'exit 0' INT; while :; do sleep 0.01; done")
    await case.wait_said("ready")
    assert await line.message("m1", "hello?") == "closed"
    assert await line.message("m1", "hello?") == "closed"
    assert case.kinds().count(Kind.UNDELIVERED) == 1
    stop(line)
    await case.wait_exit()


async def test_messages_still_queued_when_the_agent_ends_are_undelivered(case: Case) -> None:
    line = await case.bash("echo ready; until [ -e go ]; do :; done")
    big = asyncio.ensure_future(line.message("big", "x" * 1_000_000))
    await queued(line, 1)
    (case.folder / "go").touch()
    assert await big == "closed"
    await case.wait_exit()
    assert case.kinds()[-2:] == [Kind.UNDELIVERED, Kind.EXITED]


async def test_a_greeting_comes_first_and_a_closed_stdin_ends_after_it(case: Case) -> None:
    await case.run("cat", greeting="the task", stdin="closed")
    await case.wait_exit()
    assert case.text() == b"the task\n"
    with pytest.raises(Unavailable, match="SUPERVISOR_GONE"):
        await case.connect()


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
    assert not (case.folder / "s").exists()


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


async def test_a_stop_works_on_a_full_disk(case: Case) -> None:
    line = await case.bash("setsid bash -c 'exec -a $MARK sleep 900' & while :; do echo x; done")
    await until(lambda: marked(case.mark))
    assert case.started is not None
    resource.prlimit(case.started.supervisor_pid, resource.RLIMIT_FSIZE, (0, 0))
    before = len(case.records())
    await until(lambda: case.pushed > 0)
    stop(line)
    assert not await line.wait_gone(), "its end is not in the spool"
    assert marked(case.mark) == []
    assert not look_alive(case.started.pid)
    assert case.records()[:before]
    assert Kind.EXITED not in case.kinds()


async def test_a_crowd_at_the_door_keeps_nobody_out(case: Case) -> None:
    await case.bash("read -r _")
    with ExitStack() as crowd:
        for _ in range(80):
            visitor = crowd.enter_context(socket.socket(socket.AF_UNIX))
            visitor.connect(str(case.folder / "s"))
        line = await case.connect()
        assert (await line.status())["alive"] is True
    stop(line)
    await case.wait_exit()


async def test_a_full_queue_at_the_door_is_told_and_not_taken_for_a_line(case: Case) -> None:
    path = case.folder / "full"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        with pytest.raises(Unavailable, match="SUPERVISOR_GONE"):
            await Supervisor.connect(path, case.on_spool)


async def test_nonsense_at_the_door_is_answered_and_harms_nobody(case: Case) -> None:
    line = await case.bash("read -r _")
    reader, writer = await asyncio.open_unix_connection(str(case.folder / "s"))
    await reader.readline()  # how far the spool goes
    refused = {"ok": False, "reason": "BAD_REQUEST"}
    for request, answer in (
        (b"not json", refused),
        (b"[1]", refused),
        (b"[" * 100_000, refused),
        (b"\xff\xfe", refused),
        (b'{"id":7,"op":"stop","outcome":"completed"}', {"id": 7, **refused}),
        (b'{"id":8,"op":"message","messageId":1,"text":"x"}', {"id": 8, **refused}),
        (b'{"id":9,"op":"fly"}', {"id": 9, **refused}),
    ):
        writer.write(request + b"\n")
        assert json.loads(await reader.readline()) == answer
    writer.close()
    await writer.wait_closed()
    assert (await line.status())["alive"] is True
    stop(line)
    await case.wait_exit()


DAEMON = """
import asyncio, json, sys
from pathlib import Path
from typing import cast
sys.path.insert(0, {root!r})
from spoke.process import Supervisors
async def main():
    supervisors = Supervisors(Path({root!r}))
    assignment = json.load(sys.stdin)
    if assignment:
        started = await supervisors.start(assignment)
        print(started.pid, started.supervisor_pid, flush=True)
    else:
        supervisors.warm()
        print(*[(await spare.met()).pid for spare in supervisors._spares], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def daemon_that_is_killed(assignment: Assignment | None) -> list[int]:
    """Run a daemon in a process of its own until it has spoken, then kill it; what it said."""
    script = DAEMON.format(root=str(ROOT))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdin
        assert daemon.stdout
        daemon.stdin.write(json.dumps(assignment).encode())
        daemon.stdin.close()
        said = daemon.stdout.readline()
        daemon.kill()
    return [int(word) for word in said.split()]


async def test_an_agent_outlives_the_daemon_and_the_next_one_takes_it_up(case: Case) -> None:
    assignment = case.assignment(
        "bash", "-c", 'echo ready; while read -r text; do echo "got $text"; done'
    )
    pid, supervisor_pid = await asyncio.to_thread(daemon_that_is_killed, assignment)
    case.started = Started(pid, supervisor_pid)
    line = await case.connect()
    assert look_alive(pid)
    assert await line.message("m1", "are you there") == "delivered"
    await case.wait_said("got are you there")
    stop(line)
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["survivors"]) == ("aborted", 0)
    assert [record.seq for record in case.records()] == list(range(1, len(case.records()) + 1))


async def test_a_warm_spare_dies_with_its_parent() -> None:
    (pid,) = await asyncio.to_thread(daemon_that_is_killed, None)
    await until(lambda: not look_alive(pid))


async def test_spares_are_replaced_and_dismissed(supervisors: Supervisors, doors: Path) -> None:
    (spare,) = supervisors._spares
    await spare.met()
    os.kill(spare.pid, signal.SIGKILL)
    await until(lambda: spare.is_gone)
    case = Case(supervisors)
    await case.run("true")
    await case.wait_exit()
    assert case.started is not None
    assert case.started.supervisor_pid != spare.pid
    await until(lambda: supervisors._spares)
    (next_spare,) = supervisors._spares
    await next_spare.met()
    await until(lambda: tree.descendants(next_spare.pid))
    (unborn,) = tree.descendants(next_spare.pid)
    await supervisors.close()
    assert not look_alive(next_spare.pid)
    assert look(unborn.pid) is None, "collected, not left to whoever takes orphans"
    assert not (doors / f"{SPARE}{next_spare.pid}").exists()
    await case.clean()


async def test_a_nursery_that_was_killed_is_replaced(supervisors: Supervisors) -> None:
    (spare,) = supervisors._spares
    await spare.met()
    pid = supervisors._nursery._pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not look_alive(pid))
    case = Case(supervisors)
    for _ in range(2):  # the spare lives on, the next one comes from another nursery
        await case.run("true")
        await case.wait_exit()
    assert supervisors._nursery._pid != pid
    await case.clean()


async def test_a_group_finds_what_wiped_its_environment_and_left_its_parents(case: Case) -> None:
    """Without groups nothing tells such a one from a stranger, once its supervisor died."""
    stray = "setsid env -i bash -c 'trap \"\" INT TERM; exec -a '$MARK' sleep 900'"
    await case.bash(f"({stray} &); echo ready; read -r _")
    await case.wait_said("ready")
    await until(lambda: marked(case.mark))
    assert case.started is not None
    identity = json.loads((case.folder / "supervisor.json").read_bytes())
    os.kill(case.started.supervisor_pid, signal.SIGKILL)
    await until(lambda: not look_alive((case.started and case.started.pid) or 0))
    group = identity["group"]
    swept = await kill_marked(case.session, 1, None if group is None else Path(group))
    assert swept.survivors == ()
    assert bool(marked(case.mark)) == (group is None)


async def test_the_leader_dies_with_its_supervisor_and_the_sweep_finds_the_rest(
    case: Case,
) -> None:
    line = await case.bash(
        "setsid bash -c 'trap \"\" INT TERM; (exec -a $MARK sleep 900); exec -a $MARK sleep 900' &"
        " echo ready; wait"
    )
    await case.wait_said("ready")
    await until(lambda: marked(case.mark))
    assert case.started is not None
    leader = look(case.started.pid)
    assert leader is not None
    assert is_alive(leader.pid, leader.start)
    assert not is_alive(leader.pid, leader.start + 1)
    os.kill(case.started.supervisor_pid, signal.SIGKILL)
    assert not await line.wait_gone()
    await until(lambda: not is_alive(leader.pid, leader.start))
    assert (await kill_marked(case.session, 2)).ended == ()
    assert marked(case.mark)
    swept = await kill_marked(case.session, 1)
    assert (len(swept.ended) >= 2, swept.survivors, marked(case.mark)) == (True, (), [])


async def test_the_slow_walk_finds_what_the_quick_one_finds(case: Case) -> None:
    """Also the child of a thread that is not the first of its process."""
    script = '(exec -a $MARK sleep 900) & bash -c \'sleep 900; true\' & "$0" -Sc "$1" & wait'
    threads = "import os, threading as t; t.Thread(target=os.system, args=['sleep 9; :']).start()"
    line = await case.start("bash", "-c", script, sys.executable, threads)
    assert case.started is not None
    root = case.started.supervisor_pid
    await until(lambda: len(tree.descendants(root)) == 7)
    quick = {process.identity for process in tree.descendants(root)}
    assert {process.identity for process in tree._below(root, tree.everyone())} == quick
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


# --- the fence of an attempt that may be started elsewhere


async def test_an_attempt_without_contact_ends_itself(case: Case) -> None:
    terms = {"path": str(case.folder / "contact"), "ms": 1_000}
    await case.bash("trap '' INT TERM; echo up; setsid sleep 999 & sleep 999", fence=terms)
    await case.wait_said("up")
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["reason"], ending["endedBy"]) == (
        "aborted", "FENCED", "SIGKILL",
    )  # fmt: skip
    assert ending["survivors"] == 0


async def test_contact_keeps_an_attempt_alive(case: Case) -> None:
    path = case.folder / "contact"
    contact = Contact(path)
    line = await case.start("sleep", "999", fence={"path": str(path), "ms": 3_000})
    began = now_ms()
    while now_ms() - began < 5_000:
        contact.confirmed(contact.saying())
        assert (await line.status())["phase"] == "watching"
        await asyncio.sleep(0.5)
    stop(line, now=True)
    assert (await case.wait_exit())["reason"] == "asked by a test"


def test_what_counts_is_when_it_was_said(tmp_path: Path) -> None:
    contact = Contact(tmp_path / "contact")
    fence = Fence(str(tmp_path / "contact"), 60_000)
    early = contact.saying()
    late = contact.saying()
    contact.confirmed(late)
    written = (tmp_path / "contact").read_text()
    contact.confirmed(early)  # its confirmation was long on its way
    contact.confirmed(99)  # and this was never said
    assert (tmp_path / "contact").read_text() == written
    assert not fence.is_over()


def test_contact_counts_from_when_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from when the hub confirmed it, which may be much later."""
    clock = iter((10, 20, 30, 40))
    monkeypatch.setattr("spoke.contact.now_ms", lambda: next(clock))
    contact = Contact(tmp_path / "contact")
    contact.saying()
    contact.confirmed(contact.saying())
    assert (tmp_path / "contact").read_text().split()[1] == "20"


@pytest.mark.parametrize("text", ["", "x", "another-boot 999999999999", f"{boot_id()} x"])
def test_a_contact_that_says_nothing_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "contact").write_text(text)
    assert Fence(str(tmp_path / "contact"), -1).is_over()


def test_a_contact_in_the_future_is_one_of_now(tmp_path: Path) -> None:
    (tmp_path / "contact").write_text(f"{boot_id()} {now_ms() + 10**9}")
    assert Fence(str(tmp_path / "contact"), -1).is_over()
