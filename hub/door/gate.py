"""Who is knocking: the credentials of an upgrade request, checked before it is accepted."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.core.rights import Principal
from hub.store import Access, Exchange
from protocol import tokens
from protocol.errors import (
    CallError,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from protocol.ops.catalogue import Role
from protocol.tokens import Kind

NONCE_SECONDS: Final = 30.0
FAILURES: Final = 10  #: refusals of one address,
FAILURES_SECONDS: Final = 60.0  #: within this time, before it is told to slow down
ADDRESSES: Final = 4_096  #: of which refusals are counted; the oldest goes first
_TAG_BYTES: Final = 16
_NONCE: Final = re.compile(r"([0-9a-f]{12}[0-9a-f]{16})([0-9a-f]{32})", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_SPOKE: Final = "Coord-Spoke "
_BEARER: Final = "Bearer "


@dataclass(frozen=True, slots=True)
class Knock:
    """An upgrade request, as far as it says who asks."""

    authorization: Sequence[str]  #: all such headers; there must be one
    origins: Sequence[str]  #: all such headers; there must be none
    query: str
    address: str


class Gate:
    """``clock`` gives seconds on a clock that only goes forward."""

    def __init__(
        self, access: Access, exchange: Exchange, hub_id: str, clock: Callable[[], float]
    ) -> None:
        self._access = access
        self._exchange = exchange
        self.hub_id = hub_id
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._spent: dict[str, float] = {}
        self._failures: dict[str, deque[float]] = {}

    def nonce(self) -> str:
        """Something to sign, good once and for half a minute.

        Nothing is remembered of it until it was used: a stranger who asks for many takes nobody
        else's away.
        """
        said = f"{int(self._clock() * 1_000):012x}{secrets.token_hex(8)}"
        return said + self._tag(said)

    async def admit(self, knock: Knock) -> Principal:
        """Who it is. Raises InvalidArgument (TOKEN_IN_URL), PermissionDenied, Unauthenticated,
        ResourceExhausted (RATE_LIMITED)."""
        try:
            return await self._admit(knock)
        except Unavailable:
            raise
        except CallError as error:
            too_many = self._too_many(knock.address)
            if not too_many:  # the book is not for strangers to fill
                await self._access.audit("unknown", "connect", None, error.reason, knock.address)
            if isinstance(error, Unauthenticated) and too_many:
                raise ResourceExhausted(
                    "RATE_LIMITED",
                    "too many wrong credentials from this address",
                    retry_after_ms=int(FAILURES_SECONDS * 1_000),
                ) from None
            raise

    async def _admit(self, knock: Knock) -> Principal:
        if knock.query:
            raise InvalidArgument(
                "TOKEN_IN_URL",
                "nothing belongs behind the path of this URL, least of all a token",
                advice="send it as Authorization: Bearer; treat what was in the URL as leaked",
            )
        if knock.origins:
            raise PermissionDenied("ORIGIN", "browsers are not spoken to here")
        if len(knock.authorization) != 1:
            raise _unauthenticated()
        [said] = knock.authorization
        if said.startswith(_SPOKE):
            return await self._spoke(said.removeprefix(_SPOKE))
        if said.startswith(_BEARER):
            return await self.bearer(said.removeprefix(_BEARER))
        raise _unauthenticated()

    async def bearer(self, text: str) -> Principal:
        """The principal of a token. A malformed one never reaches the database."""
        match tokens.kind_of(text):
            case Kind.SESSION:
                return await self._session(text)
            case Kind.USER | Kind.JOIN as kind:
                return await self._token(text, kind)
            case _:
                raise _unauthenticated()

    async def _session(self, text: str) -> Principal:
        row = await self._access.session_of(text)
        if row is None:
            raise _unauthenticated()
        id = row.session_id
        return Principal(Role.SESSION, id, id, session_id=id, attempt=row.attempt)

    async def _token(self, text: str, kind: Kind) -> Principal:
        row = await self._access.find(text)
        if row is None or row.kind != ("user" if kind is Kind.USER else "join"):
            raise _unauthenticated()
        word = "TOKEN" if kind is Kind.USER else "JOIN_TOKEN"
        for is_so, reason, why in (
            (row.revoked, f"{word}_REVOKED", "it was revoked"),
            (row.used, f"{word}_USED", "it was used"),
            (row.expired, f"{word}_EXPIRED", "its time is over"),
        ):
            if is_so:
                raise Unauthenticated(
                    reason, f"this token is no longer good: {why}", advice="ask for a new one"
                )
        return Principal(Role(row.role), row.token_id, row.name, credential=text)

    async def _spoke(self, text: str) -> Principal:
        fields = _fields(text)
        nonce, id = fields.get("nonce", ""), fields.get("spoke", "")
        good = self._is_fresh(nonce) and _WORD.fullmatch(id)
        row = await self._exchange.key(id) if good else None
        if row is None or not self._is_fresh(nonce):  # it may have been used meanwhile
            raise _unauthenticated()
        said = f"coord-auth-v1|{self.hub_id}|{id}|{nonce}".encode()
        try:
            key = Ed25519PublicKey.from_public_bytes(row.public_key)
            key.verify(bytes.fromhex(fields.get("signature", "")), said)
        except (InvalidSignature, ValueError):
            raise _unauthenticated() from None
        self._spend(nonce)
        if row.revoked_at is not None:
            raise PermissionDenied("SPOKE_REVOKED", f"the spoke {row.name} was revoked")
        return Principal(Role.SPOKE, id, row.name)

    def _is_fresh(self, nonce: str) -> bool:
        """Whether it is one of ours, of the last half minute, and not used."""
        match = _NONCE.fullmatch(nonce)
        if match is None or nonce in self._spent:
            return False
        said, tag = match.groups()
        age = self._clock() - int(said[:12], 16) / 1_000
        return hmac.compare_digest(tag.encode(), self._tag(said).encode()) and age < NONCE_SECONDS

    def _spend(self, nonce: str) -> None:
        now = self._clock()
        self._spent = {n: at for n, at in self._spent.items() if now - at <= NONCE_SECONDS}
        self._spent[nonce] = now

    def _tag(self, said: str) -> str:
        return hmac.digest(self._secret, said.encode(), "sha256")[:_TAG_BYTES].hex()

    def _too_many(self, address: str) -> bool:
        now = self._clock()
        failed = self._failures.setdefault(address, deque(maxlen=FAILURES + 1))
        failed.append(now)
        if len(self._failures) > ADDRESSES:
            del self._failures[next(iter(self._failures))]
        return len(failed) > FAILURES and now - failed[0] < FAILURES_SECONDS


def _fields(text: str) -> Mapping[str, str]:
    parts = (part.partition("=") for part in text.split(","))
    return {name.strip(): value for name, _, value in parts}


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated(
        "UNAUTHENTICATED",
        "no credential that is known here",
        advice="run `coordctl login URL`, or set COORD_TOKEN",
    )
