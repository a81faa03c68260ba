"""The spoke that `up` starts: a child process, enrolled once, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import sys
from typing import Final

from coord.cli import spoke_settings
from hub.app import RunningHub
from protocol.aio.dial import address
from protocol.errors import AlreadyExists, Conflict
from spoke import app, identity
from spoke.settings import SpokeSettings

logger = logging.getLogger(__name__)

NAMES: Final = 100  #: how many spokes of one name may have lost their state before we give up
STEADY_SECONDS: Final = 60.0  #: a spoke that lived this long starts again at once
LONGEST_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0


async def enrolled(
    hub: RunningHub, settings: SpokeSettings, slots: int | None
) -> tuple[SpokeSettings, str]:
    """The spoke of these settings and its name; joined the ordinary way if it is new.

    A spoke that belongs to another hub (another database) keeps its folder, and a new one is made
    beside it. ``slots``: that were asked for; the hub has others to say otherwise.
    """
    if app.is_enrolled(settings) and identity.load(settings.places).hub_id != hub.hub_id:
        beside = settings.state.with_name(f"spoke-{hub.hub_id}")
        settings = settings.model_copy(update={"state": beside})
    if app.is_enrolled(settings):
        return settings, _pointed(settings, hub)
    return settings, await _joined(settings, hub, slots)


def _pointed(settings: SpokeSettings, hub: RunningHub) -> str:
    """The hub may have another port today."""
    mine = identity.load(settings.places)
    to = address(hub.url)
    moved = dataclasses.replace(mine, url=to.url, pin=to.pin)
    if moved != mine:
        identity.save(settings.places, moved)
    return mine.name


async def _joined(settings: SpokeSettings, hub: RunningHub, slots: int | None) -> str:
    """Under the machine's name, or one beside it where an earlier spoke has that."""
    name = identity.own_name()
    for number in range(2, NAMES + 1):
        try:
            join = await hub.join_string(name, slots)
            return (await app.join(settings, join, name)).name
        except (Conflict, AlreadyExists) as taken:
            if taken.reason != "NAME_TAKEN":
                raise
            name = f"{identity.own_name()[:58]}-{number}"
    raise Conflict("NAME_TAKEN", f"{NAMES} spokes are named like this machine")


class Nursery:
    """Keeps one `coordctl spoke run` alive, on the stock loop and in a process of its own."""

    def __init__(self, settings: SpokeSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        await self._spawn()
        self._keeping = asyncio.create_task(self._keep(), name="spoke")

    async def stop(self) -> None:
        """Tell the daemon to stop and see it gone; its agents keep running."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            logger.warning("the spoke did not stop within %.0f s: killed", STOP_SECONDS)
            process.kill()
            await process.wait()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause = 1.0
        while self._process is not None:
            began = loop.time()
            status = await self._process.wait()
            pause = 1.0 if loop.time() - began > STEADY_SECONDS else min(pause * 2, LONGEST_SECONDS)
            logger.warning("the spoke ended with status %s; again in %.0f s", status, pause)
            await asyncio.sleep(pause)
            await self._spawn()

    async def _spawn(self) -> None:
        argv = [
            "spoke", "run", *spoke_settings.words(self._settings),
            "--die-with-parent", str(os.getpid()),
        ]  # fmt: skip
        # -P: the folder that `up` was started in is not to be imported from. A session of its own,
        # so that Ctrl-C reaches it through us and not beside us.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "coord.cli", *argv,
            stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
