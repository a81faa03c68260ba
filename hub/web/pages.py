"""HTML and the files beside it, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from hub.web.lines import Line
from hub.web.overview import Overview, SessionLine
from protocol.errors import CallError

_TYPES: Final = {
    "coord.css": "text/css; charset=utf-8",
    "login.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The session whose transcript is shown, and the part of it that is."""

    session: SessionLine
    lines: Sequence[Line]
    first: int  #: sequence number of the first line shown; 1 is the beginning
    last: int  #: of the last one
    live: bool  #: whether new lines are to follow


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    answers: bool  #: may answer what agents ask


class Pages:
    """Reads its files once, when it is made."""

    def __init__(self, hub_id: str, version: str) -> None:
        jinja = Environment(
            loader=PackageLoader("hub.web"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._templates = {name: jinja.get_template(name) for name in jinja.list_templates()}
        self._hub = {"id": hub_id, "version": version}
        folder = resources.files("hub.web") / "static"
        self.static = {name: ((folder / name).read_bytes(), kind) for name, kind in _TYPES.items()}

    def main(self, reader: Reader, now: int, overview: Overview, chosen: Chosen | None) -> str:
        """The page; ``now`` in ms since 1970."""
        return self._templates["main.html"].render(
            hub=self._hub, reader=reader, now=now, overview=overview, chosen=chosen,
            age=age, clock=clock, day=day,
        )  # fmt: skip

    def login(self) -> str:
        return self._templates["login.html"].render()

    def refused(self, status: int, error: CallError) -> str:
        return self._templates["refused.html"].render(status=status, error=error)


def age(then: int, now: int) -> str:
    """How long ago, in two units at most; both in ms since 1970. page.js says it the same way."""
    seconds = max(0, now - then) // 1_000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} m"
    if seconds < 86_400:
        return f"{seconds // 3_600} h {seconds % 3_600 // 60} m"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3_600} h"


def clock(at: int) -> str:
    """The time of day in UTC, of ms since 1970."""
    return f"{_utc(at):%H:%M:%S}"


def day(at: int) -> str:
    """The whole time in UTC, of ms since 1970."""
    return f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1_000, UTC)
