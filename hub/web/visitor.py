"""Who asks: a user's token, or the cookie that a login code was exchanged for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hub.core.rights import Principal
from hub.door.gate import Gate, Knock
from hub.store import Access
from protocol import tokens
from protocol.errors import PermissionDenied, Unauthenticated
from protocol.ops.catalogue import Role
from protocol.tokens import Kind

PAGE_SECONDS: Final = 12 * 3_600
_BEARER: Final = "Bearer "
_COOKIE: Final = re.compile(r"ckw_[A-Za-z0-9_-]{43}", re.ASCII)
_ROLES: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Visitor:
    principal: Principal
    by_cookie: bool
    credential: str = field(repr=False)


class Visitors:
    def __init__(self, access: Access, gate: Gate) -> None:
        self._access = access
        self._gate = gate

    async def admit(
        self, authorization: Sequence[str], cookie: str | None, address: str
    ) -> Visitor:
        """Raises Unauthenticated, PermissionDenied, ResourceExhausted (RATE_LIMITED)."""
        if not authorization:
            return await self._by_cookie(cookie or "")
        text = authorization[0].removeprefix(_BEARER)
        if len(authorization) > 1 or tokens.kind_of(text) is not Kind.USER:
            raise _unauthenticated()
        # What a link is asked, a page is asked: counted, slowed down and written into the audit.
        principal = await self._gate.admit(Knock(authorization, (), "", address))
        return Visitor(_welcome(principal), by_cookie=False, credential=text)

    async def check(self, visitor: Visitor) -> None:
        """Raises Unauthenticated when the credential is no longer good."""
        if visitor.by_cookie:
            await self._by_cookie(visitor.credential)
        else:
            await self._gate.bearer(visitor.credential)

    async def log_in(self, code: str, address: str) -> str:
        """Use a login code up; the text of the cookie that it gives."""
        row = None
        if tokens.kind_of(code) is Kind.LOGIN:
            row = await self._access.use(code, "login")
        if row is None:
            await self._access.audit("unknown", "login", None, "LOGIN_CODE", address)
            raise Unauthenticated(
                "LOGIN_CODE",
                "this link was used, or its minute is over",
                advice="ask for a new one: coordctl call hub.ticket",
            )
        cookie = f"ckw_{secrets.token_urlsafe(32)}"
        id, _ = await self._access.issue(cookie, "web", row.name, row.role, PAGE_SECONDS, {})
        await self._access.audit(f"token:{row.token_id}", "login", id, row.role, address)
        return cookie

    async def log_out(self, visitor: Visitor) -> None:
        await self._access.revoke(visitor.principal.id)

    async def _by_cookie(self, text: str) -> Visitor:
        row = await self._access.find(text) if _COOKIE.fullmatch(text) else None
        if row is None or row.kind != "web" or row.revoked or row.expired:
            raise _unauthenticated()
        principal = Principal(Role(row.role), row.token_id, row.name)
        return Visitor(_welcome(principal), by_cookie=True, credential=text)


def _welcome(principal: Principal) -> Principal:
    if principal.role not in _ROLES:
        raise PermissionDenied("FORBIDDEN", f"a {principal.role} has no business on this page")
    return principal


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated(
        "UNAUTHENTICATED",
        "you are not logged in here",
        advice="open the link that this prints: coordctl call hub.ticket",
    )
