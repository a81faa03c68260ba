"""A herd of spokes that is told when to arrive and to die, and what to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spoke.identity import Identity, public_hex
from tests.benchmarks.channel import Channel, run
from tests.support.herd import Herd


async def main(channel: Channel, given: Mapping[str, Any]) -> None:
    keys = {f"sp_herd{n}": Ed25519PrivateKey.generate() for n in range(given["spokes"])}
    channel.say({"spokes": [{"id": id, "key": public_hex(key)} for id, key in keys.items()]})
    herd = Herd()
    async with AsyncExitStack() as stack:
        async for asked in channel.requests():
            match asked["op"]:
                case "arrive":
                    some = list(keys.items())[asked["first"] : asked["last"]]
                    comers = [
                        herd.arrive(stack, Identity(id, asked["hubId"], id, asked["url"]), key)
                        for id, key in some
                    ]
                    await asyncio.gather(*comers)
                case "die":
                    for link in herd.links:
                        link.transport.abort()
                case "told":
                    await herd.wait(asked["kind"], asked["count"])
            channel.say({"orders": herd.orders})


if __name__ == "__main__":
    run(main)
