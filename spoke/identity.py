"""Who this spoke is to its hub: an Ed25519 key that never leaves, and how it is shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from protocol.aio.dial import Address, address, fetch_json
from protocol.errors import AlreadyExists, FailedPrecondition, Unauthenticated
from protocol.limits import NONCE_PATH
from spoke.settings import Places
from spoke.supervisor.assignment import write_whole

_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrolling gave. ``url`` is without the pin."""

    spoke_id: str
    hub_id: str
    name: str
    url: str
    pin: str | None = None
    also: tuple[str, ...] = ()  #: other hubs of the same database, with their pins

    @property
    def address(self) -> Address:
        return address(f"{self.url}#sha256={self.pin}" if self.pin else self.url)

    @property
    def addresses(self) -> list[Address]:
        """In the order of trying."""
        return [self.address, *map(address, self.also)]


_IDENTITY: Final = TypeAdapter(Identity)


def is_enrolled(places: Places) -> bool:
    return places.identity.exists()


def check_new(places: Places) -> None:
    """Raises AlreadyExists (ENROLLED): a state directory belongs to one spoke of one hub."""
    if is_enrolled(places):
        mine = load(places)
        raise AlreadyExists(
            "ENROLLED",
            f"{places.state} is the spoke {mine.name} of {mine.url} already",
            advice="start it with `coordctl spoke run`, or give another state directory",
        )


def load(places: Places) -> Identity:
    """Raises FailedPrecondition (NOT_ENROLLED)."""
    try:
        return _IDENTITY.validate_json(places.identity.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise FailedPrecondition(
            "NOT_ENROLLED",
            f"{places.state} belongs to no hub yet",
            advice="run `coordctl spoke join` with what `coordctl spoke invite` printed",
        ) from error


def save(places: Places, identity: Identity) -> None:
    write_whole(str(places.identity), to_json(identity), durable=True)


def own_key(places: Places) -> Ed25519PrivateKey:
    """The key of this state directory, made when there is none yet."""
    try:
        return Ed25519PrivateKey.from_private_bytes(places.key.read_bytes())
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        write_whole(str(places.key), key.private_bytes_raw(), durable=True)
        return key


def public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


async def authorization(
    identity: Identity, key: Ed25519PrivateKey, to: Address | None = None
) -> str:
    """A fresh proof for one connection. ``to``: which of its hubs; the first.

    Raises Unauthenticated (WRONG_HUB): another hub answers there; nothing was signed for it.
    """
    to = to or identity.address
    said = await fetch_json(to, NONCE_PATH)
    fields = said if isinstance(said, dict) else {}
    nonce = str(fields.get("nonce", ""))
    if fields.get("hubId") != identity.hub_id:
        raise Unauthenticated(
            "WRONG_HUB",
            f"{to.url} is not the hub that this spoke belongs to",
            advice="bring that hub back, or join this one from another state directory",
        )
    return sign(identity, key, nonce)


def sign(identity: Identity, key: Ed25519PrivateKey, nonce: str) -> str:
    """The proof for one knock, with a nonce of the hub that this spoke belongs to."""
    text = f"coord-auth-v1|{identity.hub_id}|{identity.spoke_id}|{nonce}"
    signature = key.sign(text.encode()).hex()
    return f"Coord-Spoke spoke={identity.spoke_id},nonce={nonce},signature={signature}"


def own_name() -> str:
    """The name of this machine, in the letters that a spoke's name may have."""
    host = _NOT_NAME.sub("-", os.uname().nodename).strip("-._")[:63]
    return host or "spoke"
