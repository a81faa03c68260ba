"""Whether this machine can hold an agent, found out by really trying: what a kernel says of itself
may be switched off by the one who runs it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from protocol.errors import FailedPrecondition
from protocol.sandbox import SANDBOXES, Sandbox, strictest
from spoke.core.sandboxing import CHANGE, READ, Rule
from spoke.supervisor import landlock

_HELD, _LOOSE, _STUCK, _REFUSED = range(4)
_WHY = {
    _LOOSE: "the kernel took the rules and did not keep to them",
    _STUCK: "the kernel keeps from a process what it was allowed",
    _REFUSED: "the kernel refused the rules",
}


class Found(NamedTuple):
    """``abi`` is Landlock's; ``why`` there is no sandbox, where there is none."""

    abi: int
    why: str = ""

    @property
    def sandboxes(self) -> list[Sandbox]:
        """That a session can be held in."""
        return ["off"] if self.why else [*SANDBOXES]

    def narrowest(self, *asked: Sandbox) -> Sandbox:
        """What holds who is asked to be in all of these.

        Raises FailedPrecondition (SANDBOX_UNAVAILABLE): nothing here can.
        """
        wanted = strictest(*asked)
        if wanted in self.sandboxes:
            return wanted
        raise FailedPrecondition(
            "SANDBOX_UNAVAILABLE",
            f"this machine cannot hold a session in the sandbox {wanted}: {self.why}",
            advice="Linux 6.2 or newer with Landlock can: coordctl spoke list -o wide; to run"
            " without: --sandbox off, where the spoke has no --sandbox-floor",
        )

    def __str__(self) -> str:
        return f"none ({self.why})" if self.why else f"landlock {self.abi}"


def hold() -> Found:
    """Forks a child that shuts itself in and tries to get out; best before there are threads."""
    version = landlock.abi()
    if version == 0:
        return Found(0, "this kernel has no Landlock, or it is switched off")
    if version < landlock.OLDEST:
        return Found(version, f"Landlock {landlock.OLDEST} is needed, this kernel has {version}")
    with tempfile.TemporaryDirectory(prefix="coord-probe-") as folder:
        inside, outside = Path(folder, "inside"), Path(folder, "outside")
        inside.mkdir()
        outside.mkdir()
        child = os.fork()
        if child == 0:
            _try(str(inside), str(outside))
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return Found(version, "" if code == _HELD else _WHY.get(code, f"the trial ended with {code}"))


def _try(inside: str, outside: str) -> None:
    """In the child. Never returns."""
    verdict = _REFUSED
    try:
        landlock.enter(landlock.ruleset([Rule("/", READ), Rule(inside, CHANGE)]))
        verdict = _LOOSE if _can_write(outside) else _HELD if _can_write(inside) else _STUCK
    except OSError:
        pass  # it is the verdict already
    finally:
        os._exit(verdict)


def _can_write(folder: str) -> bool:
    try:
        os.close(os.open(f"{folder}/trial", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except PermissionError:
        return False
    return True
