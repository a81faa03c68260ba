"""The spokes whose links end here: who is connected, told what is in their outbox, heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from hub.bells import QUEUE, Bells, outbox
from hub.fleet import orders
from hub.fleet.connected import Connected
from hub.store import Store
from hub.store.rows.exchange import OrderRow, PlacedRow
from protocol.aio.node import Node
from protocol.codec import Object, encode
from protocol.errors import CallError, LinkLost, ResourceExhausted, Unavailable
from protocol.limits import MAX_FRAME_BYTES
from protocol.ops.catalogue import SPOKE_ORDERS
from protocol.ops.wire import OrdersTaken
from protocol.switchboard import LinkId

logger = logging.getLogger(__name__)

ORDERS_AT_ONCE = 64
ORDERS_SECONDS = 30.0
ORDERS_BYTES = MAX_FRAME_BYTES // 4  # of text, which may be written with more
M = TypeVar("M", bound=BaseModel)


def read_answer(shape: type[M], said: JsonValue) -> M:
    """What a spoke answered, in its shape. Raises Unavailable (BAD_ANSWER)."""
    try:
        return shape.model_validate(said)
    except ValidationError:
        raise Unavailable(
            "BAD_ANSWER",
            f"the spoke answered with something that is no {shape.__name__}",
            advice="compare `coordctl version` there and here",
        ) from None


class Spokes:
    def __init__(self, store: Store, bells: Bells) -> None:
        self._store = store
        self._bells = bells
        self._connected: dict[str, Connected] = {}
        self._heard: set[str] = set()
        self._left: set[tuple[str, int]] = set()
        self._beats: dict[tuple[str, int], int] = {}

    def connect(self, node: Node, spoke: Connected) -> None:
        """The spoke is welcome: what is in its outbox is told from now on."""
        if (old := self._connected.get(spoke.spoke_id)) is not None:
            self.disconnect(old)
        self._connected[spoke.spoke_id] = spoke
        name = f"orders for {spoke.spoke_id}"
        spoke.dispatcher = asyncio.create_task(self._dispatch(node, spoke), name=name)
        self._bells.ring(QUEUE)

    def disconnect(self, spoke: Connected) -> None:
        if spoke.dispatcher is not None:
            spoke.dispatcher.cancel()
        self.leave(spoke.spoke_id, spoke.epoch)
        if self._connected.get(spoke.spoke_id) is spoke:
            del self._connected[spoke.spoke_id]

    def leave(self, spoke_id: str, epoch: int) -> None:
        """That connection has ended, or never came to be."""
        self._left.add((spoke_id, epoch))

    def link_of(self, spoke_id: str | None) -> LinkId:
        """Raises Unavailable when the spoke is not connected here."""
        spoke = self._connected.get(spoke_id or "")
        if spoke is None:
            raise Unavailable(
                "SPOKE_OFFLINE", f"{spoke_id} is not connected", advice="coordctl spoke list"
            )
        return spoke.link

    def find(self, spoke_id: str) -> Connected | None:
        return self._connected.get(spoke_id)

    def connected(self) -> list[Connected]:
        return list(self._connected.values())

    def left_since(self) -> set[tuple[str, int]]:
        """The connections that ended since this was asked last, however short they were."""
        left, self._left = self._left, set()
        return left

    def hear(self, spoke_id: str) -> None:
        self._heard.add(spoke_id)

    def owe(self, spoke: Connected, beat: int) -> None:
        """This beat wants to be confirmed."""
        self._beats[spoke.spoke_id, spoke.epoch] = beat

    def take_beats(self) -> dict[tuple[str, int], int]:
        """The newest beat of each connection that wants to be confirmed."""
        beats, self._beats = self._beats, {}
        return beats

    def heard_since(self) -> list[str]:
        """The spokes that said something since the last time this was asked."""
        heard, self._heard = self._heard, set()
        return sorted(heard)

    # The outbox, told in order.

    def deliver(self, placed: Sequence[PlacedRow], minted: Mapping[str, str]) -> None:
        """These orders were committed: tell them, or the hub that the spoke is connected to.

        ``minted``: the tokens of their sessions.
        """
        for row in placed:
            spoke = self._connected.get(row.spoke_id)
            if spoke is None:
                self._bells.ring(outbox(row.spoke_id))
            else:
                spoke.at_hand.append(row)
                # One that was told already, after a look, has got another token.
                if (token := minted.get(row.session_id)) is not None:
                    spoke.tokens.setdefault((row.session_id, row.attempt), token)
                self._bells.ring_here(outbox(row.spoke_id))

    async def look(self) -> None:
        """Ring for those of our spokes that have something to be told, whoever ordered it."""
        if self._connected:
            waited_for = await self._store.outbox.waited_for(list(self._connected))
            self._bells.ring_here(*map(outbox, waited_for))

    async def _dispatch(self, node: Node, spoke: Connected) -> None:
        told = 0
        with self._bells.listening(outbox(spoke.spoke_id)) as bell:
            while True:
                try:
                    told = await self._tell(node, spoke, told)
                except LinkLost:
                    return
                except CallError as error:
                    logger.warning("orders for %s: %s", spoke.spoke_id, error)
                    told = 0
                except Exception:
                    # A link on which nothing is ordered any more would look well for ever.
                    logger.exception("orders for %s", spoke.spoke_id)
                    told = 0
                await bell.wait(None)

    async def _tell(self, node: Node, spoke: Connected, told: int) -> int:
        """Tell what is pending after ``told``; the last sequence number that is on its disk."""
        is_all = False
        while not is_all:
            due, is_all = await self._next(spoke, told)
            if not due:
                break
            rows, fitting = await self._fitting(spoke, due)
            is_all = is_all and len(rows) == len(due)
            params: Object = {"epoch": spoke.epoch, "orders": fitting}
            try:
                said = await node.ask(spoke.link, SPOKE_ORDERS.name, params, within=ORDERS_SECONDS)
            except ResourceExhausted as error:
                if error.reason != "TOO_LARGE":
                    raise
                told = await self._skip(rows[0], error)
                is_all = False
                continue
            taken = read_answer(OrdersTaken, said)
            await self._store.outbox.acked(spoke.spoke_id, taken.accepted, spoke.epoch)
            for row in rows:
                spoke.tokens.pop((row.session_id, row.attempt), None)
            refused = {refusal.seq: refusal.reason for refusal in taken.refused}
            for row in rows:
                if row.seq in refused and row.kind == "start":
                    why = refused[row.seq]
                    await self._store.outbox.refused(row.session_id, row.attempt, why, spoke.epoch)
                    self._bells.ring(row.session_id, QUEUE)
            told = rows[-1].seq
            spoke.told = max(spoke.told, min(told, taken.accepted))
        return told

    async def _next(self, spoke: Connected, told: int) -> tuple[Sequence[OrderRow], bool]:
        """What is at hand, if that is what follows; else what the database has. And whether that
        is all: more would have rung."""
        placed, spoke.at_hand = spoke.at_hand, []
        now = placed[:ORDERS_AT_ONCE]
        if now and all(row.alone and row.seq == n for n, row in enumerate(now, told + 1)):
            return now, now == placed
        return await self._store.outbox.pending(spoke.spoke_id, told, ORDERS_AT_ONCE), False

    async def _fitting(
        self, spoke: Connected, rows: Sequence[OrderRow]
    ) -> tuple[Sequence[OrderRow], list[JsonValue]]:
        """The first orders, as many as one frame surely takes; at least one."""
        fitting: list[JsonValue] = []
        room = ORDERS_BYTES
        for row in rows:
            order = await orders.written(self._store, spoke, row)
            said = order.model_dump(mode="json", by_alias=True)
            room -= len(encode(said))
            if fitting and room < 0:
                break
            fitting.append(said)
        return rows[: len(fitting)], fitting

    async def _skip(self, row: OrderRow, why: CallError) -> int:
        """Give up an order that no frame can carry, so that it is in nobody's way."""
        logger.error("the %s of %s cannot be told: %s", row.kind, row.session_id, why)
        if row.kind == "start":
            await self._store.exchange.give_up(
                row.session_id, row.attempt, "its order is too large"
            )
            self._bells.ring(row.session_id, QUEUE)
        return row.seq
