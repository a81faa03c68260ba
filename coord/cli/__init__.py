"""`coordctl`: the front door for people. Only what `--help` needs is imported before the choice."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import pairwise

from coord.cli.exits import Exit
from coord.cli.parser import UsageError, read


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        _accept_all_text(stream)
    try:
        return int(_run(words))
    except BrokenPipeError:
        # The reader has left, as `head` does. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)


def _run(words: Sequence[str]) -> Exit:
    as_json = _wants_json(words)
    try:
        chosen = read(words)
    except UsageError as error:
        from coord.cli.failures import show_usage

        return show_usage(str(error), error.command, as_json)
    from coord.cli.failures import guarded

    code = guarded(chosen.run, chosen.args, as_json)
    sys.stdout.flush()
    return code


def _wants_json(words: Sequence[str]) -> bool:
    """Read by hand, since errors in the words themselves are told in JSON too."""
    ours = words[: words.index("--")] if "--" in words else words
    said = [b for a, b in pairwise(ours) if a in ("-o", "--output")]
    said += [word.removeprefix("-o") for word in ours if word.startswith("-oj")]
    said += [word.partition("=")[2] for word in ours if word.startswith("--output=")]
    return bool(said) and said[-1] in ("json", "jsonl")


def _accept_all_text(stream: object) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
