"""One line per query: its name in sql/queries, and the row it returns.

`tests/integration/test_queries.py` asks Postgres whether each line is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import asyncpg

import sql
from hub.store import fleet_rows, rows
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


spawn_sessions: Final = Query("spawn_sessions", rows.SpawnRow)
spawn_one: Final = Query("spawn_one", rows.SessionIdRow)
session_of_key: Final = Query("session_of_key", rows.KeyRow)
holder_of_branch: Final = Query("holder_of_branch", rows.SessionIdRow)
lock_parent: Final = Query("lock_parent", rows.ParentRow)
count_live_children: Final = Query("count_live_children", rows.CountRow)
session_views: Final = Query("session_views", rows.ViewRow)
list_sessions: Final = Query("list_sessions", rows.PageRow)
match_sessions: Final = Query("match_sessions", rows.PageRow)
tree_ids: Final = Query("tree_ids", rows.TreeRow)
is_below: Final = Query("is_below", rows.BelowRow)
tell_session: Final = Query("tell_session", rows.StateRow)
note_event: Final = Query("note_event", rows.SeqRow)
abort_tree: Final = Query("abort_tree", rows.MarkedRow)
live_among: Final = Query("live_among", rows.SessionIdRow)
overdue_sessions: Final = Query("overdue_sessions", rows.OverdueRow)
request_exit: Final = Query("request_exit", rows.OrderedRow)
resume_session: Final = Query("resume_session", rows.VerdictRow)
past_of_session: Final = Query("past_of_session", rows.PastRow)
held_somewhere: Final = Query("held_somewhere", rows.HeldSomewhereRow)
found_worktree: Final = Query("found_worktree", rows.AttemptNumberRow)
reopen_session: Final = Query("reopen_session", rows.StateRow)

append_records: Final = Query("append_records", rows.AppendRow)
events_after: Final = Query("events_after", rows.EventRow)
story_of: Final = Query("story_of", rows.StoryRow)
note_saved: Final = Query("note_saved", rows.VerdictRow)
ensure_partitions: Final = Query("ensure_partitions", rows.MadeRow)

insert_message: Final = Query("insert_message", rows.MessageIdRow)
message_state: Final = Query("message_state", rows.MessageRow)
lock_session: Final = Query("lock_session", rows.LockedRow)
order_message: Final = Query("order_message", rows.OrderedRow)

hub_id: Final = Query("hub_id", rows.HubRow)
enroll_spoke: Final = Query("enroll_spoke", rows.SpokeIdRow)
spoke_key: Final = Query("spoke_key", rows.SpokeKeyRow)
accept_hello: Final = Query("accept_hello", rows.HelloRow)
boot_of_spoke: Final = Query("boot_of_spoke", rows.BootRow)
held_by_spoke: Final = Query("held_by_spoke", rows.HeldRow)
known_sessions: Final = Query("known_sessions", rows.KnownRow)
release_mapping: Final = Query("release_mapping", rows.SpokeIdRow)
sessions_out_of_reach: Final = Query("sessions_out_of_reach", rows.SessionIdRow)
hold_away: Final = Query("hold_away", rows.SpokeIdRow)
left_on_revoked: Final = Query("left_on_revoked", rows.AttemptRow)
confirm_abort: Final = Query("confirm_abort", rows.SessionIdRow)
found_session: Final = Query("found_session", rows.StateRow)
hold_connection: Final = Query("hold_connection", rows.SpokeIdRow)
long_unknown: Final = Query("long_unknown", rows.AttemptRow)
silent_starts: Final = Query("silent_starts", rows.SilentRow)
spoke_views: Final = Query("spoke_views", rows.SpokeRow)
set_cordoned: Final = Query("set_cordoned", rows.SpokeIdRow)
revoke_spoke: Final = Query("revoke_spoke", rows.SpokeIdRow)
live_on_spoke: Final = Query("live_on_spoke", rows.LiveRow)
drop_branch_hold: Final = Query("drop_branch_hold", rows.AttemptNumberRow)

hub_beats: Final = Query("hub_beats", fleet_rows.DrainingRow)
hub_leaves: Final = Query("hub_leaves", fleet_rows.InstanceRow)
live_hubs: Final = Query("live_hubs", fleet_rows.HubLiveRow)
drain_hub: Final = Query("drain_hub", fleet_rows.InstanceRow)
take_lead: Final = Query("take_lead", fleet_rows.TermRow)
leave_lead: Final = Query("leave_lead", fleet_rows.TermRow)
say_doubt: Final = Query("say_doubt", fleet_rows.TermRow)
doubt_of_leader: Final = Query("doubt_of_leader", fleet_rows.DoubtRow)
holder_of_spoke: Final = Query("holder_of_spoke", fleet_rows.HolderRow)
let_leases_run: Final = Query("let_leases_run", rows.SpokeIdRow)
keep_leases: Final = Query("keep_leases", rows.SpokeIdRow)
prolong_lease: Final = Query("prolong_lease", rows.SpokeIdRow)
held_links: Final = Query("held_links", fleet_rows.HeldLinkRow)
replaceable: Final = Query("replaceable", rows.AttemptRow)
hold_offline: Final = Query("hold_offline", rows.SpokeIdRow)
orphan_leases: Final = Query("orphan_leases", rows.SpokeIdRow)
expired_spokes: Final = Query("expired_spokes", rows.LeaseRow)
mark_offline: Final = Query("mark_offline", rows.SpokeIdRow)
reach_of_session: Final = Query("reach_of_session", fleet_rows.ReachRow)
place_ask: Final = Query("place_ask", rows.NoRow)
take_asks: Final = Query("take_asks", fleet_rows.AskRow)
answer_ask: Final = Query("answer_ask", fleet_rows.AskIdRow)
answer_of_ask: Final = Query("answer_of_ask", fleet_rows.AnswerRow)
drop_ask: Final = Query("drop_ask", rows.NoRow)
say_to_hubs: Final = Query("say_to_hubs", fleet_rows.SaidTextRow)
tidy_hubs: Final = Query("tidy_hubs", rows.CountRow)
drop_partitions: Final = Query("drop_partitions", fleet_rows.DroppedRow)

queued_sessions: Final = Query("queued_sessions", rows.QueuedRow)
spokes_with_room: Final = Query("spokes_with_room", rows.RoomRow)
assign_sessions: Final = Query("assign_sessions", rows.PlacedRow)
pending_orders: Final = Query("pending_orders", rows.OrderRow)
spokes_with_orders: Final = Query("spokes_with_orders", rows.SpokeIdRow)
earlier_attempts: Final = Query("earlier_attempts", rows.EarlierRow)
ack_orders: Final = Query("ack_orders", rows.SessionIdRow)
set_credential: Final = Query("set_credential", rows.SessionIdRow)
refuse_start: Final = Query("refuse_start", rows.SessionIdRow)

claim_call: Final = Query("claim_call", rows.ClaimRow)
call_of_key: Final = Query("call_of_key", rows.CallRow)
settle_call: Final = Query("settle_call", rows.KeyOnlyRow)
free_call: Final = Query("free_call", rows.KeyOnlyRow)
tidy_calls: Final = Query("tidy_calls", rows.CountRow)

insert_token: Final = Query("insert_token", rows.ExpiryRow)
token_by_digest: Final = Query("token_by_digest", rows.TokenRow)
use_token: Final = Query("use_token", rows.UsedTokenRow)
session_by_credential: Final = Query("session_by_credential", rows.AttemptRow)
void_credentials: Final = Query("void_credentials", fleet_rows.IdRow)
touch_token: Final = Query("touch_token", rows.TokenIdRow)
list_tokens: Final = Query("list_tokens", rows.TokenViewRow)
revoke_token: Final = Query("revoke_token", rows.TokenViewRow)
insert_audit: Final = Query("insert_audit", rows.NoRow)
count_by_state: Final = Query("count_by_state", rows.StateCountRow)

take_migration_lock: Final = Query("take_migration_lock", rows.TakenRow)
migrations_done: Final = Query("migrations_done", rows.MigrationRow)
record_migration: Final = Query("record_migration", rows.NoRow)
