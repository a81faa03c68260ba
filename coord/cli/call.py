"""coordctl call: ask for any operation, in the words of the wire."""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing

from pydantic import JsonValue

from coord.cli.asking import ask, duration
from coord.cli.exits import Exit
from coord.cli.out import Format, Out, out_of
from coord.client import Hub
from protocol.codec import Object, decode
from protocol.errors import BadFrame, InvalidArgument
from protocol.ops import CATALOGUE, Kind


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "op", metavar="OP", help="such as coord.status; the operation rpc.discover lists all"
    )
    parser.add_argument("params", metavar="JSON", nargs="?", default="{}", help="- reads stdin")
    parser.add_argument("--timeout", metavar="TIME", type=duration, help="the hub gives up then")
    parser.add_argument(
        "-o", "--output", choices=[Format.JSON.value, Format.JSONL.value],
        default=Format.JSON.value, metavar="FORMAT", help="json (default) or jsonl",
    )  # fmt: skip
    parser.epilog = """example: coordctl call coord.status '{"live": true}'"""
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    op: str = args.op
    params = _params(sys.stdin.read() if args.params == "-" else args.params)
    timeout: int | None = args.timeout

    async def work(hub: Hub) -> Exit:
        if op in CATALOGUE and CATALOGUE[op].kind is Kind.STREAM:
            return await _stream(hub, op, params)
        within = None if timeout is None else timeout / 1_000
        out_of(args).value(await hub.call(op, params, within=within))
        return Exit.OK

    return ask(work)


async def _stream(hub: Hub, op: str, params: Object) -> Exit:
    """Each item on a line, then the final answer."""
    out = Out(Format.JSONL)
    ends: list[JsonValue] = []
    async with aclosing(hub.stream(op, params, on_end=ends.append)) as items:
        async for item in items:
            out.value(item)
    for end in ends:
        out.value(end)
    return Exit.OK


def _params(text: str) -> Object:
    try:
        value = decode(text)
    except BadFrame as error:
        raise _bad(error.message) from None
    if not isinstance(value, dict):
        raise _bad("parameters are a JSON object")
    return value


def _bad(why: str) -> InvalidArgument:
    return InvalidArgument("BAD_JSON", why, advice="coordctl call --help")
