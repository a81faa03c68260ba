"""Tails the spools and tells the hub: each record once, in order, one append per attempt at a time.

While an append is on its way, what is to be the next batch is read. A lost link loses nothing: the
spool keeps what the hub has not stored, and the hub says at the next hello how far it got.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from pydantic import JsonValue

from protocol.errors import CallError, DataLoss, LinkLost
from protocol.ops.wire import Appended
from spoke.chores import Chores
from spoke.flight import both
from spoke.journal import Key
from spoke.records import on_wire, weigh
from spoke.spool import Kind, Reader, Record

_log = logging.getLogger(__name__)

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 256 * 1024
READ_RECORDS: Final = 128  #: at once,
READ_BYTES: Final = 32 * 1024  #: for so long nothing else goes on
IN_FLIGHT: Final = 16  #: appends; those who wait for one of these are served in turn
_AGAIN_S: Final = 0.5  #: after the hub could not store, and stayed connected


class Channel(Protocol):
    """A welcomed link."""

    async def append(self, key: Key, first: int, records: Sequence[list[JsonValue]]) -> Appended:
        """Raises CallError; LinkLost when the link is gone."""
        ...

    def drop(self) -> None:
        """Reconnect."""
        ...


@dataclass(frozen=True, slots=True)
class Ears:
    """Whom a tail tells: the attempt it belongs to."""

    settled: Callable[[str], None]  #: the spool says what became of this message
    stored: Callable[[], None]  #: the hub has the end
    superseded: Callable[[], None]
    supervisor: Callable[[], JsonValue]  #: pid and start time, for the first record
    ended: Callable[[], Awaitable[Mapping[str, JsonValue]]]  #: where its work is, for the last one


class Uplink:
    def __init__(self) -> None:
        self._chores = Chores()
        self._channel: asyncio.Future[Channel] | None = None
        self._room = asyncio.Semaphore(IN_FLIGHT)

    def follow(self, key: Key, spool: Path, ears: Ears) -> Tail:
        """Report this spool from its beginning, or from what a hello says is stored."""
        tail = Tail(key, spool, ears)
        self._chores.start(self._carry(tail), f"uplink of {key}")
        return tail

    def connect(self, channel: Channel) -> None:
        """The hub has welcomed us; what it said of each attempt has been told to its tail."""
        self._waiting().set_result(channel)

    async def say_hello(self) -> None:
        """Reconnect, from whatever link there is, or will be."""
        (await asyncio.shield(self._waiting())).drop()

    def disconnect(self, channel: Channel) -> None:
        self._lose(channel)

    async def close(self) -> None:
        await self._chores.close()
        if self._channel is not None and not self._channel.done():
            self._channel.cancel()

    def _waiting(self) -> asyncio.Future[Channel]:
        if self._channel is None:
            self._channel = asyncio.get_running_loop().create_future()
        return self._channel

    async def _carry(self, tail: Tail) -> None:
        try:
            while not tail.is_over:
                try:
                    await tail.wait_more()
                    channel = await asyncio.shield(self._waiting())
                    async with self._room:
                        pause = await self._carry_batch(tail, channel)
                except OSError as error:  # the disk may answer the next time
                    _log.warning("%s could not be read, trying again: %s", tail.key, error)
                    tail.again()
                    pause = _AGAIN_S
                await asyncio.sleep(pause)
        except DataLoss as error:
            _log.error("%s: nothing more of it can be reported: %s", tail.key, error)
        finally:
            tail.close()

    async def _carry_batch(self, tail: Tail, channel: Channel) -> float:
        """How long to leave it alone then, in seconds."""
        batch = tail.batch()
        if not batch or tail.is_held:
            return 0
        records = [one.on_wire for one in batch]
        is_last = batch[-1].kind is Kind.EXITED
        if is_last:
            records[-1] = _with(records[-1], await tail.ears.ended())
        try:
            append = channel.append(tail.key, batch[0].seq, records)
            answer = await (append if is_last else both(tail.read_ahead(), append))
        except LinkLost:
            self._lose(channel)
        except CallError as error:
            _log.warning("%s was not stored, trying again: %s", tail.key, error)
            return _AGAIN_S
        else:
            self._heed(tail, channel, answer)
            if is_last and answer.verdict == "ok" and answer.stored >= batch[-1].seq:
                tail.stored_all()
        return 0

    def _heed(self, tail: Tail, channel: Channel, answer: Appended) -> None:
        match answer.verdict:
            case "ok":
                tail.stored(answer.stored)
            case "stale_epoch":
                self._lose(channel)
                channel.drop()
            case "superseded":
                tail.hold()
                tail.ears.superseded()

    def _lose(self, channel: Channel) -> None:
        current = self._channel
        if current is not None and current.done() and current.result() is channel:
            self._channel = None


class _Unstored(NamedTuple):
    seq: int
    kind: Kind
    on_wire: list[JsonValue]
    weight: int  #: about its bytes of JSON


class Tail:
    """One spool: what was read and is not stored, and how far the hub has got."""

    def __init__(self, key: Key, spool: Path, ears: Ears) -> None:
        self.key = key
        self.ears = ears
        self.is_held = False  #: nothing of it may be reported
        self.is_over = False
        self.last = 0  #: the last record known to exist,
        self.has_ended = False  #: which is the end
        self._spool = spool
        self._reader: Reader | None = None
        self._unstored: deque[_Unstored] = deque()
        self._weight = 0
        self._stored = 0
        self._news = asyncio.Event()

    def grew(self, last: int, *, ended: bool) -> None:
        self.last = max(self.last, last)
        self.has_ended |= ended
        self._news.set()

    def look(self) -> None:
        """Something was written, by whomever."""
        self._news.set()

    def hold(self) -> None:
        self.is_held = True

    def resume(self, stored: int) -> None:
        """The hub has this much, and wants what follows."""
        self.is_held = False
        self.stored(stored)
        self._news.set()

    def again(self) -> None:
        """Read once more what is not stored."""
        self._rewind(self._stored)

    def end(self) -> None:
        """Nobody waits for more."""
        self.is_over = True
        self._news.set()

    def stored(self, seq: int) -> None:
        """The hub has this much. Whether the end is of it, no number says: a machine that dies may
        lose what the hub has, and the end is then written behind what is left.
        """
        if seq < self._stored:  # its database was put back to an earlier state
            self._rewind(seq)
        self._stored = seq
        self._drop_stored()

    def stored_all(self) -> None:
        """The hub has the end."""
        self._unstored.clear()
        self._weight = 0
        self.ears.stored()

    def batch(self) -> list[_Unstored]:
        """The next records to report."""
        while self._has_less(1) and self._read():
            pass
        batch: list[_Unstored] = []
        room = BATCH_BYTES
        for one in self._unstored:
            room -= one.weight
            if batch and (room < 0 or len(batch) == BATCH_RECORDS):
                break
            batch.append(one)
        return batch

    async def read_ahead(self) -> None:
        """Have the batch after this one at hand; a little at a time, for others want to go on."""
        with suppress(DataLoss, OSError):  # they are met again when it is needed
            while self._has_less(2):
                if not self._read():
                    break
                await asyncio.sleep(0)

    async def wait_more(self) -> None:
        """Until there is something to report, or it is over."""
        while not self.is_over and (self.is_held or not (self._unstored or self._read())):
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _has_less(self, batches: int) -> bool:
        is_few = len(self._unstored) < batches * BATCH_RECORDS
        return is_few and self._weight < batches * BATCH_BYTES

    def _read(self) -> bool:
        """Whether there was more."""
        if self._reader is None:
            if not self._spool.exists():
                return False
            self._reader = Reader(self._spool, after=max(0, min(self._stored, self.last - 1)))
        records = self._reader.read(READ_RECORDS, READ_BYTES)
        for record in records:
            self._heed(record)
        self._drop_stored()
        return bool(records)

    def _drop_stored(self) -> None:
        while self._unstored and self._unstored[0].seq <= self._stored:
            if self._unstored[0].kind is Kind.EXITED:
                break
            self._weight -= self._unstored.popleft().weight

    def _heed(self, record: Record) -> None:
        self.last = max(self.last, record.seq)
        self.has_ended |= record.kind is Kind.EXITED
        wire, weight = on_wire(record), weigh(record)
        self._unstored.append(_Unstored(record.seq, record.kind, wire, weight))
        self._weight += weight
        match wire:
            case [_, "starting", dict(body)]:
                body["supervisor"] = self.ears.supervisor()
            case [_, "delivered" | "undelivered", {"messageId": str(id)}]:
                self.ears.settled(id)
            case _:
                pass

    def _rewind(self, seq: int) -> None:
        self.close()
        self._unstored.clear()
        self._weight = 0
        self._stored = seq


def _with(record: list[JsonValue], more: Mapping[str, JsonValue]) -> list[JsonValue]:
    match record:
        case [at, kind, dict(body)]:
            return [at, kind, {**body, **more}]
        case _:
            return record
