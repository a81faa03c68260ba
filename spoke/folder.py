"""The directory of one attempt: what its agent is given, who supervises it, how it ended.

Everything here may wait for a disk; the loop calls it in threads.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final, cast

from protocol.errors import DataLoss
from spoke.core.story import Exit
from spoke.inplace import put
from spoke.journal import Key
from spoke.settings import Places
from spoke.spool import Entry, Kind, Reader, Record, Writer
from spoke.supervisor.assignment import encode
from spoke.sweep import boot_id, is_alive

#: Of each attempt; the last becomes supervisor.json.
FILES: Final = (
    "prompt.md",
    "credential",
    "ready",
    "supervisor.log",
    "spool",
    "supervisor.json.new",
)
_SETTLED: Final = (Kind.DELIVERED, Kind.UNDELIVERED)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a spool holds. ``settled``: messages that it says were delivered, or were not."""

    last: int
    started: bool
    running: bool
    ended: bool
    settled: frozenset[str]
    worktree: Path | None


class Folder:
    def __init__(self, places: Places, key: Key) -> None:
        self.path = places.attempts / str(key)
        self.socket = places.socket(str(key))
        self.spool = self.path / "spool"
        self.prompt = self.path / "prompt.md"
        self.credential = self.path / "credential"
        self.temp = self.path / "tmp"  # of an agent in a sandbox
        self._ready = self.path / "ready"  #: the word and the socket of a supervisor to come
        self._launched = self.path / "launched"  #: the same, when there may be one
        self._supervisor = self.path / "supervisor.json"
        self._exit = self.path / "exit.json"

    def make(self) -> None:
        self.path.mkdir(mode=0o700, exist_ok=True)

    def furnish(self, prompt: str, credential: str, blank: Path | None = None) -> None:
        """The directory, and in it what the agent is given. ``blank``: one that has the `FILES`."""
        if blank is None or not self._take(blank):
            self.make()
        put(self.prompt, prompt.encode(errors="replace"), 0o600)
        put(self.credential, credential.encode(), 0o600)
        put(self._ready, os.fsencode(f"{token_hex(16)}\n{self.socket}"), 0o600)

    def _take(self, blank: Path) -> bool:
        """False: there is one already, of a try before."""
        try:
            blank.rename(self.path)
        except OSError:
            shutil.rmtree(blank, ignore_errors=True)
            return False
        return True

    def word(self) -> str:
        """By which its supervisor knows us; who is in a sandbox cannot read it."""
        for path in (self._ready, self._launched):  # in the order in which it has these names
            with suppress(FileNotFoundError):
                return _word_and_socket(path)[0]
        return ""

    def mark_launched(self) -> None:
        """From here on a supervisor may have it, whether or not we live to hear of that.

        What a daemon after us must know was written before, and gets the name that says so: it is
        there whole or not at all, and no new file is waited for.
        """
        self._ready.rename(self._launched)

    def was_launched(self) -> bool:
        """Whether it was; from then on ``socket`` is where that supervisor was told to listen."""
        try:
            _, socket = _word_and_socket(self._launched)
        except FileNotFoundError:
            return False
        if socket:  # else the machine died before this was on its disk, and the supervisor with it
            self.socket = Path(socket)
        return True

    def bar(self) -> None:
        """Who has not said by now that it is its supervisor will not be: it finds the name taken,
        and begins nothing. A link takes it at once, and needs no room on the disk.
        """
        with suppress(FileExistsError):
            self._supervisor.symlink_to("nobody")

    def supervisor(self) -> Mapping[str, object] | None:
        """pid, startTime and bootId, once it has written them."""
        try:
            found: object = json.loads(self._supervisor.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return cast("Mapping[str, object]", found)

    def group(self) -> Path | None:
        """The control group of this boot that its supervisor was in."""
        match self.supervisor():
            case {"group": str(group), "bootId": str(boot)} if boot == boot_id():
                return Path(group)
            case _:
                return None

    def is_supervised(self) -> bool:
        match self.supervisor():
            case {"pid": int(pid), "startTime": int(start), "bootId": str(boot)}:
                return boot == boot_id() and is_alive(pid, start)
            case _:
                return False

    def is_of_another_boot(self) -> bool:
        """Whether its supervisor ended with an earlier boot of this machine.

        It gives the file its name when that is written: what has the name and no text was not on
        the disk yet when the machine died.
        """
        found = self.supervisor()
        return self._supervisor.exists() if found is None else found.get("bootId") != boot_id()

    def is_ended(self) -> bool:
        """Whether the spool ends with an exit record; repairs one that only exit.json has.

        To be asked when no supervisor is at work there. Raises DataLoss, OSError.
        """
        try:
            text = self._exit.read_bytes()
        except FileNotFoundError:
            return self.spool.exists() and self.read().ended
        if not self._ends_with(text):
            self.append([(Kind.EXITED, text)])
        return True

    def read(self) -> Contents:
        """Raises DataLoss when the spool is broken before its tail."""
        try:
            reader = Reader(self.spool)
        except FileNotFoundError:
            return Contents(0, False, False, False, frozenset(), None)
        try:
            return _contents(reader)
        finally:
            reader.close()

    def write_exit(self, exit: Exit, undelivered: tuple[str, ...]) -> None:
        """End the spool, unless it has an end. Only where no supervisor is at work."""
        if self.is_ended():
            return
        reason = {"reason": exit.reason}
        entries: list[Entry] = [
            (Kind.UNDELIVERED, encode({"messageId": id, **reason})) for id in undelivered
        ]
        self.append([*entries, (Kind.EXITED, encode(_exit_body(exit)))])

    def append(self, entries: list[Entry]) -> None:
        try:
            writer = Writer(self.spool)
        except OSError as error:
            raise DataLoss("SPOOL_DAMAGED", str(error), advice="check the disk") from error
        try:
            writer.append(entries)
            writer.sync()
        finally:
            writer.close()

    def remove(self) -> None:
        self.socket.unlink(missing_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)

    def _ends_with(self, text: bytes) -> bool:
        try:
            with self.spool.open("rb") as spool:
                size = os.fstat(spool.fileno()).st_size
                return os.pread(spool.fileno(), len(text), max(0, size - len(text))) == text
        except FileNotFoundError:
            return False


def _word_and_socket(path: Path) -> tuple[str, str]:
    word, _, socket = os.fsdecode(path.read_bytes()).partition("\n")
    return word, socket


def _contents(reader: Reader) -> Contents:
    started = running = ended = False
    settled: set[str] = set()
    worktree: Path | None = None
    while records := reader.read():
        for record in records:
            started |= record.kind is Kind.STARTING
            running |= record.kind is Kind.RUNNING
            ended |= record.kind is Kind.EXITED
            if record.kind in _SETTLED:
                settled.add(str(_body(record).get("messageId")))
            elif record.kind is Kind.STARTING:
                worktree = Path(str(_body(record).get("worktree", "")))
    return Contents(reader.seq, started, running, ended, frozenset(settled), worktree)


def _body(record: Record) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads(record.payload))


def _exit_body(exit: Exit) -> Mapping[str, object]:
    return {
        "outcome": exit.outcome,
        "exitCode": None,
        "signal": None,
        "endedBy": exit.ended_by,
        "reason": exit.reason,
        "message": exit.message,
        "advice": exit.advice,
        "endedAt": time.time_ns() // 1_000_000,
        "ended": exit.ended,
        "survivors": exit.survivors,
    }
