"""Operations that only a measured hub has, behind the same door as all others.

No operation of the catalogue answers without the database, so `bench.status` stands for the price
of the door itself: authorised, parameters and answer validated, answered. `bench.nest` places a
call on a spoke and waits for it; so does `bench.relay`, which a spoke answers at once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol.ops.catalogue import Kind, Op, Role
from protocol.ops.sessions import SessionView, Status, StatusParams
from protocol.ops.shapes import Params, Shape, Word
from protocol.session import Desired, State

QUICK = "bench.quick"  #: what it answers at once
HOLD = "bench.hold"  #: what a spoke of `roles.fleet` answers when it is aborted
STATUS_PARAMS = {
    "tree": "ses_s6nwbly7ql3i2hvd",
    "spoke": "the name of a spoke, in full",
    "states": ["queued", "assigned", "running", "unknown"],
    "labels": {"team": "exchange", "purpose": "a filter that a dashboard would send, more or less"},
    "limit": 100,
}
_AT = datetime(2025, 1, 1, tzinfo=UTC)


class NestParams(Params):
    spoke_id: Word


class RelayParams(Params):
    spoke_ids: list[Word]


class Nested(Shape):
    pass


def view() -> SessionView:
    return SessionView(
        session_id="ses_s6nwbly7ql3i2hvd",
        task="mend the parser",
        state=State.RUNNING,
        desired=Desired.RUN,
        activity=None,
        reason=None,
        state_since=_AT,
        parent_session_id=None,
        root_session_id="ses_s6nwbly7ql3i2hvd",
        depth=0,
        on_parent_abort="abort-dependents",
        attempt=1,
        agent="command",
        repo="https://example.invalid/team/repository.git",
        branch="coord/mend-the-parser-s6nwbly7ql",
        base_commit="0" * 40,
        worktree="/w/ses_s6nwbly7ql3i2hvd",
        spoke="anvil",
        labels={},
        created_at=_AT,
        started_at=_AT,
        finished_at=None,
        exit_code=None,
        last_seq=5,
        abort=None,
    )


async def status(_: Desk, asked: Asked[StatusParams]) -> Status:
    assert asked.params.limit
    return Status(sessions=[view()])


async def nest(desk: Desk, asked: Asked[NestParams]) -> Nested:
    await asked.context.ask(desk.spokes.link_of(asked.params.spoke_id), HOLD, {})
    return Nested()


async def relay(desk: Desk, asked: Asked[RelayParams]) -> Nested:
    """Passed on to one of them, whoever's turn it is by the id of the call."""
    ids = asked.params.spoke_ids
    spoke = ids[hash(asked.context.call.id) % len(ids)]
    await asked.context.ask(desk.spokes.link_of(spoke), QUICK, {})
    return Nested()


_PEOPLE = frozenset({Role.ADMIN})
OPERATIONS = (
    Operation(Op("bench.status", "", Kind.QUERY, StatusParams, Status, _PEOPLE), status),
    Operation(Op("bench.nest", "", Kind.QUERY, NestParams, Nested, _PEOPLE), nest),
    Operation(Op("bench.relay", "", Kind.QUERY, RelayParams, Nested, _PEOPLE), relay),
)
