"""What the queries on tokens, idempotent calls and migrations return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class ExpiryRow:
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenRow:
    token_id: str
    kind: str
    name: str
    role: str
    detail: JsonValue
    expired: bool
    used: bool
    revoked: bool


@dataclass(frozen=True, slots=True)
class UsedTokenRow:
    token_id: str
    name: str
    role: str
    detail: JsonValue


@dataclass(frozen=True, slots=True)
class TokenIdRow:
    token_id: str


@dataclass(frozen=True, slots=True)
class TokenViewRow:
    token_id: str
    name: str
    role: str
    prefix: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class StateCountRow:
    state: str
    n: int


@dataclass(frozen=True, slots=True)
class TakenRow:
    taken: str


@dataclass(frozen=True, slots=True)
class ClaimRow:
    fresh: bool  #: False: taken over from a hub that is gone


@dataclass(frozen=True, slots=True)
class CallRow:
    op: str
    params_hash: bytes
    instance: str
    answer: JsonValue


@dataclass(frozen=True, slots=True)
class KeyOnlyRow:
    key: str


@dataclass(frozen=True, slots=True)
class MigrationRow:
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class IdRow:
    id: str
