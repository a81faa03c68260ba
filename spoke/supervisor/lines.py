"""Cuts a stream of bytes into the output records of the spool; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spoke.spool import LINE_BYTES, OPEN, Kind

if TYPE_CHECKING:
    from spoke.spool import Entry


class Lines:
    """One stream; holds back a line whose newline has not come yet."""

    def __init__(self, kind: Kind) -> None:
        self._whole = int(kind)
        self._open = kind | OPEN
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Entry]:
        """The lines that this chunk completes, and the full pieces of one that is too long."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        entries: list[Entry] = []
        for line in lines:
            if len(line) > LINE_BYTES:
                entries += self._pieces(line)
                line = line[_cut(line) :]
            entries.append((self._whole, line))
        if len(self._rest) > LINE_BYTES:
            entries += self._pieces(self._rest)
            self._rest = self._rest[_cut(self._rest) :]
        return entries

    def finish(self) -> list[Entry]:
        """The stream ended: what is left has no newline."""
        rest, self._rest = self._rest, b""
        return [(self._open, rest)] if rest else []

    def _pieces(self, line: bytes) -> list[Entry]:
        cut = _cut(line)
        return [(self._open, line[at : at + LINE_BYTES]) for at in range(0, cut, LINE_BYTES)]


def _cut(line: bytes) -> int:
    """Where the last piece begins; it is never empty, so a newline always ends some bytes."""
    return (len(line) - 1) // LINE_BYTES * LINE_BYTES
