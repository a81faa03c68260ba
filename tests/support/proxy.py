"""A TCP proxy that breaks: it delays, holds one direction or both, cuts, leaves links half open.

What is held back is not lost: as over a real network, it arrives once the way is free again,
unless the link was cut meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

Way = Literal["up", "down"]
WAYS: Final[tuple[Way, Way]] = ("up", "down")  #: up: from whoever dialled to whoever listens


class Proxy:
    """``port`` is where it listens. ``target`` may be changed: the next link goes there."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0  #: seconds, for each piece, each way
        self.refusing = False  #: whoever dials is cut at once
        self.carried = 0  #: links, since the beginning
        self._gates = _gates()
        self._links: set[_Link] = set()

    def hold(self, *ways: Way) -> None:
        """Nothing passes that way (none given: neither way) until `free`; nobody is told."""
        for way in ways or WAYS:
            self._gates[way].clear()

    def free(self) -> None:
        for gates in (self._gates, *(link.gates for link in self._links)):
            for gate in gates.values():
                gate.set()

    def cut(self) -> None:
        """Reset every link, on both sides."""
        for link in list(self._links):
            link.reset(*WAYS)

    def half_open(self) -> None:
        """Whoever dialled sees its link reset; whoever listens hears nothing of that, but what was
        on its way (see `hold`) once it is `free`. New links are not held."""
        for link in list(self._links):
            link.strand()
        self._gates = _gates()

    @property
    def held(self) -> int:
        """How many pieces wait for the way to be free."""
        return sum(link.held for link in self._links)

    @property
    def links(self) -> int:
        return len(self._links)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, far_writer), (far_reader, writer))
        self._links.add(link)
        self.carried += 1
        try:
            await link.carry()
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy: for each way, who is read and who is written to."""

    def __init__(
        self,
        proxy: Proxy,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.gates = proxy._gates
        self.held = 0
        self._proxy = proxy
        self._ways: dict[Way, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {
            "up": up,
            "down": down,
        }
        self._ended = asyncio.Event()
        self._stranded = False

    async def carry(self) -> None:
        pumps = [asyncio.create_task(self._pump(way)) for way in WAYS]
        try:
            await self._ended.wait()
        finally:
            for pump in pumps:
                pump.cancel()
            self._abort(*WAYS)
            await asyncio.wait(pumps)

    def reset(self, *ways: Way) -> None:
        self._abort(*ways)
        self._ended.set()

    def strand(self) -> None:
        self._stranded = True
        self._abort("down")

    def _abort(self, *ways: Way) -> None:
        for way in ways:
            self._ways[way][1].transport.abort()

    async def _pump(self, way: Way) -> None:
        reader, writer = self._ways[way]
        gate = self.gates[way]
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                self.held += 1
                await gate.wait()
                self.held -= 1
                writer.write(piece)
                await writer.drain()
        await gate.wait()
        if not self._stranded:
            self._ended.set()


def _gates() -> dict[Way, asyncio.Event]:
    gates: dict[Way, asyncio.Event] = {way: asyncio.Event() for way in WAYS}
    for gate in gates.values():
        gate.set()
    return gates


@asynccontextmanager
async def proxy_to(target: int) -> AsyncGenerator[Proxy]:
    """A proxy on a port of its own, to a port of this machine."""
    proxy = Proxy(target)
    tasks: set[asyncio.Task[None]] = set()

    def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy._carry(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # From the callback: a task that is cancelled before its first step closes nothing.
        task.add_done_callback(lambda _: writer.transport.abort())

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        proxy.free()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for link in list(proxy._links):
            link.reset(*WAYS)
