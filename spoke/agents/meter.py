"""What an agent used: added up for its attempt, for each turn, and a warning as its context fills.

Pure: it is told each `Usage`, and says what to record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spoke.agents.tongue import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Body = Mapping[str, object]

#: Percent of its context; each is warned of once.
WARN_AT: Final = (75, 90)


class Meter:
    def __init__(self) -> None:
        self._all = Usage()
        self._at_turn = Usage()  #: as it was when the turn before ended
        self._warned = 0

    def add(self, usage: Usage) -> Sequence[Body]:
        """The records of it: what was used so far, and a warning where one is due."""
        self._all = _added(self._all, usage)
        return [{"event": "usage", **self.total()}, *self._warnings()]

    def total(self) -> Body:
        """Tokens of the whole attempt; of the rest, the last that was known."""
        return _body(self._all)

    def turn(self) -> Body:
        """What the turn used that ends now; empty where it said nothing of that. Its cost: where
        that of the turn before is known."""
        before, self._at_turn = self._at_turn, self._all
        if before == self._all:
            return {}
        cost, was = self._all.cost_usd, before.cost_usd
        is_first = before == Usage()
        known = cost is not None and (was is not None or is_first)
        return _body(
            self._all._replace(
                tokens_in=self._all.tokens_in - before.tokens_in,
                tokens_out=self._all.tokens_out - before.tokens_out,
                cost_usd=(cost or 0) - (was or 0) if known else None,
            )
        )

    def _warnings(self) -> list[Body]:
        percent = _percent(self._all)
        due = [mark for mark in WARN_AT if self._warned < mark <= (percent or 0)]
        if not due:
            return []
        self._warned = due[-1]
        return [{"event": "contextWarning", "threshold": due[-1], "percent": percent}]


def _added(before: Usage, new: Usage) -> Usage:
    """Tokens add up; of the rest, the last that is known holds."""
    return Usage(
        before.tokens_in + new.tokens_in,
        before.tokens_out + new.tokens_out,
        before.cost_usd if new.cost_usd is None else new.cost_usd,
        new.context_used or before.context_used,
        new.context_size or before.context_size,
        new.model or before.model,
    )


def _body(usage: Usage) -> dict[str, object]:
    body: dict[str, object] = {"tokensIn": usage.tokens_in, "tokensOut": usage.tokens_out}
    if usage.cost_usd is not None:
        body["costUsd"] = round(usage.cost_usd, 6)
    if usage.model:
        body["model"] = usage.model
    percent = _percent(usage)
    if percent is not None:
        body["contextPercent"] = percent
    return body


def _percent(usage: Usage) -> float | None:
    if not usage.context_used or not usage.context_size:
        return None
    return round(100 * usage.context_used / usage.context_size, 1)
