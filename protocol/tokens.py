"""Credentials as text: prefix, 256 random bits, a checksum; and the join string of a spoke.

The checksum lets a mistyped or truncated token be refused without asking the database
(GitHub's scheme). The database keeps the SHA-256 of a token, never the token.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

from protocol.errors import InvalidArgument

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PIN: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TEXT: Final = re.compile(r"(ck[jsul])_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", re.ASCII)


class Kind(StrEnum):
    JOIN = "ckj"  #: one use: lets one spoke enroll
    SESSION = "cks"  #: dies with the attempt it was made for
    USER = "cku"  #: a person or a program
    LOGIN = "ckl"  #: one use, one minute: opens the ops page in a browser


def new(kind: Kind) -> str:
    body = _base62(int.from_bytes(secrets.token_bytes(32), "big"), 43)
    return f"{kind}_{body}{_checksum(kind, body)}"


def kind_of(text: str) -> Kind | None:
    """The kind of a well-formed token, or None for anything else."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    kind, body, checksum = match.groups()
    return Kind(kind) if secrets.compare_digest(checksum, _checksum(kind, body)) else None


def digest(text: str) -> bytes:
    """What is stored and looked up."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Join:
    """What `coordctl spoke join` is given. ``pin`` is the SHA-256 (hex) of the hub's public key
    (DER), or None where the transport is loopback or verified by the system's authorities.
    ``also``: other hubs of the same database, each with its pin."""

    url: str
    token: str
    pin: str | None = None
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        pin = f"sha256={self.pin}&" if self.pin else ""
        also = "&also=" + ",".join(quote(url, safe=":/") for url in self.also) if self.also else ""
        return f"coord-join:v1:{self.url}#{pin}t={self.token}{also}"


def read_join(text: str) -> Join:
    """Raises InvalidArgument (BAD_JOIN_STRING); the text itself is never part of the message."""
    head, _, fragment = text.strip().removeprefix("coord-join:v1:").partition("#")
    parts = (part.partition("=") for part in fragment.split("&"))
    fields = {name: value for name, _, value in parts}
    token = fields.get("t", "")
    pin = fields.get("sha256")
    whole = text.strip().startswith("coord-join:v1:") and head and kind_of(token) is Kind.JOIN
    if not whole or (pin is not None and not _PIN.fullmatch(pin)):
        raise InvalidArgument(
            "BAD_JOIN_STRING",
            "this is not a whole join string",
            advice="copy the whole line that `coordctl spoke invite` printed",
        )
    also = tuple(unquote(url) for url in fields.get("also", "").split(",") if url)
    return Join(head, token, pin, also)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits)).rjust(width, "0")


def _checksum(kind: str, body: str) -> str:
    return _base62(zlib.crc32(f"{kind}_{body}".encode()), 6)
