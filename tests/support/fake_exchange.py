"""A hub as far as a spoke can see it: nonce, hands, orders and records, in memory, with fences."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import JsonValue
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from protocol import tokens
from protocol.aio.node import Context, Node
from protocol.aio.wire import WebsocketWire
from protocol.codec import Object
from protocol.errors import Unavailable
from protocol.frames import Goaway, Notice
from protocol.handshake import Hello, Limits, Verdict, Welcome
from protocol.limits import MAX_FRAME_BYTES, MAX_IN_FLIGHT, NONCE_PATH, SUBPROTOCOL
from protocol.ops.spokes import Enrolled, EnrollParams
from protocol.ops.wire import (
    Appended,
    AppendParams,
    MessageOrder,
    Order,
    Saved,
    SavedTaken,
    StartOrder,
    StopOrder,
)
from protocol.switchboard import LinkId

HUB_ID = "hub_fake"
SPOKE = LinkId("spoke")
PATIENCE_S = 40.0

Body = StartOrder | MessageOrder | StopOrder | None


@dataclass
class Story:
    """What is stored of one attempt."""

    records: list[list[Any]] = field(default_factory=list)
    superseded: bool = False

    def kinds(self) -> list[str]:
        return [record[1] for record in self.records]

    def lines(self, kind: str = "stdout") -> list[str]:
        return [record[2] for record in self.records if record[1] == kind]

    def body(self, kind: str) -> dict[str, Any] | None:
        return next((record[2] for record in self.records if record[1] == kind), None)


class FakeExchange:
    def __init__(self) -> None:
        self.join_token = tokens.new(tokens.Kind.JOIN)
        self.stories: dict[tuple[str, int], Story] = {}
        self.verdicts: dict[tuple[str, int], str] = {}
        self.hellos: list[Hello] = []
        self.beats: list[Object] = []
        self.saves: list[Saved] = []
        self.refused_status: HTTPStatus | None = None
        self.refusals = 0
        self.epoch = 0
        self.appends = 0
        self.stale_once = False
        self._seq = 0
        self._orders: list[Order] = []
        self._keys: dict[str, bytes] = {}
        self._nonces: set[str] = set()
        self._node: Node | None = None
        self._websocket: ServerConnection | None = None
        self._changed = asyncio.Event()
        self._server: Server | None = None
        self.url = ""

    @property
    def join(self) -> str:
        return str(tokens.Join(self.url, self.join_token))

    def story(self, session: str, attempt: int = 1) -> Story:
        return self.stories.setdefault((session, attempt), Story())

    async def until(self, question: Callable[[], object]) -> None:
        """Ask whenever something changed here, until the answer is true."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not question():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            stored = {key: story.records[-20:] for key, story in self.stories.items()}
            here = "here" if self._node is not None else "away"
            raise TimeoutError(f"epoch {self.epoch}, {here}, stored: {stored}") from None

    async def until_kind(self, kind: str, session: str, attempt: int = 1) -> dict[str, Any]:
        story = self.story(session, attempt)
        await self.until(lambda: story.body(kind) is not None)
        return cast("dict[str, Any]", story.body(kind))

    async def until_connected(self, beyond: int = 0) -> None:
        await self.until(lambda: self._node is not None and self.epoch > beyond)

    def order(self, session: str, body: Body, attempt: int = 1) -> Order:
        """Put an order into the outbox; `tell` says it."""
        kinds = {StartOrder: "start", MessageOrder: "message", StopOrder: "stop"}
        self._seq += 1
        order = Order.model_validate(
            {
                "seq": self._seq,
                "kind": kinds.get(type(body), "forget"),
                "session_id": session,
                "attempt": attempt,
                "body": body,
            }
        )
        self._orders.append(order)
        return order

    async def tell(self, *orders: Order) -> dict[str, Any]:
        params: Object = {
            "epoch": self.epoch,
            "orders": [order.model_dump(mode="json", by_alias=True) for order in orders],
        }
        return cast("dict[str, Any]", await self.ask("spoke.orders", params))

    async def say(self, session: str, body: Body, attempt: int = 1) -> dict[str, Any]:
        return await self.tell(self.order(session, body, attempt))

    async def ask(self, op: str, params: Object) -> JsonValue:
        await self.until_connected()
        assert self._node is not None
        return await self._node.ask(SPOKE, op, params, within=30)

    def cut(self) -> None:
        """Lose the link without a word."""
        if self._websocket is not None:
            self._websocket.transport.abort()

    def part(self, after_ms: int) -> None:
        assert self._node is not None
        self._node.say(SPOKE, Goaway("upgrade", after_ms))

    # What the server does.

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncGenerator[None]:
        async with serve(
            self._on_link,
            "127.0.0.1",
            port,
            process_request=self._on_request,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            compression=None,
            max_size=MAX_FRAME_BYTES,
        ) as server:
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == NONCE_PATH:
            nonce = secrets.token_hex(16)
            self._nonces.add(nonce)
            body = json.dumps({"nonce": nonce, "hubId": HUB_ID})
            return connection.respond(HTTPStatus.OK, body)
        said = request.headers.get("Authorization", "")
        if self.refused_status is None and (
            said == f"Bearer {self.join_token}" or self._signed(said)
        ):
            return None
        self.refusals += 1
        self._note()
        return connection.respond(self.refused_status or HTTPStatus.UNAUTHORIZED, "{}")

    def _signed(self, said: str) -> bool:
        parts = said.removeprefix("Coord-Spoke ").split(",")
        fields = dict(part.partition("=")[::2] for part in parts)
        nonce, id = fields.get("nonce", ""), fields.get("spoke", "")
        if nonce not in self._nonces or id not in self._keys:
            return False
        self._nonces.discard(nonce)
        text = f"coord-auth-v1|{HUB_ID}|{id}|{nonce}".encode()
        try:
            key = Ed25519PublicKey.from_public_bytes(self._keys[id])
            key.verify(bytes.fromhex(fields["signature"]), text)
        except (InvalidSignature, KeyError):
            return False
        return True

    async def _on_link(self, websocket: ServerConnection) -> None:
        node = Node(
            {
                "initialize": self._initialize,
                "session.append": self._append,
                "session.saved": self._saved,
                "spoke.enroll": self._enroll,
            },
            listener=self._hear,
        )
        self._websocket = websocket
        try:
            await node.attach(SPOKE, WebsocketWire(websocket))
        finally:
            if self._node is node:
                self._node = None
            self._note()

    async def _initialize(self, context: Context) -> Welcome:
        hello = Hello.model_validate(context.call.params)
        if self.refused_status is not None:  # it was let in a moment before
            raise Unavailable("REFUSED", "nobody is welcome now")
        verdicts: list[Verdict] = []
        if hello.spoke is not None:
            self.hellos.append(hello)
            self.epoch += 1
            self._node = context.node
            verdicts = [
                Verdict.model_validate(
                    {
                        "session_id": item.session_id,
                        "attempt": item.attempt,
                        "verdict": self.verdicts.get((item.session_id, item.attempt), "continue"),
                        "stored": len(self.story(item.session_id, item.attempt).records),
                    }
                )
                for item in hello.spoke.inventory
            ]
        self._note()
        return Welcome(
            protocol_version=1,
            hub_id=HUB_ID,
            hub_version="0",
            connection_id="c",
            principal="p",
            role=hello.role,
            limits=Limits(max_message_bytes=MAX_FRAME_BYTES, max_in_flight=MAX_IN_FLIGHT),
            heartbeat_ms=50,
            lease_ms=45_000,
            epoch=self.epoch if hello.spoke else None,
            verdicts=verdicts,
        )

    async def _enroll(self, context: Context) -> Enrolled:
        asked = EnrollParams.model_validate(context.call.params)
        id = f"sp_{len(self._keys)}"
        self._keys[id] = bytes.fromhex(asked.public_key)
        self.join_token = ""
        return Enrolled(spoke_id=id, hub_id=HUB_ID, name=asked.name)

    async def _append(self, context: Context) -> Appended:
        """As the database does it: a gap stores nothing, what is known is skipped, but for an end
        that is not known."""
        asked = AppendParams.model_validate(context.call.params)
        self.appends += 1
        story = self.story(asked.session_id, asked.attempt)
        stored = len(story.records)
        if asked.epoch != self.epoch or self.stale_once:
            self.stale_once = False
            return Appended(verdict="stale_epoch", stored=0)
        if story.superseded:
            return Appended(verdict="superseded", stored=stored)
        skip = stored + 1 - asked.first
        ends = asked.records[-1][1] == "exited" and "exited" not in story.kinds()
        if ends and skip >= len(asked.records):  # of a machine that lost the last of its spool
            skip = len(asked.records) - 1
        if skip >= 0:
            story.records += asked.records[skip:]
        self._note()
        return Appended(verdict="ok", stored=len(story.records))

    async def _saved(self, context: Context) -> SavedTaken:
        self.saves.append(Saved.model_validate(context.call.params))
        self._note()
        return SavedTaken(verdict="ok")

    def _hear(self, _: LinkId, frame: Notice | Goaway) -> None:
        if isinstance(frame, Notice):
            self.beats.append(frame.params)
            self._note()

    def _note(self) -> None:
        self._changed.set()
