"""The socket of a supervisor: there before its work, gone after it, and open to whoever comes."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.errors import FailedPrecondition, Unavailable
from spoke.nursery import forget_spares
from spoke.process import Supervisor, Supervisors
from spoke.supervisor.doorway import SPARE
from tests.support.supervised import ROOT, Case, stop, until

LISTENING = b"00010000"  # __SO_ACCEPTCON of the kernel


async def doorway_of_the_spare(supervisors: Supervisors, doors: Path) -> Path:
    (spare,) = supervisors._spares
    path = doors / f"{SPARE}{(await spare.met()).pid}"
    await until(lambda: listens(path))
    return path


def listens(path: Path) -> bool:
    """Whether somebody does; a socket has its name before that."""
    sockets = Path("/proc/net/unix").read_bytes().splitlines()
    return any(one.endswith(b" %b" % bytes(path)) and LISTENING in one.split() for one in sockets)


async def test_the_socket_of_a_spare_is_there_before_its_work(case: Case, doors: Path) -> None:
    path = await doorway_of_the_spare(case.supervisors, doors)
    assert path.stat().st_mode & 0o777 == 0o600
    made = path.stat().st_ino
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"id":1,"op":"stop","outcome":"aborted","now":true}\n')
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


async def test_a_socket_that_was_tidied_away_is_made_again(case: Case, doors: Path) -> None:
    path = await doorway_of_the_spare(case.supervisors, doors)
    path.unlink()
    stop(await case.bash("echo ready; read -r _"))
    assert (await case.wait_exit())["outcome"] == "aborted"


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
