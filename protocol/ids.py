"""Names for things, and how they are made: random, so that a short prefix is enough to say one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Final, NewType

from protocol.frames import CallId

SessionId = NewType("SessionId", str)  #: `ses_` and 16 letters or digits
SpokeId = NewType("SpokeId", str)  #: `sp_...`
MessageId = NewType("MessageId", str)  #: `msg_...`
AbortId = NewType("AbortId", str)  #: `ab_...`
TokenId = NewType("TokenId", str)  #: `tok_...`


# Five random bits of a byte, as a digit of base 32 (RFC 4648, lower case).
_DIGITS: Final = (b"abcdefghijklmnopqrstuvwxyz234567" * 8)[:256]


def _random() -> str:
    """16 letters or digits: 80 random bits."""
    return os.urandom(16).translate(_DIGITS).decode()


def new_session() -> SessionId:
    return SessionId(f"ses_{_random()}")


def new_spoke() -> SpokeId:
    return SpokeId(f"sp_{_random()}")


def new_message() -> MessageId:
    return MessageId(f"msg_{_random()}")


def new_abort() -> AbortId:
    return AbortId(f"ab_{_random()}")


def new_token() -> TokenId:
    return TokenId(f"tok_{_random()}")


def new_ask() -> str:
    """Of a call from one hub to another: `ask_...`"""
    return f"ask_{_random()}"


def new_instance() -> str:
    """Of a hub, since its start: `hi_...`"""
    return f"hi_{_random()}"


def call_ids() -> Iterator[CallId]:
    """Ids for the calls that one node places: unique over all nodes, cheap to make."""
    prefix = _random()
    return (CallId(f"c_{prefix}{n:x}") for n in itertools.count(1))
