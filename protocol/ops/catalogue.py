"""All operations, by name: who may ask, what they take and give, and what losing a caller means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from pydantic import BaseModel

from protocol.ops import accounts, keeping, questions, roles, sessions, spawning, spokes, wire
from protocol.ops.shapes import Nothing, Params

P = TypeVar("P", bound=Params, covariant=True)
R = TypeVar("R", bound=BaseModel, covariant=True)


class Kind(StrEnum):
    QUERY = "query"  #: changes nothing; aborted when its caller is lost
    MUTATION = "mutation"  #: goes on when its caller is lost
    STREAM = "stream"  #: many items, then an end; aborted when its caller is lost


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    SESSION = "session"  #: an agent, with the rights of its session
    SPOKE = "spoke"
    JOINING = "joining"  #: holds a join token


@dataclass(frozen=True, slots=True)
class Op(Generic[P, R]):
    """An operation. ``item`` is the shape of one item of a stream."""

    name: str
    summary: str
    kind: Kind
    params: type[P]
    result: type[R]
    roles: frozenset[Role]
    idempotent: bool = False  #: safe to send again after the link was lost
    item: type[BaseModel] | None = None
    secret: bool = False  #: its answer is shown once, and never stored

    @property
    def detached(self) -> bool:
        return self.kind is Kind.MUTATION


_PEOPLE = frozenset({Role.OPERATOR, Role.ADMIN})
_READERS = _PEOPLE | {Role.VIEWER, Role.SESSION}
_WRITERS = _PEOPLE | {Role.SESSION}
_ADMIN = frozenset({Role.ADMIN})
_ALL = frozenset(Role) - {Role.JOINING}
_SPOKE = frozenset({Role.SPOKE})

SPAWN: Final = Op(
    "coord.spawn", "Start a session: one agent, in one worktree, on one spoke.",
    Kind.MUTATION, spawning.SpawnParams, spawning.Spawned, _WRITERS,
)  # fmt: skip
SWARM: Final = Op(
    "coord.swarm", "Start many sessions with one call; each task has its own result.",
    Kind.MUTATION, spawning.SwarmParams, spawning.Swarmed, _WRITERS,
)  # fmt: skip
STATUS: Final = Op(
    "coord.status", "One session, a tree of sessions, or all that match, page by page.",
    Kind.QUERY, sessions.StatusParams, sessions.Status, _READERS, idempotent=True,
)  # fmt: skip
MESSAGE: Final = Op(
    "coord.message", "Say something to a session's agent. Delivered once, in order.",
    Kind.MUTATION, sessions.MessageParams, sessions.Delivered, _WRITERS,
)  # fmt: skip
ROLES: Final = Op(
    "coord.roles", "The roles that a session may be spawned with.",
    Kind.QUERY, Nothing, roles.RoleList, _READERS, idempotent=True,
)  # fmt: skip
QUESTIONS: Final = Op(
    "coord.questions", "What agents ask whether they may, and wait for.",
    Kind.QUERY, questions.QuestionsParams, questions.QuestionList, _READERS, idempotent=True,
)  # fmt: skip
ANSWER: Final = Op(
    "coord.answer", "Allow or deny what an agent asks for: once.",
    Kind.MUTATION, questions.AnswerParams, questions.Answered, _WRITERS,
)  # fmt: skip
ABORT: Final = Op(
    "coord.abort", "End a session and all below it; answers with a receipt.",
    Kind.MUTATION, sessions.AbortParams, sessions.Receipt, _WRITERS, idempotent=True,
)  # fmt: skip
RESUME: Final = Op(
    "coord.resume", "Start an ended session again, with what it had done: there or elsewhere.",
    Kind.MUTATION, sessions.ResumeParams, sessions.Resumed, _WRITERS,
)  # fmt: skip
EVENTS: Final = Op(
    "coord.events", "The story of a session: from a sequence number, then live.",
    Kind.STREAM, sessions.EventsParams, sessions.EventsEnd, _READERS, idempotent=True,
    item=sessions.EventBatch,
)  # fmt: skip
WAIT: Final = Op(
    "coord.wait", "Answer when sessions have got somewhere.",
    Kind.QUERY, sessions.WaitParams, sessions.Waited, _READERS, idempotent=True,
)  # fmt: skip
NOTIFY: Final = Op(
    "coord.notify", "From inside a session: tell its story; `blocking` is a safe exit.",
    Kind.MUTATION, sessions.NotifyParams, sessions.Notified, _WRITERS,
)  # fmt: skip
CLEANUP: Final = Op(
    "coord.cleanup", "Remove worktrees whose work is merged, pushed or saved.",
    Kind.MUTATION, keeping.CleanupParams, keeping.Cleanup, _PEOPLE, idempotent=True,
)  # fmt: skip
RECOVER: Final = Op(
    "coord.recover", "Where the records and the machines disagree, and what is done about it.",
    Kind.MUTATION, keeping.RecoverParams, keeping.Recovery, _ADMIN, idempotent=True,
)  # fmt: skip
TRASH_LIST: Final = Op(
    "trash.list", "Removed worktrees that can be had back.",
    Kind.QUERY, keeping.TrashListParams, keeping.TrashList, _PEOPLE, idempotent=True,
)  # fmt: skip
TRASH_RESTORE: Final = Op(
    "trash.restore", "Put a removed worktree back as it was, its branch included.",
    Kind.MUTATION, keeping.TrashRestoreParams, wire.GivenBack, _PEOPLE,
)  # fmt: skip
EXPLAIN: Final = Op(
    "coord.explain", "Why a session is where it is, what happens next, what you can do.",
    Kind.QUERY, sessions.ExplainParams, sessions.Explanation, _READERS, idempotent=True,
)  # fmt: skip

SPOKE_LIST: Final = Op(
    "spoke.list", "The spokes, what they hold and when they were last heard.",
    Kind.QUERY, spokes.SpokeListParams, spokes.SpokeList, _PEOPLE | {Role.VIEWER}, idempotent=True,
)  # fmt: skip
SPOKE_CORDON: Final = Op(
    "spoke.cordon", "Give a spoke no new work (or give it work again).",
    Kind.MUTATION, spokes.CordonParams, spokes.SpokeView, _ADMIN, idempotent=True,
)  # fmt: skip
SPOKE_DRAIN: Final = Op(
    "spoke.drain", "Give a spoke no new work and wait until it holds none.",
    Kind.MUTATION, spokes.DrainParams, spokes.Drained, _ADMIN, idempotent=True,
)  # fmt: skip
SPOKE_INVITE: Final = Op(
    "spoke.invite", "A join string for one new spoke: one use, 15 minutes.",
    Kind.MUTATION, spokes.InviteParams, spokes.Invited, _ADMIN, secret=True,
)  # fmt: skip
SPOKE_REVOKE: Final = Op(
    "spoke.revoke", "Never let this spoke in again; its sessions are given up.",
    Kind.MUTATION, spokes.RevokeParams, spokes.Revoked, _ADMIN, idempotent=True,
)  # fmt: skip
SPOKE_ENROLL: Final = Op(
    "spoke.enroll", "A new spoke shows its key; its join token is used up.",
    Kind.MUTATION, spokes.EnrollParams, spokes.Enrolled, frozenset({Role.JOINING}),
)  # fmt: skip

ACCOUNT_LIST: Final = Op(
    "account.list", "Accounts whose providers limit them, until when, and who waits.",
    Kind.QUERY, Nothing, accounts.AccountList, _PEOPLE | {Role.VIEWER}, idempotent=True,
)  # fmt: skip
ACCOUNT_OPEN: Final = Op(
    "account.open", "End the limit of an account before its time; who waited goes on.",
    Kind.MUTATION, accounts.OpenParams, accounts.Opened, _PEOPLE, idempotent=True,
)  # fmt: skip

TOKEN_CREATE: Final = Op(
    "token.create", "A credential for a person or a program.",
    Kind.MUTATION, spokes.TokenCreateParams, spokes.TokenCreated, _ADMIN, secret=True,
)  # fmt: skip
TOKEN_LIST: Final = Op(
    "token.list", "The credentials, without their secrets.",
    Kind.QUERY, Nothing, spokes.TokenList, _ADMIN, idempotent=True,
)  # fmt: skip
TOKEN_REVOKE: Final = Op(
    "token.revoke", "End a credential; its links are closed.",
    Kind.MUTATION, spokes.TokenRevokeParams, spokes.TokenView, _ADMIN, idempotent=True,
)  # fmt: skip
HUB_TICKET: Final = Op(
    "hub.ticket", "A link that opens the ops page in a browser: one use, one minute.",
    Kind.MUTATION, Nothing, spokes.TicketAnswer, _PEOPLE | {Role.VIEWER}, secret=True,
)  # fmt: skip
HUB_LIST: Final = Op(
    "hub.list", "The hubs that share this database, and which of them leads.",
    Kind.QUERY, Nothing, spokes.HubList, _PEOPLE | {Role.VIEWER}, idempotent=True,
)  # fmt: skip
HUB_DRAIN: Final = Op(
    "hub.drain", "Send the links of a hub to the others.",
    Kind.MUTATION, spokes.HubDrainParams, spokes.HubView, _ADMIN, idempotent=True,
)  # fmt: skip
DISCOVER: Final = Op(
    "rpc.discover", "The operations that the caller may use: OpenRPC, with their JSON Schemas.",
    Kind.QUERY, Nothing, spokes.Discovery, _ALL, idempotent=True,
)  # fmt: skip

SESSION_APPEND: Final = Op(
    "session.append", "A spoke stores records of an attempt: once each, in order.",
    Kind.MUTATION, wire.AppendParams, wire.Appended, _SPOKE, idempotent=True,
)  # fmt: skip

SESSION_SAVED: Final = Op(
    "session.saved", "A spoke tells where the work of an attempt was saved.",
    Kind.MUTATION, wire.Saved, wire.SavedTaken, _SPOKE, idempotent=True,
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Op[Params, BaseModel]]] = {
    op.name: op
    for op in (
        SPAWN, SWARM, STATUS, MESSAGE, ROLES, QUESTIONS, ANSWER, ABORT, RESUME,
        EVENTS, WAIT, NOTIFY, CLEANUP, EXPLAIN,
        SPOKE_LIST, SPOKE_CORDON, SPOKE_DRAIN, SPOKE_INVITE, SPOKE_REVOKE, SPOKE_ENROLL,
        ACCOUNT_LIST, ACCOUNT_OPEN,
        TOKEN_CREATE, TOKEN_LIST, TOKEN_REVOKE, HUB_TICKET, HUB_LIST, HUB_DRAIN,
        DISCOVER, SESSION_APPEND,
        SESSION_SAVED, RECOVER, TRASH_LIST, TRASH_RESTORE,
    )
}  # fmt: skip

# What the hub asks of a spoke.
_HUB: Final = frozenset[Role]()
SPOKE_ORDERS: Final = Op(
    "spoke.orders", "Orders for attempts; answered once they are on disk.",
    Kind.MUTATION, wire.OrdersParams, wire.OrdersTaken, _HUB, idempotent=True,
)  # fmt: skip
WORKTREE_INSPECT: Final = Op(
    "worktree.inspect", "What would be lost if a worktree were removed.",
    Kind.QUERY, wire.InspectParams, wire.Inspected, _HUB, idempotent=True,
)  # fmt: skip
WORKTREE_REMOVE: Final = Op(
    "worktree.remove", "Remove a worktree.",
    Kind.MUTATION, wire.RemoveParams, wire.Removed, _HUB, idempotent=True,
)  # fmt: skip

WORKTREE_TRASH: Final = Op(
    "worktree.trash", "The removed worktrees that a spoke keeps.",
    Kind.QUERY, Nothing, wire.Trash, _HUB, idempotent=True,
)  # fmt: skip
WORKTREE_RESTORE: Final = Op(
    "worktree.restore", "Put a removed worktree back.",
    Kind.MUTATION, wire.GiveBackParams, wire.GivenBack, _HUB,
)  # fmt: skip
SPOKE_SURVEY: Final = Op(
    "spoke.survey", "All that a spoke has of sessions.",
    Kind.QUERY, Nothing, wire.Survey, _HUB, idempotent=True,
)  # fmt: skip

HEARTBEAT: Final = "spoke.heartbeat"  #: a notice; its parameters are `HeartbeatParams`
HEARD: Final = "spoke.heard"  #: the hub's notice that confirms one; `HeardParams`

#: Operations that a spoke answers.
LIVE: Final[Mapping[str, Op[Params, BaseModel]]] = {
    op.name: op
    for op in (
        SPOKE_ORDERS, WORKTREE_INSPECT, WORKTREE_REMOVE, WORKTREE_TRASH, WORKTREE_RESTORE,
        SPOKE_SURVEY,
    )
}  # fmt: skip
