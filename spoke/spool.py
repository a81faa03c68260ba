"""The spool: an append-only file of records, written by a supervisor and tailed by the daemon.

One record on disk, little endian, no padding::

    length  u32   bytes of payload
    seq     u64   from 1, without gaps
    at      u64   wall clock, milliseconds
    kind    u8    a `Kind`; bit 0x80 (`OPEN`) only on output
    headSum u32   crc32 of the 21 bytes above: a damaged length is never believed
    sum     u32   crc32 of those 21 bytes and the payload
    payload

Output (STDOUT, STDERR) is one record per line, raw bytes without the newline. `OPEN` says that no
newline followed these bytes: the line was longer than `LINE_BYTES` and goes on in the next record
of its stream, or the stream ended there. So a stream is, byte for byte, the payloads in order with
a newline after each one that is not open (`Record.raw`). The other kinds carry UTF-8 JSON.

Standard library only, and few modules of it: the supervisor imports this on the way to the agent.
"""

from __future__ import annotations

import errno
import os
import struct
import time
import zlib
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class Kind(IntEnum):
    """What a record tells."""

    STARTING = 1
    RUNNING = 2
    STDOUT = 3
    STDERR = 4
    DELIVERED = 5  # a message reached the agent's stdin
    UNDELIVERED = 6
    EXITED = 7
    DROPPED = 8  # from here on output was dropped: the spool is full
    NOTED = 9
    AGENT = 10  # what an agent with turns said or did, translated


OPEN = 0x80
LINE_BYTES = 64 * 1024
LIMIT_BYTES = 2 * 1024 * 1024 * 1024
RESERVE_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024

# A kind (with OPEN, perhaps) and its payload: what is handed to `Writer.append`.
Entry = tuple[int, bytes]

_HEAD = struct.Struct("<IQQB")
_SUMS = struct.Struct("<II")
_FRAME = struct.Struct("<IQQBII")
_FRAME_BYTES = _FRAME.size
_KINDS = {kind | flag: (kind, bool(flag)) for kind in Kind for flag in (0, OPEN)}
_OUTPUT = frozenset({Kind.STDOUT, Kind.STDERR, Kind.STDOUT | OPEN, Kind.STDERR | OPEN})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Record(NamedTuple):
    """One record as read; ``at`` is wall-clock milliseconds, ``open`` as the module says."""

    seq: int
    at: int
    kind: Kind
    payload: bytes
    open: bool = False

    @property
    def raw(self) -> bytes:
        """An output record's share of its stream, newline included."""
        return self.payload if self.open else self.payload + b"\n"


class Damaged(OSError):
    """The file holds bytes that are no record, and not just a tail cut short."""

    def __init__(self, path: Path | str, offset: int) -> None:
        super().__init__(errno.EBADMSG, f"damaged record at byte {offset}", str(path))
        self.offset = offset


class Writer:
    """Appends records; opening an existing file goes on after its last good record.

    Raises ``Damaged`` when the file is broken before its tail, ``OSError`` as ``open`` does.
    """

    def __init__(self, path: Path | str, limit: int = LIMIT_BYTES) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._room = max(0, limit - RESERVE_BYTES)
        self._limit = limit
        self._dropping = False
        self.dropped_bytes = 0
        try:
            self.seq, self._end = self._recover(path)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, entries: Sequence[Entry]) -> int:
        """Write all entries with one system call; return the last sequence number.

        Output that does not fit under the limit, or on the disk, is counted and dropped; every
        other kind may use the reserve. Raises ``OSError`` when one of those cannot be written.
        """
        if self._dropping or self._end + _size(entries) > self._room:
            entries = self._admit(entries)
        if not entries:
            return self.seq
        try:
            self._write(entries)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            if error.errno not in _FULL or all(kind not in _OUTPUT for kind, _ in entries):
                raise
            self._dropping = True
            return self.append(entries)
        return self.seq

    def sync(self) -> None:
        """Returns when what was appended is on the disk. Raises ``OSError``."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, entries: Sequence[Entry]) -> None:
        at, seq = time.time_ns() // 1_000_000, self.seq
        parts: list[bytes] = []
        for kind, payload in entries:
            seq += 1
            head = _HEAD.pack(len(payload), seq, at, kind)
            head_sum = zlib.crc32(head)
            parts += (head, _SUMS.pack(head_sum, zlib.crc32(payload, head_sum)), payload)
        frames = memoryview(b"".join(parts))
        written = os.pwrite(self._fd, frames, self._end)
        while written < len(frames):  # a signal or a nearly full disk cut the call short
            written += os.pwrite(self._fd, frames[written:], self._end + written)
        self.seq, self._end = seq, self._end + len(frames)

    def _admit(self, entries: Iterable[Entry]) -> list[Entry]:
        """What may still be written; the rest is counted, and the first drop leaves a record."""
        admitted: list[Entry] = []
        end = self._end
        for entry in entries:
            kind, payload = entry
            size = _FRAME_BYTES + len(payload)
            if kind not in _OUTPUT or (not self._dropping and end + size <= self._room):
                admitted.append(entry)
                end += size
                continue
            if not self._dropping:
                self._dropping = True
                admitted.append((Kind.DROPPED, b'{"limitBytes":%d}' % self._limit))
            self.dropped_bytes += len(payload) + (not kind & OPEN)
        return admitted

    def _recover(self, path: Path | str) -> tuple[int, int]:
        if os.fstat(self._fd).st_size == 0:
            return 0, 0
        reader = _Scan(self._fd, path)
        while records := reader.read(4096, CHUNK_BYTES):
            self._dropping |= any(record.kind is Kind.DROPPED for record in records)
        os.ftruncate(self._fd, reader.offset)
        return reader.seq, reader.offset


class Reader:
    """Tails a spool from after record ``after``.

    ``offset`` is where that record ended, when it is known; else the file is read from its
    beginning. A record cut short at the end of the file is not there yet.
    """

    def __init__(self, path: Path | str, after: int = 0, offset: int | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._after = after
        self._scan = _Scan(self._fd, path)
        if offset is not None:
            self._scan.offset, self._scan.seq = offset, after

    @property
    def seq(self) -> int:
        """The last record read, or skipped."""
        return self._scan.seq

    @property
    def offset(self) -> int:
        """Where that record ends: what to give the next Reader."""
        return self._scan.offset

    def read(self, max_records: int = 4096, max_bytes: int = CHUNK_BYTES) -> list[Record]:
        """The next records, at most about ``max_bytes`` of file; empty when there are none yet.

        Raises DATA_LOSS when the file is broken before its tail.
        """
        try:
            while records := self._scan.read(max_records, max_bytes):
                if records[0].seq > self._after:
                    return records
                if fresh := [record for record in records if record.seq > self._after]:
                    return fresh
        except Damaged as error:
            raise _data_loss(error) from error
        return []

    def close(self) -> None:
        os.close(self._fd)


class _Scan:
    """Reads frames one after the other; shared by tailing and recovery."""

    def __init__(self, fd: int, path: Path | str) -> None:
        self._fd = fd
        self._path = path
        self.offset = 0
        self.seq = 0

    def read(self, max_records: int, max_bytes: int) -> list[Record]:
        data = os.pread(self._fd, max(max_bytes, _FRAME_BYTES), self.offset)
        records, used = self._parse(data, max_records)
        if not records and len(data) >= _FRAME_BYTES:
            whole = _FRAME_BYTES + int.from_bytes(data[:4], "little")
            if whole > len(data):  # one record larger than the caller's budget still gets through
                data = os.pread(self._fd, whole, self.offset)
                records, used = self._parse(data, 1)
        self.offset += used
        self.seq += len(records)
        return records

    def _parse(self, data: bytes, max_records: int) -> tuple[list[Record], int]:
        records: list[Record] = []
        view, used, seq, end = memoryview(data), 0, self.seq, len(data)
        while len(records) < max_records and used + _FRAME_BYTES <= end:
            length, got, at, kind, head_sum, payload_sum = _FRAME.unpack_from(data, used)
            start = used + _FRAME_BYTES
            if zlib.crc32(view[used : used + _HEAD.size]) != head_sum:
                raise Damaged(self._path, self.offset + used)
            if start + length > end:
                break
            payload = data[start : start + length]
            if zlib.crc32(payload, head_sum) != payload_sum:
                if self._is_tail(used + _FRAME_BYTES + length):
                    break
                raise Damaged(self._path, self.offset + used)
            seq += 1
            if got != seq or kind not in _KINDS:
                raise Damaged(self._path, self.offset + used)
            what, is_open = _KINDS[kind]
            records.append(Record(got, at, what, payload, is_open))
            used = start + length
        return records, used

    def _is_tail(self, end: int) -> bool:
        """Whether nothing follows: a last record half on the disk is torn, not damaged."""
        return self.offset + end >= os.fstat(self._fd).st_size


def _size(entries: Iterable[Entry]) -> int:
    return sum([_FRAME_BYTES + len(payload) for _, payload in entries])


def _data_loss(error: Damaged) -> Exception:
    # Imported only here: the supervisor, which has no site-packages, imports this module too.
    from protocol.errors import DataLoss

    return DataLoss(
        "SPOOL_DAMAGED",
        f"{error.filename}: {error.strerror}; what came before it was read",
        advice="check the disk, then run `coordctl doctor`",
        details={"offset": error.offset},
    )
