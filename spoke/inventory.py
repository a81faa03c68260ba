"""What this spoke says of itself when it comes to its hub."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

from pydantic import JsonValue

from protocol.handshake import SpokeHello
from protocol.sandbox import Sandbox
from spoke.agents.table import installed
from spoke.attempts import Attempts
from spoke.flight import in_thread
from spoke.git import Git
from spoke.identity import Identity
from spoke.logins import logins
from spoke.programs import versions
from spoke.settings import SpokeSettings
from spoke.sweep import boot_id
from spoke.trial import Found


@dataclass(frozen=True, slots=True)
class Self:
    """``incarnation`` is new at each start of the daemon."""

    incarnation: str
    boot_id: str
    version: str
    detail: Mapping[str, JsonValue]
    sandboxes: Sequence[Sandbox]  #: that it can hold a session in


async def look(settings: SpokeSettings, git: Git, kills_by: str, holds: Found) -> Self:
    """``kills_by``: the strongest way there is here to end what a supervisor left behind."""
    said = await git.run(["--version"], git_dir=settings.places.home)
    agents = installed(shutil.which)
    detail: dict[str, JsonValue] = {
        "hostname": platform.node(),
        "platform": platform.platform(),
        "kernel": platform.release(),
        "git": said.strip().removeprefix("git version "),
        "python": platform.python_version(),
        "killMethod": kills_by,
        "sandbox": str(holds),
        **({"sandboxFloor": floor} if (floor := settings.sandbox_floor) != "off" else {}),
        "agents": [*agents],
        "agentVersions": {**await in_thread(versions, agents, shutil.which)},
        "agentLogins": {**await in_thread(logins, agents, os.environ)},
        "pid": os.getpid(),
    }
    return Self(uuid4().hex, boot_id(), our_version(), detail, holds.sandboxes)


def hello(me: Self, identity: Identity, settings: SpokeSettings, attempts: Attempts) -> SpokeHello:
    return SpokeHello(
        spoke_id=identity.spoke_id,
        incarnation=me.incarnation,
        boot_id=me.boot_id,
        slots=settings.slots,
        labels=settings.labels,
        sandboxes=[*me.sandboxes],
        last_seq=attempts.last_seq,
        inventory=attempts.inventory(),
        detail=dict(me.detail),
    )


def our_version() -> str:
    try:
        return version("coord")
    except PackageNotFoundError:
        return "0"
