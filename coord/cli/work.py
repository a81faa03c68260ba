"""What spawn and swarm have in common: where, from what, by whom; as arguments and as keywords."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

from coord.cli.asking import duration, pair, reason_of, resolve
from coord.client import Hub
from coord.context import session_repo
from protocol.agents import ABILITIES, is_named
from protocol.errors import InvalidArgument
from protocol.ops.spawning import Fallback
from protocol.permissions import rule
from protocol.sandbox import SANDBOXES

PROMPT_MAX: Final = 256 * 1024  #: characters


def add_work(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where and from what")
    where.add_argument("--repo", metavar="URL|DIR", help="default: the one around here")
    where.add_argument("--base", metavar="REF", help="branch, tag or commit to start from")
    where.add_argument("--spoke", metavar="NAME", help="this spoke and no other")
    where.add_argument(
        "--require", metavar="K=V", type=pair, action="append", help="a label the spoke must carry"
    )
    who = parser.add_argument_group("who does it")
    who.add_argument(
        "--agent",
        metavar="NAME",
        choices=[*ABILITIES],
        help=f"{', '.join(ABILITIES)}; default: the program",
    )
    who.add_argument(
        "--fallback",
        metavar="AGENT [ARG...]",
        action="append",
        help="who takes over where the agent cannot go on, such as 'codex -c model=gpt-5.5'; again:"
        " and after that one",
    )
    who.add_argument("--role", metavar="NAME", help="one of `coordctl roles`")
    who.add_argument("--model", metavar="NAME", help="of its agent, as that calls it")
    said = parser.add_argument_group("what the agent is told")
    said.add_argument("--prompt", metavar="TEXT", help="- reads standard input")
    said.add_argument("--prompt-file", metavar="FILE", help="- reads standard input")
    said.add_argument(
        "--assignment", metavar="FILE", help="JSON: objective, context, requirements, ...; - too"
    )
    said.add_argument("--env", metavar="K=V", type=pair, action="append", help="a variable")
    said.add_argument(
        "--stdin", choices=["open", "closed"], help="open (default): messages are written to it"
    )
    may = parser.add_argument_group("what its agent may do (docs/agents.md)")
    for decision in ("allow", "ask", "deny"):
        may.add_argument(
            f"--{decision}",
            metavar="RULE",
            dest="rules",
            action="append",
            type=partial(_rule, decision),
            help=f"{decision} TOOL or TOOL(PATTERN); the first rule that matches decides",
        )
    may.add_argument(
        "--otherwise", choices=["allow", "ask", "deny"], help="where no rule matches; allow"
    )
    may.add_argument("--sandbox", choices=SANDBOXES, help="what holds it; that of its role, or off")
    may.add_argument("--answer-within", metavar="TIME", type=duration, help="what it asks; 10m")
    may.add_argument("--unanswered", choices=["allow", "deny"], help="by then; deny")
    tree = parser.add_argument_group("its place in the tree, and for how long")
    tree.add_argument("--parent", metavar="REF", help="id, branch or task of another session")
    tree.add_argument("--on-parent-abort", choices=["abort-dependents", "continue-running"])
    tree.add_argument("--label", metavar="K=V", type=pair, action="append")
    tree.add_argument("--priority", metavar="N", type=int, help="-100 to 100; higher goes first")
    tree.add_argument("--key", metavar="KEY", help="the same key twice makes one session")
    tree.add_argument("--until", choices=["queued", "assigned", "running"], help="when to answer")
    tree.add_argument("--run-timeout", metavar="TIME", type=duration, help="aborted after 30m, 2h")
    tree.add_argument(
        "--max-silence", metavar="TIME", type=duration,
        help="failed when its agent says nothing for 20m, 1h, and no tool of it runs",
    )  # fmt: skip
    tree.add_argument("--queue-timeout", metavar="TIME", type=duration, help="aborted unplaced")


async def work_of(hub: Hub, args: argparse.Namespace) -> dict[str, object]:
    """Only what was said; the rest is for the hub to decide."""
    parent: str | None = args.parent
    said: dict[str, object] = {
        "base": args.base,
        "spoke": args.spoke,
        "requires": _pairs(args.require),
        "fallback": _chain(args.fallback),
        "env": _pairs(args.env),
        "stdin": args.stdin,
        "parent_session_id": None if parent is None else await resolve(hub, parent),
        "on_parent_abort": args.on_parent_abort,
        "labels": _pairs(args.label),
        "priority": args.priority,
        "idempotency_key": args.key,
        "until": args.until,
        "run_timeout_ms": args.run_timeout,
        "queue_timeout_ms": args.queue_timeout,
        "max_silence_ms": args.max_silence,
        "permissions": _permissions(args),
        "sandbox": args.sandbox,
        "role": args.role,
        "model": args.model,
        "assignment": _assignment(args.assignment),
        **_program(args.agent, args.program, role=args.role),
    }
    return {name: value for name, value in said.items() if value is not None}


def _permissions(args: argparse.Namespace) -> dict[str, object] | None:
    said = {
        "rules": args.rules,
        "default": args.otherwise,
        "answer_within_ms": args.answer_within,
        "unanswered": args.unanswered,
    }
    return {name: value for name, value in said.items() if value is not None} or None


def _assignment(file: str | None) -> object:
    if file is None:
        return None
    try:
        return json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgument(
            "BAD_ASSIGNMENT",
            f"{file} is no assignment: {error}",
            advice='{"objective": "...", "requirements": ["..."]}: coordctl schema coord.spawn',
        ) from error


def _rule(decision: str, text: str) -> str:
    try:
        return str(rule(f"{decision} {text}"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def repo_of(said: str | None) -> str:
    """A URL as it is; a folder as the absolute path of its repository.

    Inside a session the default is the session's own repository. Raises InvalidArgument (NO_REPO).
    """
    if said is None:
        return session_repo() or _top(Path())
    folder = Path(said).expanduser()
    return _top(folder) if folder.is_dir() else said


def prompt_of(args: argparse.Namespace) -> str:
    """Raises InvalidArgument (BAD_PROMPT)."""
    text: str | None = args.prompt
    file: str | None = args.prompt_file
    if text is not None and file is not None:
        raise InvalidArgument("BAD_PROMPT", "--prompt and --prompt-file exclude each other")
    named = "standard input" if "-" in (text, file) else file
    if named is None:
        return _fitting(text or "")
    try:
        return _fitting(sys.stdin.read() if "-" in (text, file) else Path(named).read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = f"{named} cannot be read: {reason_of(error)}"
        raise InvalidArgument("BAD_PROMPT", why, advice="a prompt is UTF-8 text") from error


def _fitting(prompt: str) -> str:
    if len(prompt) <= PROMPT_MAX:
        return prompt
    raise InvalidArgument(
        "BAD_PROMPT",
        f"the prompt has {len(prompt)} characters; {PROMPT_MAX} are the most there can be",
        advice="commit the long part to the repository, and name that file in the prompt",
    )


def _chain(said: list[str] | None) -> list[Fallback] | None:
    """Raises InvalidArgument (BAD_FALLBACK)."""
    return [_fallback(one) for one in said] if said else None


def _fallback(text: str) -> Fallback:
    try:
        agent, *args = shlex.split(text)
    except ValueError as error:  # a quotation that does not end, or nothing
        raise InvalidArgument(
            "BAD_FALLBACK",
            f"{text!r} is not an agent with its arguments: {error}",
            advice="--fallback 'codex -c model=gpt-5.5'",
        ) from error
    if agent not in ABILITIES:
        raise InvalidArgument(
            "BAD_FALLBACK",
            f"there is no agent {agent!r}",
            advice=f"choose of {', '.join(ABILITIES)}",
        )
    if args and is_named(agent):
        return Fallback(agent=agent, command=args[0], args=args[1:])
    return Fallback(agent=agent, args=args)


def _pairs(said: list[tuple[str, str]] | None) -> dict[str, str] | None:
    return dict(said) if said else None


def _program(agent: str | None, words: list[str], *, role: str | None) -> dict[str, object]:
    """What follows the dashes is a program, or more arguments for the agent that was named."""
    if agent is None and role is not None:
        return {"args": words} if words else {}
    agent = agent or "command"
    if not is_named(agent):
        return {"agent": agent, "args": words}
    if not words:
        return {} if agent == "command" else {"agent": agent}
    return {"agent": agent, "command": words[0], "args": words[1:]}


def _top(folder: Path) -> str:
    if shutil.which("git") is None:
        raise InvalidArgument("NO_GIT", "there is no git on the PATH", advice="coordctl doctor")
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--show-toplevel"],  # noqa: S607 - found on PATH
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InvalidArgument(
            "NO_REPO",
            f"{folder.resolve()} is not in a git repository",
            advice="name one: --repo URL|DIR",
        )
    return done.stdout.strip()
