"""coordctl version: what is installed here."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import PackageNotFoundError, version

from coord.cli.exits import Exit
from protocol.limits import PROTOCOL_VERSION


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", choices=["table", "wide", "json", "jsonl"], default="table"
    )
    parser.epilog = "example: coordctl version -o json"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    print(json.dumps(versions()) if args.output in ("json", "jsonl") else text())
    return Exit.OK


def text() -> str:
    return "\n".join(f"{name:<9} {value}" for name, value in versions().items())


def versions() -> dict[str, str]:
    try:
        ours = version("coord")
    except PackageNotFoundError:
        ours = "not installed"
    return {
        "coord": ours,
        "protocol": str(PROTOCOL_VERSION),
        "python": platform.python_version(),
    }
