"""`make demo`: the main job on a real repository, this one, from nothing to nothing.

Two spokes; a swarm of three sessions that each change and commit something; a message answered; a
parent on one spoke whose child, on the other, left a process in a session of its own: aborted, with
the receipt. Leaves nothing running. With ``--agent NAME`` a real coding agent works in the swarm
and answers the message; ``--prompt`` says what the swarm is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import coord
from examples import crew
from examples.crew import AGENTS, Crew
from protocol.errors import CallError
from protocol.ops.sessions import Receipt, SessionView

REPO = str(Path(__file__).parent.parent.resolve())
COORDCTL = str(Path(sys.executable).with_name("coordctl"))
UP_SECONDS = 120


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


@asynccontextmanager
async def house(folder: Path) -> AsyncGenerator[coord.Hub]:
    """Postgres, a hub and two spokes, each a process of its own, and a client."""
    os.environ.update(
        XDG_DATA_HOME=str(folder / "data"),
        XDG_CONFIG_HOME=str(folder / "config"),
        XDG_STATE_HOME=str(folder / "state"),
    )
    log = folder / "up.log"
    with log.open("wb") as out:
        up = await asyncio.create_subprocess_exec(
            COORDCTL, "up", "--port", "0", "--http-port", "0", stdout=out, stderr=out
        )
        second: asyncio.subprocess.Process | None = None
        try:
            await _until_ready(up, log)
            async with coord.connect() as hub:
                invited = await hub.call("spoke.invite", {"name": "forge"})
                assert isinstance(invited, dict)
                state = str(folder / "forge")
                await _run(COORDCTL, "spoke", "join", str(invited["join"]), "--state", state)
                second = await asyncio.create_subprocess_exec(
                    COORDCTL, "spoke", "run", "--state", state, stdout=out, stderr=out
                )
                await _two_spokes(hub)
                yield hub
        finally:
            for process in (second, up):
                if process is not None and process.returncode is None:
                    process.terminate()
                    await process.wait()


async def _until_ready(up: asyncio.subprocess.Process, log: Path) -> None:
    began = time.monotonic()
    while time.monotonic() - began < UP_SECONDS:
        if up.returncode is not None:
            raise SystemExit(f"coordctl up ended early:\n{_text(log)}")
        try:
            async with coord.connect():
                return
        except (CallError, OSError):
            await asyncio.sleep(0.2)
    raise SystemExit(f"coordctl up is not ready after {UP_SECONDS} s:\n{_text(log)}")


def _text(log: Path) -> str:
    return log.read_text(errors="replace")


async def _two_spokes(hub: coord.Hub) -> None:
    while True:
        spokes = await hub.spokes()
        if sum(spoke.state == "online" for spoke in spokes) == 2:
            print("spokes online:", ", ".join(spoke.name for spoke in spokes))
            return
        await asyncio.sleep(0.1)


async def _run(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv)
    if await process.wait() != 0:
        raise SystemExit(f"{argv[0]} {argv[1]} failed")


async def swarm(hub: coord.Hub, who: Crew) -> None:
    say("a swarm of three sessions, each in a worktree of this repository")
    swarmed = await hub.swarm(
        tasks=["auth-setup", "db-schema", "readme-fixes"],
        repo=REPO,
        branch_prefix="demo/",
        prompt=who.prompt,
        **who.writer(),
    )
    sessions = [result.session for result in swarmed.results if result.session is not None]
    if len(sessions) != 3:
        raise SystemExit(f"not all were spawned: {swarmed.results}")
    follow = (_follow(hub, one.session_id, one.task, who.kinds) for one in sessions)
    await asyncio.gather(*follow)
    for one in sessions:
        head = await asyncio.to_thread(_head, str(one.worktree))
        print(f"{one.branch:24} on {one.spoke}: {head}")


def _head(worktree: str) -> str:
    """The newest commit of a worktree, in one line."""
    argv = ["git", "-C", worktree, "log", "--oneline", "-1"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


async def _follow(hub: coord.Hub, session_id: str, task: str, kinds: list[str]) -> None:
    async for event in hub.events(session_id, kinds=kinds):
        if said := crew.words(event):
            print(f"  [{task}] {said}", flush=True)
    (session,) = (await hub.status(session_id=session_id)).sessions
    if session.state != "completed":
        raise SystemExit(f"{task} is {session.state}: {session.reason}\n{_advice(session)}")


def _advice(session: SessionView) -> str:
    failure = session.agent_state.failure if session.agent_state is not None else None
    return f"{failure.message}\n{failure.advice}" if failure is not None else ""


async def message(hub: coord.Hub, who: Crew) -> None:
    say("a message, answered")
    session = await hub.spawn(task="listen", repo=REPO, **who.listener())
    for text in ("how far are you?", "that is all"):
        said = await hub.message(session.session_id, text)
        print(f"  > {text}  ({said.state})")
    await _follow(hub, session.session_id, "listen", who.kinds)


async def conversation(hub: coord.Hub, who: Crew) -> None:
    """What an agent with turns makes of a message; it stays for more, until it is told to end."""
    say("a message, answered in the same conversation")
    first = "Say in a few words that you are ready, and nothing else."
    session = await hub.spawn(task="listen", repo=REPO, prompt=first, **who.listener())
    async with aclosing(hub.events(session.session_id, kinds=who.kinds)) as story:
        await crew.turn(story, "listen")
        said = await hub.message(session.session_id, crew.QUESTION)
        print(f"  > {crew.QUESTION}  ({said.state})")
        await crew.turn(story, "listen")
    _show(await hub.abort(session.session_id, reason="it has answered"))


async def abort(hub: coord.Hub) -> None:
    say("a parent here, its child on the other spoke, a process in a session of its own: aborted")
    spokes = await hub.spokes()
    here, there = spokes[0].name, spokes[1].name
    top = await hub.spawn(
        task="lead", repo=REPO, spoke=here, command=str(AGENTS / "lead.sh"),
        args=[there, str(AGENTS / "stubborn.sh")],
    )  # fmt: skip
    async for event in hub.events(top.session_id):
        if event.body.get("text") == "my child is at work":
            break
    [child] = (await hub.status(parent=top.session_id)).sessions
    async for event in hub.events(child.session_id):
        if event.kind == "stdout":
            break
    began = time.perf_counter()
    receipt = await hub.abort(top.session_id, reason="the demo is over")
    took = (time.perf_counter() - began) * 1_000
    print(f"  the receipt came after {took:.0f} ms")
    _show(receipt)


def _show(receipt: Receipt) -> None:
    """Print a receipt. Raises SystemExit when anything of theirs is left."""
    print(f"  receipt {receipt.abort_id}, complete: {receipt.complete}")
    for one in receipt.sessions:
        print(
            f"  {one.task:6} on {one.spoke:6} {one.before} -> {one.after}, ended by {one.ended_by}"
            f" at {one.ended_at:%H:%M:%S.%f}, {one.processes} processes,"
            f" {one.survivors} survivors"
        )
    left = _marked({one.session_id for one in receipt.sessions})
    print(f"  processes of theirs left on this machine: {len(left)}")
    if left or not receipt.complete:
        raise SystemExit(f"still alive: {left}")


def _marked(sessions: set[str]) -> list[int]:
    """Processes whose environment carries one of these sessions."""
    marks = [f"COORD_SESSION_ID={id}".encode() for id in sessions]
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if any(mark in environ for mark in marks):
                found.append(int(entry.name))
    return found


async def main(who: Crew) -> None:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="coord-demo-"))
    try:
        say("Postgres, a hub and two spokes, from nothing")
        async with house(folder) as hub:
            await swarm(hub, who)
            await (message if who.agent is None else conversation)(hub, who)
            await abort(hub)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"done in {time.monotonic() - began:.0f} s; nothing is left running")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description="the main job, from nothing")
    parser.add_argument("--agent", default="", help=f"one of {', '.join(sorted(crew.KEYS))}")
    parser.add_argument("--prompt", default="", help="what the swarm is asked; {{task}} stands in")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    asyncio.run(main(crew.of(given.agent, given.prompt)))
