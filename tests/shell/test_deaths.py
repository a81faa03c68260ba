"""A daemon, nursery, spare or supervisor is killed: who goes along, and who finds the rest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from spoke.process import Assignment, Started, Supervisors
from spoke.supervisor import tree
from spoke.supervisor.doorway import SPARE
from spoke.supervisor.tree import look
from spoke.sweep import is_alive, kill_marked
from tests.support.supervised import ROOT, Case, look_alive, marked, named, stop, until

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


async def test_one_that_is_killed_before_it_becomes_the_agent_is_an_agent_that_was_killed(
    case: Case,
) -> None:
    (spare,) = case.supervisors._spares
    await spare.met()
    await until(lambda: tree.descendants(spare.pid))
    (unborn,) = tree.descendants(spare.pid)
    os.kill(unborn.pid, signal.SIGKILL)
    await until(lambda: not look_alive(unborn.pid))
    await case.run("true")
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["signal"]) == ("failed", "SIGKILL")


async def test_spares_are_replaced_and_dismissed(
    supervisors: Supervisors, doors: Path, case: Case
) -> None:
    (spare,) = supervisors._spares
    await spare.met()
    os.kill(spare.pid, signal.SIGKILL)
    await until(lambda: spare.is_gone)
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


async def test_a_nursery_that_was_killed_is_replaced(supervisors: Supervisors, case: Case) -> None:
    (spare,) = supervisors._spares
    await spare.met()
    pid = supervisors._nursery._pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not look_alive(pid))
    for _ in range(2):  # the spare lives on, the next one comes from another nursery
        # An attempt has a folder of its own.
        (case.folder / "supervisor.json").unlink(missing_ok=True)
        await case.run("true")
        await case.wait_exit()
    assert supervisors._nursery._pid != pid


async def test_a_group_finds_what_wiped_its_environment_and_left_its_parents(case: Case) -> None:
    """Without groups nothing tells such a one from a stranger, once its supervisor died."""
    stray = "setsid env -i bash -c 'trap \"\" INT TERM; exec -a '$MARK' sleep 900'"
    await case.bash(f"({stray} &); echo ready; read -r _")
    await case.wait_said("ready")
    await until(lambda: named(case.mark))
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
    await until(lambda: named(case.mark))
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
    threads = "import os, threading as t; t.Thread(target=os.system, args=['sleep 900; :']).start()"
    line = await case.start("bash", "-c", script, sys.executable, threads)
    assert case.started is not None
    root = case.started.supervisor_pid
    await until(lambda: len(tree.descendants(root)) == 7)
    quick = {process.identity for process in tree.descendants(root)}
    assert {process.identity for process in tree._below(root, tree.everyone())} == quick
    stop(line)
    await case.wait_exit()
