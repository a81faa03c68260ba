"""coord.events: the story of a session from a sequence number, then live, to its end."""

from __future__ import annotations

from hub.desk import Asked, Desk, check_reach
from hub.ops.registry import Operation
from protocol.ops.catalogue import EVENTS
from protocol.ops.sessions import EventsEnd, EventsParams


async def events(desk: Desk, asked: Asked[EventsParams]) -> EventsEnd:
    params = asked.params
    id = params.session_id
    await check_reach(desk, asked.principal, id, own=True)
    wanted = None if params.kinds is None else frozenset(params.kinds)
    story = await desk.store.sessions.story(id)
    seq = params.after
    if params.tail is not None:
        seq = max(seq, story.last_seq - params.tail)
    end = story.last_seq  # of what is there now: an agent may speak faster than anybody reads
    with desk.feed.reading(id) as bell:
        while True:
            while batch := await desk.feed.after(id, story, seq):
                seq = batch[-1].seq
                chosen = [one for one in batch if wanted is None or one.kind in wanted]
                if chosen:
                    await asked.context.emit({"events": chosen})  # the shape of EventBatch
                if not params.follow:
                    if seq >= end:
                        break
                elif desk.feed.is_last(id, seq) and batch[-1].kind != "exited":
                    await bell.wait()  # what another hub may have stored is looked for then
            story = await desk.store.sessions.story(id)
            if story.last_seq > seq and (params.follow or story.state.ended):
                continue
            if not params.follow or story.state.ended:
                return EventsEnd(last_seq=seq, state=story.state)
            await bell.wait()


OPERATION = Operation(EVENTS, events)
