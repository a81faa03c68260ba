"""A hub without a memory: the protocol's own node behind a websocket, answers given by the test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import JsonValue
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from protocol import tokens
from protocol.aio.node import Context, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object, encode
from protocol.frames import Goaway
from protocol.handshake import INITIALIZE
from protocol.limits import PROTOCOL_VERSION, SUBPROTOCOL
from protocol.switchboard import LinkId

NOW = "2026-01-02T03:04:05Z"

Answer = Callable[[Context], Awaitable[object]]


def session(id: str, task: str = "fix", state: str = "running", **more: JsonValue) -> Object:
    """A SessionView, as the wire has it."""
    view: Object = {
        "sessionId": id, "task": task, "state": state, "desired": "run", "activity": None,
        "reason": None, "stateSince": NOW, "parentSessionId": None, "rootSessionId": id,
        "depth": 0, "onParentAbort": "abort-dependents", "attempt": 1, "agent": "command",
        "repo": "/r", "branch": f"coord/{task}", "baseCommit": None, "worktree": None,
        "spoke": "forge", "labels": {}, "createdAt": NOW, "startedAt": None, "finishedAt": None,
        "exitCode": None, "lastSeq": 0, "savedRef": None, "abort": None, "agentState": None,
        "account": "", "limitedUntil": None, "failures": [], "sandbox": "off",
    }  # fmt: skip
    return view | more


def spawned(task: str, state: str = "running") -> Object:
    return {
        "sessionId": "ses_aaaaaaaaaaaaaaaa", "state": state, "task": task, "branch": f"b/{task}",
        "attempt": 1, "created": True, "worktree": "/w", "spoke": "forge",
    }  # fmt: skip


def event(seq: int, kind: str = "stdout", **body: JsonValue) -> Object:
    return {"seq": seq, "at": NOW, "attempt": 1, "kind": kind, "body": body}


@dataclass(slots=True)
class FakeHub:
    """``asked`` is what was asked, in order; ``on`` says what is answered."""

    token: str
    asked: list[tuple[str, Object]] = field(default_factory=list[tuple[str, Object]])
    aborted: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])
    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    links: list[ServerConnection] = field(default_factory=list[ServerConnection])
    url: str = ""
    nodes: dict[LinkId, Node] = field(default_factory=dict[LinkId, Node])

    def say(self, frame: Goaway) -> None:
        """To all who are here."""
        for link, node in self.nodes.items():
            node.say(link, frame)

    def on(self, op: str, answer: object) -> None:
        """Always this answer; an exception is raised."""

        async def say(context: Context) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.answers[op] = say

    def never(self, op: str) -> None:
        """No answer until it is aborted."""

        async def hang(context: Context) -> object:
            self.begun.put_nowait(op)
            try:
                return await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.aborted.put_nowait(op)
                raise

        self.answers[op] = hang

    def streams(self, op: str, *items: object, end: object) -> None:
        async def emit(context: Context) -> object:
            for item in items:
                await context.emit(item)
            return end

        self.answers[op] = emit

    def sessions(self, *views: Object) -> None:
        """`coord.status` over these: by id, by anything it is called, or all."""

        async def status(context: Context) -> object:
            params = context.call.params
            ref, id = params.get("ref"), params.get("sessionId")
            found = [
                view
                for view in views
                if (ref is None or _is_called(view, str(ref)))
                and (id is None or view["sessionId"] == id)
            ]
            return {"sessions": found}

        self.answers["coord.status"] = status

    def params(self, op: str) -> Object:
        """What the last call of an operation was given."""
        return next(params for name, params in reversed(self.asked) if name == op)

    def node(self) -> Node:
        return Node({INITIALIZE: self._welcome, **dict.fromkeys(self.answers, self._run)})

    async def _welcome(self, context: Context) -> object:
        self.asked.append((INITIALIZE, context.call.params))
        return {
            "protocolVersion": PROTOCOL_VERSION, "hubId": "hub_fake", "hubVersion": "0.1.0",
            "connectionId": "con_1", "principal": "me", "role": "admin",
            "limits": {"maxMessageBytes": 1, "maxInFlight": 1}, "heartbeatMs": 1, "leaseMs": 1,
        }  # fmt: skip

    async def _run(self, context: Context) -> object:
        self.asked.append((context.call.op, context.call.params))
        return await self.answers[context.call.op](context)


@asynccontextmanager
async def fake_hub() -> AsyncGenerator[FakeHub]:
    hub = FakeHub(tokens.new(tokens.Kind.USER))
    numbers = itertools.count()

    async def door(websocket: ServerConnection) -> None:
        hub.links.append(websocket)
        link = LinkId(f"link {next(numbers)}")
        node = hub.nodes[link] = hub.node()
        await node.attach(link, WebsocketWire(websocket))

    def check(websocket: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") == f"Bearer {hub.token}":
            return None
        refused = websocket.respond(401, "")
        refused.body = encode(
            {"reason": "UNAUTHENTICATED", "message": "who are you?", "advice": "coordctl login"}
        )
        del refused.headers["Content-Length"]
        refused.headers["Content-Length"] = str(len(refused.body))
        return refused

    async with serve(
        door, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], process_request=check
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        hub.url = f"ws://127.0.0.1:{port}"
        yield hub


def _is_called(view: Object, ref: str) -> bool:
    return str(view["sessionId"]).startswith(ref) or ref in (view["task"], view["branch"])
