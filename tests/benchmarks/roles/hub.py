"""A hub, as `coordctl hub serve` runs it, with the operations of `bench_ops` besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hub.app
from coord.cli.daemon import stay
from hub.desk import Desk
from hub.ops.registry import Registered, handlers
from hub.settings import HubSettings
from protocol.aio.node import Handler
from tests.benchmarks import bench_ops
from tests.benchmarks.channel import Channel, run


def _with_ours(desk: Desk, operations: Iterable[Registered]) -> dict[str, Handler]:
    return handlers(desk, [*operations, *bench_ops.OPERATIONS])


async def serve(channel: Channel, given: Mapping[str, Any]) -> None:
    hub.app.handlers = _with_ours
    state = Path(given["state"])
    settings = HubSettings(
        database_url=given["dsn"], port=0, http_port=0, state=state, **given["settings"]
    )
    async with hub.app.serve(settings) as house:
        stay()
        channel.say({"url": house.url, "token": await house.admin_token("bench")})
        async for asked in channel.requests():
            match asked["op"]:
                case "invite":
                    channel.say({"join": await house.join_string(asked["name"], slots=1_000)})
                case "enroll":
                    await _enroll(house, asked["spokes"])
                    channel.say({"hubId": house.hub_id})


async def _enroll(house: hub.app.RunningHub, spokes: list[dict[str, str]]) -> None:
    for one in spokes:
        key = bytes.fromhex(one["key"])
        await house._desk.store.exchange.enroll(one["id"], one["id"], key, {}, 8)


if __name__ == "__main__":
    run(serve)
