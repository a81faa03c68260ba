"""Nothing of an agent outlives a stop, and how each of its processes ended is told."""

from __future__ import annotations

import json
import os
import resource

import pytest

from spoke.core.story import Stop
from spoke.process import LadderTimes
from spoke.spool import Kind
from spoke.supervisor import attempt
from tests.support.supervised import Case, look_alive, marked, named, stop, until

QUICK: LadderTimes = {"termMs": 150, "killMs": 300, "sweepMs": 10_000}
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
    await until(lambda: named(case.mark))
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
    await until(lambda: named(case.mark))
    stop(line, now=True)
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["signal"], ending["endedBy"]) == ("SIGKILL", "SIGKILL")
    assert ending["survivors"] == 0


async def test_a_stop_that_is_not_obeyed_at_once_is_told_meanwhile(case: Case) -> None:
    line = await case.bash("trap '' INT; echo ready; while :; do sleep 0.05; done")
    await case.wait_said("ready")
    stop(line)
    await until(lambda: case.pushed and case.kinds()[case.pushed - 1] is Kind.NOTED)
    assert Kind.EXITED not in case.kinds() and not case.heard_the_end
    stop(line, now=True)
    assert (await case.wait_exit())["endedBy"] == "SIGKILL"


async def test_one_who_ignores_int_and_term_is_killed_by_the_ladder(case: Case) -> None:
    patient: LadderTimes = {**QUICK, "killMs": 2_000}  # until it has said its last word
    line = await case.bash(
        "trap 'echo int' INT; trap 'echo term' TERM; echo ready; while :; do read -r _; done",
        ladder=patient,
    )
    await case.wait_said("ready")
    stop(line)
    await case.wait_said("term")
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


def test_whoever_is_stopped_before_many_others_rests_until_they_are_stopped_too() -> None:
    cores = os.cpu_count() or 1
    assert [attempt._rest_ms(behind) for behind in (0, cores, 29 * cores)] == [0, 2, 58]
    assert attempt._rest_ms(1_000_000) == 250
    assert attempt._rest_ms(None) == 0


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


async def test_a_tree_of_thirty_is_gone(case: Case) -> None:
    line = await case.start(
        "bash",
        "-c",
        "for i in {1..29}; do bash -c 'exec -a $MARK sleep 900' & done; echo ready; wait",
    )
    await until(lambda: len(named(case.mark)) == 29)
    stop(line)
    ending = await case.wait_exit()
    assert marked(case.mark) == []
    assert (ending["ended"], ending["survivors"], len(ending["processes"])) == (30, 0, 30)


async def test_a_stop_works_on_a_full_disk(case: Case) -> None:
    line = await case.bash(
        "setsid bash -c 'exec -a $MARK sleep 900' & echo early; until [ -e full ]; do :; done;"
        " for ((n = 0; n < 50000; n++)); do echo x; done; touch heard; while :; do echo x; done"
    )
    await until(lambda: named(case.mark))
    await case.wait_said("early")
    assert case.started is not None
    resource.prlimit(case.started.supervisor_pid, resource.RLIMIT_FSIZE, (0, 0))
    before = case.records()
    (case.folder / "full").touch()
    await until((case.folder / "heard").exists)  # more than a pipe holds: somebody reads on
    stop(line)
    assert not await line.wait_gone(), "its end is not in the spool"
    assert marked(case.mark) == []
    assert not look_alive(case.started.pid)
    assert case.records()[: len(before)] == before
    assert Kind.EXITED not in case.kinds()
