"""Sixteen real agents at once on one spoke: nothing that a model said is missing anywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import coord
from protocol.session import State
from tests.agents.install import programs
from tests.agents.stage import stage
from tests.benchmarks.stage import cpu_of
from tests.support.world import Daemon, story

OF_EACH = 4
ANSWERS = 3
WORDS = 60  #: of each answer, each found once in all the world
_AT_ONCE_S = 420.0  #: for all of them: a CLI alone takes seconds of CPU to start


def answers(name: str) -> list[str]:
    return [
        " ".join(f"{name}.{answer}.{word}" for word in range(WORDS)) for answer in range(ANSWERS)
    ]


def script(name: str) -> str:
    *first, last = answers(name)
    lines = [line for text in first for line in (f"model: say {text}", "model: sh true")]
    return "\n".join([*lines, f"model: say {last}"])


@pytest.mark.timeout(_AT_ONCE_S + 60)
async def test_sixteen_agents_at_once_lose_no_word(
    tmp_path: Path, hub_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(tmp_path, hub_database, "") as on:
        names = [f"{agent}-{n}" for agent in sorted(programs()) for n in range(OF_EACH)]
        ids = await asyncio.gather(*(_spawn(on.hub, on.repo, name) for name in names))
        said = await on.hub.wait(*ids, timeout_ms=int(_AT_ONCE_S * 1_000))
        assert said.reached, [(one.task, one.state, one.activity) for one in said.sessions]
        failed = [one for one in said.sessions if one.state is not State.COMPLETED]
        assert not failed, [(one.task, one.reason, one.agent_state) for one in failed]
        for name, id in zip(names, ids, strict=True):
            events = await story(on.hub, id)
            heard = "".join(
                str(one.body["text"]) for one in events
                if one.kind == "agent" and one.body["event"] == "text"
            )  # fmt: skip
            for text in answers(name):
                assert heard.count(text) == 1, (name, heard)
        with capsys.disabled():
            print(f"\n{len(names)} agents at once: {_used('hub', on.here.hub)}, "
                  f"{_used('spoke', on.here.spokes['anvil'])}")  # fmt: skip


async def _spawn(hub: coord.Hub, repo: str, name: str) -> str:
    agent = name.partition("-")[0]
    made = await hub.spawn(
        name, repo=repo, agent=agent, prompt=script(name), stdin="closed", until="queued"
    )
    return made.session_id


def _used(what: str, daemon: Daemon) -> str:
    """Without the agents themselves, whose parents are their supervisors."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return f"{what} {cpu_of(daemon.pid)[0]:.1f} s of CPU and {resident:.0f} MiB"
