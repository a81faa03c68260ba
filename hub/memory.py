"""What this hub saw last of sessions and spokes: read while the database is away, and said so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from protocol.errors import CallError
from protocol.ops.sessions import SessionView, Status, StatusParams
from protocol.ops.spokes import SpokeList, SpokeView

SESSIONS: Final = 4_096  #: that are remembered, those seen last


class Memory:
    def __init__(self) -> None:
        self._sessions: OrderedDict[str, SessionView] = OrderedDict()
        self._spokes: list[SpokeView] = []
        self._spokes_at: datetime | None = None
        self._seen_at = datetime.now(UTC)

    def keep(self, sessions: Iterable[SessionView]) -> None:
        self._seen_at = datetime.now(UTC)
        for one in sessions:
            self._sessions[one.session_id] = one
            self._sessions.move_to_end(one.session_id)
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)

    def keep_spokes(self, spokes: Sequence[SpokeView]) -> None:
        """All of them."""
        self._spokes, self._spokes_at = list(spokes), datetime.now(UTC)

    def status(self, params: StatusParams, away: CallError) -> Status:
        """What is remembered of what was asked for. Raises ``away`` where that is nothing."""
        found = [one for one in reversed(self._sessions.values()) if _is_meant(one, params)]
        if not found and (params.session_id or params.ref or params.tree):
            raise away
        chosen = found[: params.limit]
        return Status(sessions=chosen, stale=True, stale_since=self._seen_at)

    def spokes(self, which: str | None, here: set[str], away: CallError) -> SpokeList:
        """``here``: those whose links end at this hub; they are online, whatever was seen last."""
        if self._spokes_at is None:
            raise away
        found = [
            one.model_copy(update={"state": "online"}) if one.spoke_id in here else one
            for one in self._spokes
            if which in (None, one.spoke_id, one.name)
        ]
        if which is not None and not found:
            raise away
        return SpokeList(spokes=found, stale=True, stale_since=self._spokes_at)


def _is_meant(one: SessionView, params: StatusParams) -> bool:
    if params.session_id is not None:
        return one.session_id == params.session_id
    if params.ref is not None:
        return one.session_id.startswith(params.ref) or params.ref in (one.branch, one.task)
    if params.tree is not None:
        return params.tree in (one.session_id, one.root_session_id)
    return (
        params.parent in (None, one.parent_session_id)
        and (params.states is None or one.state in params.states)
        and params.live in (None, not one.state.ended)
        and params.spoke in (None, one.spoke)
        and params.labels.items() <= one.labels.items()
    )
