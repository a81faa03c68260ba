"""From a call to its operation: may they, is it well-formed, run it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from hub.core import rights
from hub.desk import Asked, Desk
from hub.ops.once import Once, keyed
from protocol.aio.node import Context, Handler
from protocol.errors import (
    CallError,
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)
from protocol.ops.catalogue import CATALOGUE, Kind, Op, Role
from protocol.ops.shapes import Params

OWN_KEY = "idempotency_key"

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Operation(Generic[P, R]):
    op: Op[P, R]
    run: Callable[[Desk, Asked[P]], Awaitable[R]]

    @property
    def name(self) -> str:
        return self.op.name

    def handler(self, desk: Desk) -> Handler:
        async def handle(context: Context) -> object:
            peer = desk.links.peer(context.link)
            if not peer.greeted.is_set():
                raise FailedPrecondition("NOT_INITIALIZED", "the first call is `initialize`")
            if peer.ending is not None:
                raise peer.ending
            peer.calls[context.call.id] = self.op.name
            try:
                rights.check(peer.principal, self.op.name, self.op.roles)
                if peer.principal.role is Role.SESSION and self.op.kind is Kind.MUTATION:
                    await self._check_current(desk, peer.principal)
                params = read(self.op.params, context.call.params)
                asked = Asked(peer.principal, peer.address, params, context)
                if context.call.key is not None:
                    return await self._run_once(desk, asked, context.call.key)
                return await self.run(desk, asked)
            except PermissionDenied as denied:
                await self._audit_denied(desk, peer.principal, peer.address, denied)
                raise
            finally:
                del peer.calls[context.call.id]

        return handle

    async def _run_once(self, desk: Desk, asked: Asked[P], key: str) -> object:
        """Run it under a key. What only reads may be asked again anyhow."""
        if self.op.kind is not Kind.MUTATION:
            return await self.run(desk, asked)
        if OWN_KEY in self.op.params.model_fields:  # there it is the session that is unique
            own = getattr(asked.params, OWN_KEY) or key
            params = asked.params.model_copy(update={OWN_KEY: own})
            return await self.run(desk, replace(asked, params=params))
        call = keyed(asked, self.op.name, key)
        return await Once(desk, self.op, call, lambda: self.run(desk, asked)).answer()

    async def _check_current(self, desk: Desk, who: rights.Principal) -> None:
        """An agent whose attempt is over changes nothing any more, whichever hub it speaks to."""
        if not await desk.store.access.is_current(who.session_id or "", who.attempt or 0):
            raise Cancelled("SESSION_ENDED", "the attempt that asks for this is over")

    async def _audit_denied(
        self, desk: Desk, who: rights.Principal, address: str, denied: CallError
    ) -> None:
        await desk.store.access.audit(who.owner, self.op.name, None, denied.reason, address)


def read(shape: type[P], params: Mapping[str, object]) -> P:
    """The parameters in their shape. Raises InvalidArgument (BAD_VALUE) that names the fields."""
    try:
        return shape.model_validate(params)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)
        fields = [".".join(str(part) for part in one["loc"]) or "params" for one in wrong]
        said = "; ".join(
            f"{field}: {one['msg']}" for field, one in zip(fields, wrong[:4], strict=False)
        )
        details: dict[str, JsonValue] = {"field": fields[0], "fields": list(fields[:16])}
        raise InvalidArgument("BAD_VALUE", said, details=details) from None


class Registered(Protocol):
    """Any `Operation`, whatever its shapes."""

    @property
    def name(self) -> str: ...

    def handler(self, desk: Desk) -> Handler: ...


def handlers(desk: Desk, operations: Iterable[Registered]) -> dict[str, Handler]:
    """A handler for each operation of the catalogue. Raises RuntimeError when one has none, or may
    be used by nobody: such a hub does not start."""
    found = {operation.name: operation.handler(desk) for operation in operations}
    missing = CATALOGUE.keys() - found.keys()
    if missing or not all(op.roles for op in CATALOGUE.values()):
        raise RuntimeError(f"operations without a handler or a policy: {sorted(missing)}")
    return found
