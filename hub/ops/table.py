"""Every operation of the hub."""

from __future__ import annotations

from typing import Final

from hub.ops import (
    abort,
    accounts,
    answer,
    append,
    cleanup,
    discover,
    events,
    explain,
    hubs,
    message,
    notify,
    recover,
    resume,
    roles,
    saved,
    spawn,
    spokes,
    status,
    swarm,
    tokens,
    trash,
    wait,
)
from hub.ops.registry import Registered

OPERATIONS: Final[tuple[Registered, ...]] = (
    spawn.OPERATION,
    swarm.OPERATION,
    status.OPERATION,
    message.OPERATION,
    *answer.OPERATIONS,
    roles.OPERATION,
    abort.OPERATION,
    resume.OPERATION,
    events.OPERATION,
    wait.OPERATION,
    notify.OPERATION,
    cleanup.OPERATION,
    explain.OPERATION,
    *spokes.OPERATIONS,
    *accounts.OPERATIONS,
    *tokens.OPERATIONS,
    *hubs.OPERATIONS,
    discover.OPERATION,
    append.OPERATION,
    recover.OPERATION,
    *trash.OPERATIONS,
    saved.OPERATION,
)
