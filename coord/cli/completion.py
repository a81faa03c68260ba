"""coordctl completion: what a shell needs to complete our words."""

from __future__ import annotations

import argparse

import shtab

from coord.cli.exits import Exit
from coord.cli.parser import build
from coord.cli.registry import COMMANDS


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    parser.epilog = (
        "example: coordctl completion bash > ~/.local/share/bash-completion/completions/coordctl"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    shell: str = args.shell
    print(shtab.complete(build(COMMANDS), shell=shell))
    return Exit.OK
