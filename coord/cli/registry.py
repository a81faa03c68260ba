"""The commands: their names, what each is for, and the module that is loaded once it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """``takes_program``: what follows `--` is a program for an agent, not ours to read."""

    module: str
    summary: str
    takes_program: bool = False


COMMANDS: Final[Mapping[str, Command]] = {
    "up": Command("coord.cli.up", "start everything on this machine: database, hub, one spoke"),
    "spawn": Command("coord.cli.spawn", "start a session in a worktree of its own", True),
    "swarm": Command("coord.cli.swarm", "start many sessions with one call", True),
    "ps": Command("coord.cli.ps", "list sessions as a tree"),
    "status": Command("coord.cli.status", "show sessions in full"),
    "logs": Command("coord.cli.logs", "print what a session's agent said"),
    "message": Command("coord.cli.message", "say something to a session's agent"),
    "roles": Command("coord.cli.roles", "list what sessions may be spawned as"),
    "questions": Command("coord.cli.questions", "list what agents ask whether they may"),
    "answer": Command("coord.cli.answer", "allow or deny what an agent asks for"),
    "abort": Command("coord.cli.abort", "end sessions and all below them, with a receipt"),
    "resume": Command("coord.cli.resume", "start ended sessions again, with what they had done"),
    "wait": Command("coord.cli.wait", "wait until sessions have ended, or need somebody"),
    "notify": Command("coord.cli.notify", "from inside a session: tell its story"),
    "cleanup": Command("coord.cli.cleanup", "remove worktrees whose work is kept elsewhere"),
    "trash": Command("coord.cli.trash", "removed worktrees that can be had back"),
    "recover": Command("coord.cli.recover", "where records and machines disagree; mend it"),
    "explain": Command("coord.cli.explain", "why a session is where it is, and what to do"),
    "spoke": Command("coord.cli.spoke", "join, run, list, cordon, uncordon, drain, invite, revoke"),
    "hub": Command("coord.cli.hub", "serve, migrate"),
    "account": Command("coord.cli.account", "limits of providers: list, open before their time"),
    "token": Command("coord.cli.token", "create, list, revoke"),
    "login": Command("coord.cli.login", "remember a hub and a token"),
    "dashboard": Command("coord.cli.dashboard", "a link that opens the ops page"),
    "call": Command("coord.cli.call", "ask for any operation, in JSON"),
    "schema": Command("coord.cli.schema", "print the frames or operations as JSON Schema"),
    "doctor": Command("coord.cli.doctor", "check this machine, the hub and its spokes"),
    "completion": Command("coord.cli.completion", "print completions for a shell"),
    "version": Command("coord.cli.version", "versions of coord, its protocol and Python"),
}
