"""What a spoke may be told, and where in its state directory everything lies."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from protocol.errors import FailedPrecondition
from protocol.ops.shapes import Labels
from protocol.sandbox import Sandbox
from spoke.spool import LIMIT_BYTES

_SOCKET_MAX: Final = 100  #: bytes; the kernel takes 107


def _slots() -> int:
    return max(8, 4 * (os.cpu_count() or 1))


class SpokeSettings(BaseModel):
    """Times are in milliseconds. ``state`` is ours alone (0700)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    slots: int = Field(default_factory=_slots, ge=0, le=10_000)
    labels: Labels = {}
    allow_local_repos: bool = True
    pool_size: int = Field(default=2, ge=0, description="worktrees kept ready for each clone")
    spares: int = Field(default=1, ge=0, description="supervisors kept ready")
    term_ms: int = Field(default=8_000, ge=0, description="from a stop's INT to its TERM")
    kill_ms: int = Field(default=16_000, ge=0, description="from a stop's INT to its KILL")
    sweep_ms: int = Field(default=25_000, ge=0, description="when a stop is given up")
    save_ms: int = Field(
        default=60_000, ge=0, description="from one save of an agent's work to the next; 0: never"
    )
    push_saves: bool = Field(default=True, description="to the repository that it came from")
    trash_days: float = Field(default=7, ge=0, description="for which a removed worktree is kept")
    trash_bytes: int = Field(default=20 << 30, ge=0, description="that all of them take at most")
    linger_ms: int = Field(default=300_000, ge=0, description="an idle agent is kept for messages")
    quiet_ms: int = Field(
        default=120_000, ge=0, description="of silence of a busy agent, until it is told; 0: never"
    )
    spool_bytes: int = Field(default=LIMIT_BYTES, ge=2 << 20, description="for each attempt")
    sandbox_floor: Sandbox = Field(default="off", description="whatever is asked for")
    sandbox_writes: tuple[Path, ...] = Field(default=(), description="open to all in a sandbox")
    hidden: tuple[Path, ...] = Field(default=(), description="from all in a sandbox")

    @property
    def places(self) -> Places:
        return Places(self.state.absolute())


@dataclass(frozen=True, slots=True)
class Places:
    """The state directory."""

    state: Path

    @property
    def identity(self) -> Path:
        return self.state / "identity.json"

    @property
    def key(self) -> Path:
        return self.state / "key"

    @property
    def journal(self) -> Path:
        return self.state / "journal"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def attempts(self) -> Path:
        return self.state / "attempts"

    @property
    def blanks(self) -> Path:
        """Of attempts to come."""
        return self.state / "blanks"

    @property
    def conversations(self) -> Path:
        """The locks of those that agents are in."""
        return self.state / "conversations"

    @property
    def home(self) -> Path:
        """git's, not a person's."""
        return self.state / "home"

    @property
    def run(self) -> Path:
        """Unix sockets; beside the state where its path would be too long for one."""
        here = self.state / "run"
        if len(os.fsencode(here)) + 20 <= _SOCKET_MAX:
            return here
        mark = blake2s(os.fsencode(self.state), digest_size=6).hexdigest()
        return Path(gettempdir(), f"coord-{os.getuid()}-{mark}")

    @property
    def contact(self) -> Path:
        """When the hub last heard us."""
        return self.run / "contact"

    def socket(self, name: str) -> Path:
        """Of the attempt with this directory name."""
        return self.run / blake2s(name.encode(), digest_size=8).hexdigest()

    def make(self) -> None:
        """Raises FailedPrecondition (NOT_OURS): somebody else could read or write there."""
        for folder in (self.state, self.attempts, self.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_ours(folder)


def _check_ours(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise FailedPrecondition("NOT_OURS", f"{folder} is not a directory of this user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
