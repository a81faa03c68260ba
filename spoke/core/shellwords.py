"""The simple commands in a line of shell, as far as that can be seen without being a shell. Pure.

What it cannot see through it says so of: nothing is allowed on a guess.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Redirections that write nothing anywhere. No newline goes with them: that would end a command.
_HARMLESS: Final = re.compile(r"[ \t]*\d*>(?:&\d|[ \t]*/dev/null)(?=[\s;|&)]|$)")
#: What may stand before the name of a program.
_BEFORE: Final = re.compile(
    r"(?:(?:[!{]|then|do|else|elif|if|while|until|time|sudo|exec|env|command|nohup)\s+"
    r"|[A-Za-z_]\w*=(?:'[^']*'|\"[^\"]*\"|\S*)\s+)+"
)
_SEPARATORS: Final = ";&|\n()"


class Line(NamedTuple):
    """``plain``: its commands are all that it runs, and it writes to no file by itself."""

    commands: tuple[str, ...]
    plain: bool


def line_of(text: str) -> Line:
    commands: list[str] = []
    now, quote, plain = "", "", True
    chars = iter(_HARMLESS.sub(" ", text))
    for char in chars:
        if char == "\\" and quote != "'":
            now += _escaped(chars)
        elif quote:
            plain &= quote == "'" or not _nests(now + char)
            now += char
            quote = "" if char == quote else quote
        elif char in _SEPARATORS:
            plain &= not (char == "(" and now.endswith(("$", "<", ">", "=")))
            commands.append(now)
            now = ""
        else:
            plain &= char not in "<>`" and not _misleads(now, char)
            quote = char if char in "'\"" else ""
            now += char
    found = (command.strip() for command in (*commands, now))
    return Line(tuple(command for command in found if command), plain and not quote)


def bare(command: str) -> str:
    """Without the variables and the like that stand before its program."""
    return _BEFORE.sub("", command, count=1) if _BEFORE.match(command) else command


def _misleads(before: str, char: str) -> bool:
    """In `$'...'` a quote may be escaped; behind `#` a quote is none."""
    if char == "#":
        return not before or before[-1].isspace()
    return char in "'\"" and before.endswith("$")


def _nests(text: str) -> bool:
    return text.endswith(("`", "$("))


def _escaped(chars: Iterator[str]) -> str:
    following = next(chars, "")
    return "" if following == "\n" else f"\\{following}"
