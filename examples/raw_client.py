"""The call protocol with websockets and json alone, written from docs/protocol.md.

COORD_TOKEN=... python examples/raw_client.py ws://127.0.0.1:7443

Spawns a session, reads its story as a stream with credits, aborts it, and reads to the end.
"""

import asyncio
import json
import os
import sys
import uuid

from websockets.asyncio.client import connect


class Link:
    def __init__(self, websocket):
        self.websocket = websocket
        self.heard = {}  # by id: its items, then its answer

    async def say(self, **frame):
        await self.websocket.send(json.dumps({"jsonrpc": "2.0", **frame}))

    async def read(self):
        """It only sorts: a reader waits for nobody."""
        async for text in self.websocket:
            frame = json.loads(text)
            if "method" in frame and "id" in frame:  # we answer no operations
                error = {"code": -32601, "message": "no", "data": {"code": "UNIMPLEMENTED"}}
                await self.say(id=frame["id"], error=error)
                continue
            about = frame["params"].get("token") if "method" in frame else frame["id"]
            if about in self.heard:
                self.heard[about].put_nowait(frame)

    async def stream(self, method, params=None, credit=8, **meta):
        """Items as (False, value), the answer last as (True, result)."""
        id = f"c_{uuid.uuid4()}"  # no other call in flight anywhere has it
        said = self.heard[id] = asyncio.Queue()
        params = {**(params or {}), "_meta": {**meta, "credit": credit}}
        await self.say(id=id, method=method, params=params)
        while "method" in (frame := await said.get()):
            yield False, frame["params"]["value"]
            await self.say(method="$/credit", params={"token": id, "n": 1})
        del self.heard[id]
        if "error" in frame:
            raise RuntimeError("{code} {reason}: {advice}".format(**frame["error"]["data"]))
        yield True, frame["result"]

    async def call(self, method, params=None, **meta):
        return [value async for _, value in self.stream(method, params, **meta)][-1]


async def main(url, token):
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        f"{url}/v1/rpc", additional_headers=headers, subprotocols=["coord.v1"], compression=None
    ) as websocket:
        link = Link(websocket)
        reading = asyncio.create_task(link.read())
        hello = {"protocolVersion": 2, "role": "client", "name": "raw"}
        print("welcome", (await link.call("initialize", hello))["principal"])
        work = {"task": "raw", "repo": "/none", "command": "true", "until": "queued"}
        spawned = await link.call("coord.spawn", work, timeoutMs=5_000)
        session = {"sessionId": spawned["sessionId"]}
        async for is_answer, said in link.stream("coord.events", session):
            for event in said.get("events", []):
                print("event", event["seq"], event["kind"])
            if is_answer:
                print("ended", said["state"])
            elif said["events"][0]["seq"] == 1:
                receipt = await link.call("coord.abort", session)
                print("aborted", len(receipt["sessions"]))
        reading.cancel()


asyncio.run(main(sys.argv[1], os.environ["COORD_TOKEN"]))
