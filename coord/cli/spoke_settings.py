"""What may be said of a spoke on the command line: of one that joins, runs, or that `up` starts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from coord.cli.asking import duration, pair
from protocol.errors import InvalidArgument
from protocol.sandbox import SANDBOXES

if TYPE_CHECKING:
    from spoke.settings import SpokeSettings


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--slots", metavar="N", type=int, help="how many sessions at once")
    parser.add_argument("--label", metavar="K=V", type=pair, action="append")
    parser.add_argument(
        "--quiet-after", metavar="TIME", type=duration,
        help="when the silence of a busy agent is told of; 2m, 0: never",
    )  # fmt: skip
    parser.add_argument("--sandbox-floor", choices=SANDBOXES, help="what holds each session here")
    parser.add_argument(
        "--sandbox-write", metavar="DIR", type=Path, action="append",
        help="open to all in sandboxes",
    )  # fmt: skip
    parser.add_argument(
        "--sandbox-hide", metavar="DIR", type=Path, action="append", help="not read in sandboxes"
    )


def of(args: argparse.Namespace, state: Path, *hidden: Path) -> SpokeSettings:
    """Raises InvalidArgument (BAD_SETTINGS)."""
    from pydantic import ValidationError

    from spoke.settings import SpokeSettings

    said: dict[str, object] = {"state": state, "hidden": (*hidden, *(args.sandbox_hide or ()))}
    said |= {"slots": args.slots} if args.slots is not None else {}
    said |= {"quiet_ms": args.quiet_after} if args.quiet_after is not None else {}
    said |= {"labels": dict(args.label)} if args.label else {}
    said |= {"sandbox_floor": args.sandbox_floor} if args.sandbox_floor else {}
    said |= {"sandbox_writes": tuple(args.sandbox_write)} if args.sandbox_write else {}
    try:
        return SpokeSettings.model_validate(said)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise InvalidArgument("BAD_SETTINGS", faults, advice="coordctl spoke run --help") from None


def words(settings: SpokeSettings) -> list[str]:
    """The options that say it again, to another process."""
    some = [("--state", settings.state), ("--slots", settings.slots)]
    some += [("--label", f"{name}={value}") for name, value in settings.labels.items()]
    some += [("--quiet-after", f"{settings.quiet_ms}ms")]
    some += [("--sandbox-floor", settings.sandbox_floor)]
    some += [("--sandbox-write", folder) for folder in settings.sandbox_writes]
    some += [("--sandbox-hide", folder) for folder in settings.hidden]
    return [f"{option}={value}" for option, value in some]
