"""One line per query: its name in sql/queries, and the row it returns.

`tests/integration/test_queries.py` asks Postgres whether each line is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import asyncpg

import sql
from hub.store.rows import (
    access,
    exchange,
    fleet,
    policy,
    questions,
    sessions,
    shared,
    spokes,
    usage,
)
from hub.store.trouble import translated

Row = TypeVar("Row")


class Database(Protocol):
    """A connection or the pool: whatever runs one statement."""

    async def fetch(self, query: str, *args: object) -> Sequence[asyncpg.Record]: ...


@dataclass(frozen=True, slots=True)
class Query(Generic[Row]):
    name: str
    row: type[Row]

    @property
    def text(self) -> str:
        return sql.queries()[self.name]

    async def all(self, db: Database, *args: object) -> list[Row]:
        """All rows. Raises Unavailable when the database is away or wants us to try again."""
        with translated():
            return [self.row(*record) for record in await db.fetch(self.text, *args)]

    async def one(self, db: Database, *args: object) -> Row | None:
        """The first row, if there is one."""
        found = await self.all(db, *args)
        return found[0] if found else None

    async def only(self, db: Database, *args: object) -> Row:
        """The row of a statement that always has one."""
        found = await self.all(db, *args)
        return found[0]


spawn_sessions: Final = Query("spawn_sessions", sessions.SpawnRow)
spawn_one: Final = Query("spawn_one", sessions.SpawnedRow)
session_of_key: Final = Query("session_of_key", sessions.KeyRow)
holder_of_branch: Final = Query("holder_of_branch", shared.SessionIdRow)
lock_parent: Final = Query("lock_parent", sessions.ParentRow)
count_live_children: Final = Query("count_live_children", shared.CountRow)
session_views: Final = Query("session_views", sessions.ViewRow)
list_sessions: Final = Query("list_sessions", sessions.PageRow)
match_sessions: Final = Query("match_sessions", sessions.PageRow)
tree_ids: Final = Query("tree_ids", sessions.TreeRow)
is_below: Final = Query("is_below", sessions.BelowRow)
tell_session: Final = Query("tell_session", shared.StateRow)
note_event: Final = Query("note_event", sessions.SeqRow)
abort_tree: Final = Query("abort_tree", sessions.MarkedRow)
live_among: Final = Query("live_among", shared.SessionIdRow)
stops_of: Final = Query("stops_of", sessions.StopRow)
overdue_sessions: Final = Query("overdue_sessions", sessions.OverdueRow)
request_exit: Final = Query("request_exit", shared.OrderedRow)
resume_session: Final = Query("resume_session", shared.VerdictRow)
past_of_session: Final = Query("past_of_session", sessions.PastRow)
held_somewhere: Final = Query("held_somewhere", sessions.HeldSomewhereRow)
found_worktree: Final = Query("found_worktree", shared.AttemptNumberRow)
reopen_session: Final = Query("reopen_session", shared.StateRow)

append_records: Final = Query("append_records", exchange.AppendRow)
append_all: Final = Query("append_all", exchange.AppendRow)
events_after: Final = Query("events_after", exchange.EventRow)
story_of: Final = Query("story_of", exchange.StoryRow)
note_saved: Final = Query("note_saved", shared.VerdictRow)
ensure_partitions: Final = Query("ensure_partitions", exchange.MadeRow)

answer_question: Final = Query("answer_question", questions.AnsweredRow)
question_of: Final = Query("question_of", questions.QuestionRow)
questions_asked: Final = Query("questions_asked", questions.QuestionRow)
permissions_of: Final = Query("permissions_of", questions.LayersRow)

insert_message: Final = Query("insert_message", exchange.MessageIdRow)
message_state: Final = Query("message_state", exchange.MessageRow)
lock_session: Final = Query("lock_session", exchange.LockedRow)
order_message: Final = Query("order_message", shared.OrderedRow)

hub_id: Final = Query("hub_id", spokes.HubRow)
enroll_spoke: Final = Query("enroll_spoke", shared.SpokeIdRow)
spoke_key: Final = Query("spoke_key", spokes.SpokeKeyRow)
accept_hello: Final = Query("accept_hello", spokes.HelloRow)
boot_of_spoke: Final = Query("boot_of_spoke", spokes.BootRow)
renumber_orders: Final = Query("renumber_orders", spokes.NumberRow)
held_by_spoke: Final = Query("held_by_spoke", spokes.HeldRow)
known_sessions: Final = Query("known_sessions", spokes.KnownRow)
release_mapping: Final = Query("release_mapping", shared.SpokeIdRow)
sessions_out_of_reach: Final = Query("sessions_out_of_reach", shared.SessionIdRow)
hold_away: Final = Query("hold_away", shared.SpokeIdRow)
left_on_revoked: Final = Query("left_on_revoked", shared.AttemptRow)
confirm_abort: Final = Query("confirm_abort", shared.SessionIdRow)
found_session: Final = Query("found_session", shared.StateRow)
hold_connection: Final = Query("hold_connection", shared.SpokeIdRow)
long_unknown: Final = Query("long_unknown", shared.AttemptRow)
silent_starts: Final = Query("silent_starts", spokes.SilentRow)
spoke_views: Final = Query("spoke_views", spokes.SpokeRow)
set_cordoned: Final = Query("set_cordoned", shared.SpokeIdRow)
revoke_spoke: Final = Query("revoke_spoke", shared.SpokeIdRow)
live_on_spoke: Final = Query("live_on_spoke", spokes.LiveRow)
drop_branch_hold: Final = Query("drop_branch_hold", shared.AttemptNumberRow)

hub_beats: Final = Query("hub_beats", fleet.DrainingRow)
hub_leaves: Final = Query("hub_leaves", fleet.InstanceRow)
live_hubs: Final = Query("live_hubs", fleet.HubLiveRow)
drain_hub: Final = Query("drain_hub", fleet.InstanceRow)
take_lead: Final = Query("take_lead", fleet.TermRow)
leave_lead: Final = Query("leave_lead", fleet.TermRow)
say_doubt: Final = Query("say_doubt", fleet.TermRow)
doubt_of_leader: Final = Query("doubt_of_leader", fleet.DoubtRow)
holder_of_spoke: Final = Query("holder_of_spoke", fleet.HolderRow)
let_leases_run: Final = Query("let_leases_run", shared.SpokeIdRow)
keep_leases: Final = Query("keep_leases", shared.SpokeIdRow)
prolong_lease: Final = Query("prolong_lease", shared.SpokeIdRow)
held_links: Final = Query("held_links", fleet.HeldLinkRow)
replaceable: Final = Query("replaceable", shared.AttemptRow)
hold_offline: Final = Query("hold_offline", shared.SpokeIdRow)
orphan_leases: Final = Query("orphan_leases", shared.SpokeIdRow)
expired_spokes: Final = Query("expired_spokes", fleet.LeaseRow)
mark_offline: Final = Query("mark_offline", shared.SpokeIdRow)
reach_of_session: Final = Query("reach_of_session", fleet.ReachRow)
place_ask: Final = Query("place_ask", shared.NoRow)
take_asks: Final = Query("take_asks", fleet.AskRow)
answer_ask: Final = Query("answer_ask", fleet.AskIdRow)
answer_of_ask: Final = Query("answer_of_ask", fleet.AnswerRow)
drop_ask: Final = Query("drop_ask", shared.NoRow)
say_to_hubs: Final = Query("say_to_hubs", fleet.SaidTextRow)
tidy_hubs: Final = Query("tidy_hubs", shared.CountRow)
drop_partitions: Final = Query("drop_partitions", fleet.DroppedRow)

placement_scene: Final = Query("placement_scene", exchange.SceneRow)
assign_sessions: Final = Query("assign_sessions", exchange.PlacedRow)
pending_orders: Final = Query("pending_orders", exchange.OrderRow)
spokes_with_orders: Final = Query("spokes_with_orders", shared.SpokeIdRow)
earlier_attempts: Final = Query("earlier_attempts", exchange.EarlierRow)
ack_orders: Final = Query("ack_orders", shared.SessionIdRow)
set_credential: Final = Query("set_credential", shared.SessionIdRow)
refuse_start: Final = Query("refuse_start", shared.SessionIdRow)

failures_of_session: Final = Query("failures_of_session", policy.FailuresRow)
accounts_due: Final = Query("accounts_due", policy.AccountRow)
wake_parked: Final = Query("wake_parked", shared.SessionIdRow)
open_account: Final = Query("open_account", policy.AccountNameRow)
list_accounts: Final = Query("list_accounts", policy.LimitRow)
lift_limit: Final = Query("lift_limit", policy.LiftedRow)
handoff_of_session: Final = Query("handoff_of_session", policy.HandoffRow)
usage_of_tree: Final = Query("usage_of_tree", usage.TreeUsageRow)

claim_call: Final = Query("claim_call", access.ClaimRow)
call_of_key: Final = Query("call_of_key", access.CallRow)
settle_call: Final = Query("settle_call", access.KeyOnlyRow)
free_call: Final = Query("free_call", access.KeyOnlyRow)
tidy_calls: Final = Query("tidy_calls", shared.CountRow)

insert_token: Final = Query("insert_token", access.ExpiryRow)
token_by_digest: Final = Query("token_by_digest", access.TokenRow)
use_token: Final = Query("use_token", access.UsedTokenRow)
session_by_credential: Final = Query("session_by_credential", shared.AttemptRow)
void_credentials: Final = Query("void_credentials", access.IdRow)
touch_token: Final = Query("touch_token", access.TokenIdRow)
list_tokens: Final = Query("list_tokens", access.TokenViewRow)
revoke_token: Final = Query("revoke_token", access.TokenViewRow)
insert_audit: Final = Query("insert_audit", shared.NoRow)
count_by_state: Final = Query("count_by_state", access.StateCountRow)

take_migration_lock: Final = Query("take_migration_lock", access.TakenRow)
migrations_done: Final = Query("migrations_done", access.MigrationRow)
record_migration: Final = Query("record_migration", shared.NoRow)
