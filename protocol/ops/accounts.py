"""Parameters and answers about accounts: whose limits sessions share."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from protocol.ops.shapes import Count, Line, Params, Shape, Word


class AccountView(Shape):
    """An agent, or agent/label `account`, whose provider has limited it at some time."""

    account: str
    state: Literal["limited", "open"]
    limited_until: datetime | None  #: none of its sessions is placed before
    limited_at: datetime  #: when its provider said so last
    said: str  #: by the provider
    strikes: Count  #: limits in a row
    waiting: Count  #: sessions in the queue


class AccountList(Shape):
    accounts: list[AccountView]  #: the limited ones first


class OpenParams(Params):
    account: Word
    reason: Line = ""


class Opened(Shape):
    account: AccountView
    was_limited: bool  #: False: it was open already, and nothing was done
    woken: list[str]  #: sessions that go on, each a little later than the other
