"""account.list and account.open: whose limits park sessions, and ending one before its time."""

from __future__ import annotations

from hub.bells import QUEUE
from hub.core.failing import jitter
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.store.rows.policy import LimitRow
from protocol.errors import NotFound
from protocol.ops.accounts import AccountList, AccountView, Opened, OpenParams
from protocol.ops.catalogue import ACCOUNT_LIST, ACCOUNT_OPEN
from protocol.ops.shapes import Nothing


async def accounts(desk: Desk, _asked: Asked[Nothing]) -> AccountList:
    return AccountList(accounts=[_view(row) for row in await desk.store.policy.accounts()])


async def open_early(desk: Desk, asked: Asked[OpenParams]) -> Opened:
    """Its sessions are woken once, as when the limit had ended by itself."""
    params, principal, policy = asked.params, asked.principal, desk.store.policy
    row = await _find(desk, params.account)
    by = f"{principal.role}:{principal.name}"
    spread = jitter(row.limited_at, row.now)
    woken = await policy.lift(params.account, by, params.reason, spread)
    if woken is not None:
        desk.bells.ring(QUEUE, *woken)
        await desk.store.access.audit(
            principal.owner, ACCOUNT_OPEN.name, params.account, "opened", asked.address,
            {"reason": params.reason, "woken": len(woken)},
        )  # fmt: skip
    view = _view(await _find(desk, params.account))
    return Opened(account=view, was_limited=woken is not None, woken=woken or [])


async def _find(desk: Desk, account: str) -> LimitRow:
    rows = await desk.store.policy.accounts(account)
    if not rows:
        raise NotFound(
            "ACCOUNT_NOT_FOUND",
            f"no account {account[:64]!r} was ever limited",
            advice="coordctl account list; it is an agent, or agent/label `account`",
        )
    return rows[0]


def _view(row: LimitRow) -> AccountView:
    return AccountView(
        account=row.account,
        state="open" if row.limited_until is None else "limited",
        limited_until=row.limited_until,
        limited_at=row.limited_at,
        said=row.said,
        strikes=row.strikes,
        waiting=row.waiting,
    )


OPERATIONS = (Operation(ACCOUNT_LIST, accounts), Operation(ACCOUNT_OPEN, open_early))
