"""token.create, list, revoke, and the link that opens the ops page."""

from __future__ import annotations

from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from hub.store.rows.access import TokenViewRow
from protocol import tokens
from protocol.errors import Cancelled
from protocol.limits import CLOSE_UNAUTHENTICATED
from protocol.ops import catalogue
from protocol.ops.shapes import Nothing
from protocol.ops.spokes import (
    TicketAnswer,
    TokenCreated,
    TokenCreateParams,
    TokenList,
    TokenRevokeParams,
    TokenView,
)

TICKET_SECONDS = 60.0


async def create(desk: Desk, asked: Asked[TokenCreateParams]) -> TokenCreated:
    params = asked.params
    made = await new_user(desk, params.name, params.role, params.ttl_ms / 1_000)
    await desk.store.access.audit(
        asked.principal.owner, "token.create", made.token_id, params.role, asked.address
    )
    return made


async def new_user(desk: Desk, name: str, role: str, ttl: float) -> TokenCreated:
    """A credential for a person or a program; ``ttl`` in seconds."""
    token = tokens.new(tokens.Kind.USER)
    id, expires = await desk.store.access.issue(token, "user", name, role, ttl, {})
    return TokenCreated(token_id=id, token=token, role=role, expires_at=expires)


async def list_tokens(desk: Desk, _: Asked[Nothing]) -> TokenList:
    return TokenList(tokens=[_view(row) for row in await desk.store.access.users()])


async def revoke(desk: Desk, asked: Asked[TokenRevokeParams]) -> TokenView:
    row = await desk.store.access.revoke(asked.params.token_id)
    await desk.store.access.audit(
        asked.principal.owner, "token.revoke", row.token_id, "revoked", asked.address
    )
    why = Cancelled("TOKEN_REVOKED", "the token that asked for this was revoked")
    desk.links.close(row.token_id, CLOSE_UNAUTHENTICATED, why, sparing=asked.context.call.id)
    return _view(row)


async def ticket(desk: Desk, asked: Asked[Nothing]) -> TicketAnswer:
    """The code is in the URL's fragment: it is sent to no server and stands in no log."""
    code = tokens.new(tokens.Kind.LOGIN)
    _, expires = await desk.store.access.issue(
        code, "login", asked.principal.name, asked.principal.role, TICKET_SECONDS, {}
    )
    return TicketAnswer(url=f"{desk.http_url}/login#code={code}", expires_at=expires)


def _view(row: TokenViewRow) -> TokenView:
    return TokenView(
        token_id=row.token_id,
        name=row.name,
        role=row.role,
        prefix=row.prefix,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


OPERATIONS = (
    Operation(catalogue.TOKEN_CREATE, create),
    Operation(catalogue.TOKEN_LIST, list_tokens),
    Operation(catalogue.TOKEN_REVOKE, revoke),
    Operation(catalogue.HUB_TICKET, ticket),
)
