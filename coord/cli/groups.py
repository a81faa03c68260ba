"""Commands of commands: `coordctl spoke list`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from coord.cli.exits import Exit


class Group:
    """The commands below one command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        self, name: str, summary: str, run: Callable[[argparse.Namespace], Exit]
    ) -> argparse.ArgumentParser:
        parser = self._commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.set_defaults(run=run)
        return parser


def group(parser: argparse.ArgumentParser) -> Group:
    return Group(parser)
