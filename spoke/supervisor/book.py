"""What a supervisor writes down: the spool; its end elsewhere, if that did not take it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from spoke.spool import Kind, Writer
from spoke.supervisor.assignment import encode, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping


class Book:
    """``limit``: bytes of output that the spool takes. Raises OSError when made on a full disk."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self.spool = Writer(f"{folder}/spool", limit)
        self._is_short = False  #: something is missing in the spool

    def note(self, kind: Kind, body: Mapping[str, object]) -> None:
        """A full disk must not end a supervisor: a stop has to work there too."""
        try:
            self.spool.append([(kind, encode(body))])
        except OSError as error:
            self._is_short = True
            _complain(kind.name, error)

    def sync(self) -> bool:
        """Whether all that was noted is on the disk."""
        try:
            self.spool.sync()
        except OSError as error:
            _complain("spool", error)
            return False
        return not self._is_short

    def close(self, body: Mapping[str, object]) -> bool:
        """Make the end, which was noted, last: whether the spool has it, or else exit.json.

        Not both: a file more for each that ends is what takes the longest when many end at once.
        """
        if self.sync():
            return True
        try:
            write_whole(f"{self._folder}/exit.json", encode(body), durable=True)
        except OSError as error:
            _complain("exit.json", error)
        return False


def _complain(what: str, error: OSError) -> None:
    """Into supervisor.log, if that can still be written."""
    with suppress(OSError):
        os.write(2, f"{what} was not written: {error}\n".encode())
