"""The spoke daemon put together: the only file here that knows everybody."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol import tokens
from protocol.ops.spokes import Enrolled
from spoke import (
    attempts,
    authors,
    enrollment,
    groups,
    identity,
    inventory,
    link,
    lock,
    nursery,
    trial,
)
from spoke.attempts import Attempts
from spoke.blanks import Blanks
from spoke.clones import Clones
from spoke.connection import Exchange
from spoke.contact import Contact
from spoke.first_starts import FirstStarts
from spoke.git import DEFAULT_PATH, Git
from spoke.identity import Identity
from spoke.journal import Journal
from spoke.outfit import Rooms
from spoke.process import Supervisors
from spoke.pulse import Pulse
from spoke.saves import Saves
from spoke.settings import SpokeSettings
from spoke.tidying import Tidier
from spoke.trial import Found
from spoke.uplink import Uplink
from spoke.worktrees import Worktrees


def is_enrolled(settings: SpokeSettings) -> bool:
    return identity.is_enrolled(settings.places)


async def join(settings: SpokeSettings, join_string: str, name: str | None = None) -> Enrolled:
    """Enroll this state directory with a hub; ``name``: else the one that the
    join string fixes, else that of the machine.

    Raises InvalidArgument (BAD_JOIN_STRING), AlreadyExists (ENROLLED), FailedPrecondition
    (SPOKE_RUNNING), and what dialling the hub and `spoke.enroll` raise.
    """
    ticket = tokens.read_join(join_string)
    settings.places.make()
    with lock.hold(settings.places.lock):
        return await enrollment.enroll(settings, ticket, name)


async def run(settings: SpokeSettings) -> None:
    """Serve the hub until cancelled; agents that run then go on.

    Raises FailedPrecondition (NOT_ENROLLED, SPOKE_RUNNING, NO_GIT, SANDBOX_UNAVAILABLE), DataLoss
    (JOURNAL_DAMAGED).
    """
    settings.places.make()
    holds = trial.hold()
    holds.narrowest(settings.sandbox_floor)
    with lock.hold(settings.places.lock):
        mine = identity.load(settings.places)
        async with _house(settings, mine, holds) as house:
            me = await inventory.look(settings, house.git, house.kills_by, holds)
            caller = link.Caller(
                mine,
                identity.own_key(settings.places),
                me.version,
                lambda: inventory.hello(me, mine, settings, house.exchange.attempts),
            )
            await link.keep(caller, house.exchange)


@dataclass(frozen=True, slots=True)
class _House:
    git: Git
    kills_by: str
    exchange: Exchange


@asynccontextmanager
async def _house(settings: SpokeSettings, mine: Identity, holds: Found) -> AsyncGenerator[_House]:
    """Everything but the link; closed in the order in which the rooms need each other."""
    places = settings.places
    async with AsyncExitStack() as stack:
        journal = Journal(places.journal)
        attempts.erase_done(places, journal)
        nursery.forget_spares(places.run)
        stack.enter_context(journal)
        git = Git(
            places.home,
            path=os.environ.get("PATH") or DEFAULT_PATH,
            ssh_auth_sock=os.environ.get("SSH_AUTH_SOCK"),
        )
        clones = Clones(places.state, git, allow_local=settings.allow_local_repos)
        worktrees = await stack.enter_async_context(
            Worktrees(
                places.state,
                clones,
                pool_size=settings.pool_size,
                trash_days=settings.trash_days,
                trash_bytes=settings.trash_bytes,
            )
        )
        born_in = groups.find(places.state)
        if born_in is not None:
            stack.callback(groups.leave, born_in)
        supervisors = Supervisors(spares=settings.spares, groups=born_in, doors=places.run)
        stack.push_async_callback(supervisors.close)
        blanks = Blanks(places.blanks)
        stack.push_async_callback(blanks.close)
        uplink = Uplink()
        stack.push_async_callback(uplink.close)
        saves = Saves(worktrees, settings.save_ms / 1_000, settings.push_saves)
        stack.push_async_callback(saves.close)
        saves.start()
        tidier = Tidier(journal)
        stack.push_async_callback(tidier.close)
        rooms = Rooms(
            settings=settings,
            worktrees=worktrees,
            supervisors=supervisors,
            blanks=blanks,
            uplink=uplink,
            saves=saves,
            journal=journal,
            tidier=tidier,
            first_starts=FirstStarts(),
            environ=dict(os.environ),
            author=await authors.find(git, os.environ),
            url=",".join(map(str, mine.addresses)),
            tools=Path(sysconfig.get_path("scripts")),
            holds=holds,
        )
        held = Attempts(rooms)
        stack.push_async_callback(held.close)
        supervisors.warm()
        blanks.start()
        await held.take_over()
        contact = Contact(places.contact)
        pulse = stack.enter_context(Pulse(mine, identity.own_key(places), contact))
        exchange = Exchange(held, worktrees, uplink, saves.reports, contact, pulse)
        kills_by = "subreaper" if born_in is None else "cgroup.kill"
        yield _House(git, kills_by, exchange)
