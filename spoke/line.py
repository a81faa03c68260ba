"""The daemon's line to a supervisor at work: messages and stop orders there, spool numbers back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, cast

from protocol.errors import ResourceExhausted, Unavailable
from spoke.core.story import Stop

_log = logging.getLogger(__name__)

Delivery = Literal["delivered", "queued", "duplicate", "closed"]


class OnSpool(Protocol):
    def __call__(self, last: int, *, ended: bool) -> None:
        """The spool's last record has this number, and is the end or not."""
        ...


class Supervisor:
    """A line to a supervisor at work, also for a daemon that did not start it."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    @classmethod
    async def connect(cls, socket_path: Path, on_spool: OnSpool, word: str = "") -> Supervisor:
        """``on_spool`` is called at once, and whenever the spool grew. ``word``: by which it knows
        us.

        Raises UNAVAILABLE when nobody listens there, or too many wait to be heard.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, wire = await loop.create_unix_connection(
                lambda: _Wire(on_spool, word), str(socket_path)
            )
            _check_connected(transport)
        except OSError as error:
            raise Unavailable(
                "SUPERVISOR_GONE", f"no supervisor listens at {socket_path}: {error.strerror}"
            ) from error
        return cls(wire)

    async def message(self, id: str, text: str, mode: str = "queue") -> Delivery:
        """Wait until the text and a newline are in the agent's stdin, or its turn is awaited.

        Raises RESOURCE_EXHAUSTED when too much waits there unread, UNAVAILABLE as ``request``.
        """
        answer = await self._wire.request(
            {"op": "message", "messageId": id, "text": text, "mode": mode}
        )
        if answer.get("ok") is not True:
            raise ResourceExhausted("STDIN_FULL", "the agent does not read what it was sent")
        return cast("Delivery", answer["state"])

    async def answer(self, question: int, decision: str, by: str, message: str) -> None:
        """The decision itself shows in the spool. Said again, it is not heard."""
        said = {"question": question, "decision": decision, "by": by, "message": message}
        await self._wire.request({"op": "answer", **said})

    def stop(self, stop: Stop) -> None:
        """Order a stop; the end itself shows as EXITED in the spool. Asking again is harmless.

        Nothing happens when the line is down: it is to be said again on the next one.
        """
        order = {"outcome": stop.outcome, "reason": stop.reason, "now": stop.now, "by": stop.by}
        self._wire.say({"op": "stop", **order, "behind": stop.behind})

    def stored(self) -> None:
        """Its end is on the hub's disk: it need not wait for its own. As `stop`."""
        self._wire.say({"op": "stored"})

    async def status(self) -> Mapping[str, object]:
        """pid, startTime, alive, phase (of the ladder), spool (last number), queued (messages)."""
        return await self._wire.request({"op": "status"})

    async def wait_gone(self) -> bool:
        """Until the line is down; whether its last word was that the end is in the spool."""
        await self._wire.gone.wait()
        return self._wire.is_over

    async def close(self) -> None:
        """Hang up; the supervisor goes on."""
        self._wire.hang_up()
        await self._wire.gone.wait()


class _Wire(asyncio.Protocol):
    """JSON lines over the socket."""

    def __init__(self, on_spool: OnSpool, word: str) -> None:
        self._on_spool = on_spool
        self._known_by = {"word": word} if word else {}
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Mapping[str, object]]] = {}
        self.gone = asyncio.Event()
        self.is_over = False  #: it has said so

    async def request(self, body: Mapping[str, object]) -> Mapping[str, object]:
        """Raises UNAVAILABLE when the line is down, or goes down before the answer."""
        if self._transport is None or self.gone.is_set():
            raise _line_down()
        self._last_id += 1
        id = self._last_id
        future: asyncio.Future[Mapping[str, object]]
        future = asyncio.get_running_loop().create_future()
        self._waiting[id] = future
        self.say({"id": id, **body})
        try:
            return await future
        finally:
            self._waiting.pop(id, None)

    def say(self, body: Mapping[str, object]) -> None:
        """What is not answered."""
        if self._transport is not None and not self.gone.is_set():
            self._transport.write(json.dumps({**self._known_by, **body}).encode() + b"\n")

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = cast("Mapping[str, object]", json.loads(line))
            match message:
                case {"id": int(id)}:
                    if (future := self._waiting.get(id)) and not future.done():
                        future.set_result(message)
                case {"spool": int(seq), "ended": bool(ended)}:
                    self._on_spool(seq, ended=ended)
                case {"over": True}:
                    self.is_over = True
                    self.hang_up()
                case _:
                    _log.warning("a supervisor said what it should not: %.200r", line)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_line_down())


def _check_connected(transport: asyncio.Transport) -> None:
    """asyncio takes EAGAIN, a full queue at a unix socket, for a connection under way."""
    try:
        transport.get_extra_info("socket").getpeername()
    except OSError:
        transport.abort()
        raise


def _line_down() -> Unavailable:
    return Unavailable(
        "SUPERVISOR_GONE",
        "the supervisor hung up: its attempt ended, or it was killed",
        advice="read the spool of the attempt",
    )
