"""Many clients in one process: they greet, and then say nothing; some come back all at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

from protocol.limits import RPC_PATH, SUBPROTOCOL
from tests.benchmarks.bench_ops import STATUS_PARAMS
from tests.benchmarks.channel import Channel, run
from tests.benchmarks.roles.loader import HELLO

AT_ONCE = 64  #: while nothing is measured
_numbers = count()


class Crowd:
    def __init__(self, given: Mapping[str, Any]) -> None:
        self._url: str = given["url"]
        self._token: str | None = given.get("token")
        self._links: list[ClientConnection] = []
        self._worst = 0.0

    async def arrive(self, clients: int, at_once: int) -> None:
        gate = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with gate:
                self._links.append(await self._dial())

        await asyncio.gather(*(one() for _ in range(clients)))

    async def storm(self, clients: int) -> dict[str, Any]:
        """So many links are cut and come back at the same moment; the others are there still."""
        gone, self._links = self._links[:clients], self._links[clients:]
        for link in gone:
            link.transport.abort()
        watching = asyncio.create_task(self._ask_on())
        began = time.perf_counter()
        await self.arrive(clients, clients)
        took = time.perf_counter() - began
        watching.cancel()
        await asyncio.wait([watching])
        alive = sum(link.state is State.OPEN for link in self._links)
        assert alive == len(self._links), f"{len(self._links) - alive} links were lost"
        return {"took": took, "worst": self._worst}

    async def _ask_on(self) -> None:
        """One of those that stay asks all the time; how long it waited at most."""
        link = self._links[0]
        while True:
            began = time.perf_counter()
            call = {"id": f"on {next(_numbers)}", "method": "bench.status", "params": STATUS_PARAMS}
            await link.send(json.dumps({"jsonrpc": "2.0", **call}))
            await link.recv()
            self._worst = max(self._worst, time.perf_counter() - began)

    async def _dial(self) -> ClientConnection:
        if self._token is None:
            return await connect(self._url, compression=None, proxy=None)
        link = await connect(
            self._url + RPC_PATH,
            compression=None,
            proxy=None,
            open_timeout=60,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {self._token}"},
        )
        await link.send(json.dumps({**HELLO, "id": f"hello {next(_numbers)}"}))
        assert "result" in json.loads(await link.recv())
        return link


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    crowd = Crowd(given)
    channel.say({})
    async for asked in channel.requests():
        match asked["op"]:
            case "arrive":
                await crowd.arrive(asked["clients"], AT_ONCE)
                channel.say({})
            case "storm":
                channel.say(await crowd.storm(asked["clients"]))


if __name__ == "__main__":
    run(main)
