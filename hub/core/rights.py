"""Who may do what, and to which sessions."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import PermissionDenied
from protocol.ops.catalogue import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is on the other end of a link.

    ``id`` is the token, the spoke or the session; ``session_id`` is set for a session alone. A
    join token's ``credential`` is kept so that enrolment can use it up.
    """

    role: Role
    id: str
    name: str
    session_id: str | None = None
    attempt: int | None = None
    credential: str | None = None

    @property
    def owner(self) -> str:
        """Whose idempotency keys its calls use."""
        return f"{self.role}:{self.id}" if self.role is Role.SESSION else f"token:{self.id}"


def check(principal: Principal, op: str, roles: frozenset[Role]) -> None:
    """Raises PermissionDenied when the role may not use the operation at all."""
    if principal.role not in roles:
        raise PermissionDenied(
            "FORBIDDEN",
            f"a {principal.role} may not use {op}",
            advice="`coordctl call rpc.discover` lists what you may; an admin makes tokens",
        )
