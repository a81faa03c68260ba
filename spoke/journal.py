"""What the spoke was ordered and has done with: JSON lines, on disk before an order is accepted.

A line is one order, `{"refused": seq}`, `{"done": [session, attempt]}` or `{"last": seq}`. The
file holds session credentials, so it is 0600.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import ConfigDict, ValidationError
from pydantic_core import to_json

from protocol.errors import DataLoss
from protocol.ops.shapes import Shape
from protocol.ops.wire import AnswerOrder, MessageOrder, Order, StartOrder, StopOrder
from spoke.supervisor.assignment import write_whole


class Key(NamedTuple):
    """One attempt of one session; ``str`` of it is the name of its directory."""

    session_id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.session_id}.{self.attempt}"


@dataclass(slots=True)
class Held:
    """What the orders say of an attempt that is not done."""

    start: StartOrder | None = None
    stops: list[StopOrder] = field(default_factory=list[StopOrder])
    messages: list[MessageOrder] = field(default_factory=list[MessageOrder])
    answers: list[AnswerOrder] = field(default_factory=list[AnswerOrder])
    orders: list[Order] = field(default_factory=list[Order])


class _Line(Shape):
    """Anything but an order."""

    model_config = ConfigDict(extra="forbid")

    refused: int | None = None
    done: tuple[str, int] | None = None
    last: int | None = None


class Journal:
    """``last_seq`` is the newest order on disk; ``held`` and ``done`` are what was replayed.

    Made, it has read the file. Entered, it has compacted it and takes more: what is left on disk
    of attempts in ``done`` must be gone by then, because it forgets them. Raises DataLoss
    (JOURNAL_DAMAGED) for a line that is none, the last one excepted.
    """

    def __init__(self, path: Path) -> None:
        self.last_seq = 0
        self.held: dict[Key, Held] = {}
        self.done: set[Key] = set()
        self._path = path
        self._fd = -1
        self._writing = threading.Lock()
        self._replay()

    def __enter__(self) -> Self:
        self._compact()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def accept(self, orders: Sequence[Order], refused: Iterable[int]) -> None:
        """Orders newer than ``last_seq``, in order; on disk when this returns. Blocks: a thread's.

        Raises OSError when the disk does not take them; then none of them counts.
        """
        seqs = sorted(refused)
        lines = [_encode(order) for order in orders]
        lines += [_encode({"refused": seq}) for seq in seqs]
        self._write(lines)
        self.last_seq = max([self.last_seq, *seqs, *(order.seq for order in orders)])

    def finish(self, keys: Iterable[Key]) -> None:
        """These attempts are done with: their end is stored, or nobody wants it. Blocks."""
        self._write([_encode({"done": key}) for key in keys])

    def _write(self, lines: Sequence[bytes]) -> None:
        text = b"".join(lines)
        with self._writing:
            end = os.fstat(self._fd).st_size
            try:
                _write_all(self._fd, text)
                os.fdatasync(self._fd)
            except OSError:
                os.ftruncate(self._fd, end)
                raise

    def _replay(self) -> None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in text.split(b"\n")[:-1]:  # what follows the last newline was cut by a crash
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            self._take(Order.model_validate_json(line))
        except ValidationError:
            try:
                self._note(_Line.model_validate_json(line))
            except ValidationError as error:
                raise DataLoss(
                    "JOURNAL_DAMAGED",
                    f"{self._path} holds a line that is no order: {line[:40]!r}",
                    advice="check the disk; move the file away to start without it",
                ) from error

    def _take(self, order: Order) -> None:
        self.last_seq = max(self.last_seq, order.seq)
        key = Key(order.session_id, order.attempt)
        held = self.held.setdefault(key, Held())
        held.orders.append(order)
        match order.body:
            case StartOrder() as start:
                held.start = start
            case MessageOrder() as message:
                held.messages.append(message)
            case AnswerOrder() as answer:
                held.answers.append(answer)
            case StopOrder() as stop:
                held.stops.append(stop)
            case None:
                pass  # a forget: nothing of it outlives its own moment

    def _note(self, line: _Line) -> None:
        self.last_seq = max(self.last_seq, line.last or 0, line.refused or 0)
        if line.done is not None:
            key = Key(*line.done)
            self.held.pop(key, None)
            self.done.add(key)

    def _compact(self) -> None:
        """Only what is held stays, and the newest number."""
        self.held = {key: held for key, held in self.held.items() if held.start is not None}
        lines = [_encode({"last": self.last_seq})]
        lines += [_encode(order) for held in self.held.values() for order in held.orders]
        write_whole(str(self._path), b"".join(lines), durable=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(fd: int, text: bytes) -> None:
    if os.write(fd, text) != len(text):
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def _encode(value: object) -> bytes:
    return to_json(value, by_alias=True) + b"\n"
