"""The command line as a parser: the chosen command in full, of the others only their names."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NoReturn, cast

from coord.cli.exits import Exit
from coord.cli.registry import COMMANDS, Command

EXITS = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 hub unreachable,
            7 awaited work failed, 8 timeout, 9 aborted, 10 partial"""

_OURS: Final = ("-h", "--help", "--version")

Run = Callable[[argparse.Namespace], Exit]


class UsageError(Exception):
    """What was typed cannot be read. ``command`` is the one whose help shows how."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


class Parser(argparse.ArgumentParser):
    """Raises instead of printing, so that errors look alike everywhere."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.prog)


@dataclass(frozen=True, slots=True)
class Chosen:
    run: Run
    args: argparse.Namespace


def read(words: Sequence[str]) -> Chosen:
    """What to do. Raises UsageError; SystemExit after --help and --version."""
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and words[0].startswith("-") and words[0] not in _OURS:
        raise UsageError(f"options go behind the command: {words[0]}", "coordctl")
    command = COMMANDS.get(name) if name is not None else None
    if name is not None and command is None:
        raise UsageError(_unknown(name), "coordctl")
    ours, program = _split(words) if command and command.takes_program else (list(words), [])
    parser = build({name: command} if name is not None and command is not None else {})
    args, unread = parser.parse_known_args(ours, argparse.Namespace(program=program))
    if unread:
        raise UsageError(f"not understood: {' '.join(unread)}", f"coordctl {name}")
    return Chosen(cast("Run", args.run), args)


def build(full: Mapping[str, Command]) -> Parser:
    """The parser, with the arguments of those commands that are given."""
    parser = Parser(
        prog="coordctl",
        description="Run coding-agent sessions on many machines as if they were one.",
        epilog=f"start with: coordctl up\n\n{EXITS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="print the versions and leave")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name in full:
            import_module(command.module).arguments(one)
    return parser


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our words, and those behind the first `--`."""
    if "--" not in words:
        return list(words), []
    at = words.index("--")
    return list(words[:at]), list(words[at + 1 :])


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, 1)
    return f"there is no command {name!a}" + (f"; did you mean {close[0]}?" if close else "")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        from coord.cli.version import text

        print(text())
        parser.exit()
