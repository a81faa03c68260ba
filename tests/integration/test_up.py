"""`coordctl up` with no configuration: a database, a hub and a spoke, from nothing and again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import coord
from protocol.errors import CallError
from tests.support.ports import free_port
from tests.support.repositories import make_repository

COORDCTL = [sys.executable, "-P", "-m", "coord.cli"]
PATIENCE = 60


@dataclass(slots=True)
class Machine:
    """A home of its own, and what was started there."""

    home: Path
    started: list[asyncio.subprocess.Process] = field(
        default_factory=list[asyncio.subprocess.Process]
    )

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "LANG": "C.UTF-8",
        }

    @property
    def data(self) -> Path:
        return self.home / "data" / "coord"

    def context(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            (self.home / "config" / "coord" / "context.json").read_text()
        )
        return found

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *COORDCTL, *words, env=self.env, cwd=self.home,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        return process.returncode, out.decode(), err.decode()

    async def up(self, *words: str) -> tuple[asyncio.subprocess.Process, str]:
        """Started, with its spoke online; what it printed."""
        process = await self.start("up", *words)
        assert process.stdout is not None
        said = ""
        async with asyncio.timeout(PATIENCE):
            while "\nnext " not in said:
                line = await process.stdout.readline()
                if not line:
                    _, err = await process.communicate()
                    raise AssertionError(err.decode())
                said += line.decode()
        await self.online()
        return process, said

    async def online(self) -> None:
        here = self.context()
        async with asyncio.timeout(PATIENCE), coord.connect(here["url"], here["token"]) as hub:
            while not any(spoke.state == "online" for spoke in await hub.spokes()):
                await asyncio.sleep(0.05)

    async def ended(self, process: asyncio.subprocess.Process, number: int) -> str:
        """Ended by a signal; what it printed since."""
        process.send_signal(number)
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        return out.decode()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncGenerator[Machine]:
    here = Machine(tmp_path)
    yield here
    for process in here.started:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.communicate(), PATIENCE)
    _end_agents(here.data)


def _end_agents(data: Path) -> None:
    """Agents outlive all else; after a test that failed there may be some."""
    for record in data.glob("spoke*/attempts/*/supervisor.json"):
        with suppress(OSError, ValueError):  # it has ended, or is about to be tidied away
            pid = int(json.loads(record.read_text())["pid"])
            if b"spoke.supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


async def test_up_from_nothing_and_again(machine: Machine) -> None:
    first, said = await machine.up("--port", f"{free_port()}", "--http-port", f"{free_port()}")
    for word in (
        "database  PostgreSQL",
        "hub       ws://127.0.0.1:",
        "ops page  http://",
        "spoke ",
    ):
        assert word in said
    assert "cku_" not in said
    file = machine.home / "config" / "coord" / "context.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = machine.context()

    code, _, err = await machine.run("up")
    assert code == 5
    assert f"pid {first.pid}" in err

    repo = await asyncio.to_thread(make_repository, machine.home / "repo")
    words = ("spawn", "sleeper", "--repo", str(repo), "-o", "json", "--", "sleep", "600")
    code, out, err = await machine.run(*words)
    assert code == 0, err
    id = json.loads(out)["sessionId"]
    assert "agents that keep running: 1" in await machine.ended(first, signal.SIGINT)
    assert first.returncode == 0

    # Nobody asked for ports: they are those of last time, and so is everything else.
    second, _ = await machine.up()
    assert machine.context() == before
    await machine.ended(second, signal.SIGKILL)

    third, _ = await machine.up()
    assert machine.context() == before
    code, out, err = await machine.run("abort", id, "--now", "-o", "json")
    assert code == 0, err
    [one] = json.loads(out)["sessions"]
    assert (one["confirmed"], one["survivors"], one["processes"]) == (True, 0, 1)
    assert (await machine.ended(third, signal.SIGTERM)).endswith("\nstopped\n")
    assert third.returncode == 0
    with pytest.raises(CallError, match="HUB_UNREACHABLE"):
        async with coord.connect(before["url"], before["token"]):
            pass


async def test_a_taken_port_is_replaced_unless_it_was_asked_for(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        machine.data.mkdir(parents=True, mode=0o700)
        (machine.data / "ports.json").write_text(json.dumps({"port": port, "http_port": port}))
        code, _, err = await machine.run("up", "--port", str(port), "--http-port", "0")
        assert (code, "PORT_TAKEN" in err) == (5, True), err
        process, _ = await machine.up()
        assert machine.context()["url"] != f"ws://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        _, err_bytes = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert f"port {port} is taken" in err_bytes.decode()


async def test_a_dead_spoke_is_started_again(machine: Machine) -> None:
    process, said = await machine.up("--port", "0", "--http-port", "0")
    pid = int(said.partition(", pid ")[2].partition(",")[0])
    os.kill(pid, signal.SIGKILL)
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while b"welcomed us, epoch 2" not in (line := await process.stderr.readline()):
            assert line, "it has ended"
    await machine.ended(process, signal.SIGTERM)


@pytest.mark.parametrize("words", [("up", "--no-spoke"), ("hub", "serve", "--database-url", "x")])
async def test_plain_text_is_not_offered_to_other_machines(
    machine: Machine, words: tuple[str, ...]
) -> None:
    code, _, err = await machine.run(*words, "--host", "0.0.0.0")
    assert (code, "INSECURE_BIND" in err) == (2, True), err
    assert not (machine.data / "postgres").exists()
