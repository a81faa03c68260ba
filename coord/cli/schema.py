"""coordctl schema: the call protocol in JSON Schema, for whoever implements it."""

from __future__ import annotations

import argparse
from typing import cast

from coord.cli.exits import Exit
from coord.cli.out import Format, Out
from protocol import openrpc, schema
from protocol.codec import Object
from protocol.errors import NotFound


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="frames",
        help="frames (default), operations (OpenRPC), or one of them, such as abort or coord.spawn",
    )  # fmt: skip
    parser.epilog = "example: coordctl schema coord.spawn"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    Out(Format.JSON).value(named(args.name))
    return Exit.OK


def named(name: str) -> Object:
    """A schema by its name. Raises NotFound (SCHEMA_NOT_FOUND)."""
    if name == "frames":
        return schema.frames()
    if name in schema.FRAMES:
        return {"$schema": schema.DIALECT, **schema.FRAMES[name]}
    operations = openrpc.everything()
    if name == "operations":
        return operations
    methods = cast("list[Object]", operations["methods"])
    if not any(method["name"] == name for method in methods):
        raise NotFound(
            "SCHEMA_NOT_FOUND",
            f"no frame and no operation is called {name[:64]!r}",
            advice="coordctl schema frames, or coordctl schema operations",
        )
    return {**operations, "methods": [one for one in methods if one["name"] == name]}
