"""May an agent use this tool on that? The rules and the request in, a decision out. Pure.

A rule that allows has to be sure: each part of what is asked for has to match it. For one that asks
or denies it is enough that any part may match. Of several layers, the strictest decides.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from spoke.core.shellwords import bare, line_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.permissions import Answer, Decision, Layer, Rule

Kind = Literal["run", "edit", "read", "fetch", "other"]

BY_DEFAULT: Final = "default"  #: where no rule matches

_STRICTNESS: Final = {"allow": 0, "ask": 1, "deny": 2}


class Request(NamedTuple):
    """``what``: the command, the URL, or a title. ``paths``: relative to the worktree where they
    are in it, else absolute; nothing where they are not known.
    """

    kind: Kind
    tool: str
    what: str
    paths: Sequence[str] = ()


class Verdict(NamedTuple):
    """``rule``: which one it was. Of what is asked: within how long, and what else."""

    decision: Decision
    rule: str = BY_DEFAULT
    within_ms: int = 0
    unanswered: Answer = "deny"


def decide(layers: Sequence[Layer], request: Request) -> Verdict:
    """Without layers everything is allowed."""
    verdicts = [_of_layer(layer, request) for layer in layers]
    strictest = max(verdicts, key=lambda one: _STRICTNESS[one.decision], default=Verdict("allow"))
    asked = [one for one in verdicts if one.decision == "ask"]
    if strictest.decision != "ask":
        return strictest
    denies = any(one.unanswered == "deny" for one in asked)
    return strictest._replace(
        within_ms=min(one.within_ms for one in asked), unanswered="deny" if denies else "allow"
    )


def _of_layer(layer: Layer, request: Request) -> Verdict:
    found = next((rule for rule in layer.rules if _matches(rule, request)), None)
    decision = layer.default if found is None else found.decision
    said = BY_DEFAULT if found is None else str(found)
    return Verdict(decision, said, layer.within_ms, layer.unanswered)


def _matches(rule: Rule, request: Request) -> bool:
    names = (request.kind, request.tool)
    if not any(fnmatchcase(name, rule.tool) for name in names):
        return False
    if rule.pattern is None:
        return True
    allows = rule.decision == "allow"
    match request.kind:
        case "run":
            return _command_fits(rule.pattern, request.what, allows=allows)
        case "edit" | "read":
            return _paths_fit(rule.pattern, request.paths, allows=allows)
        case _:
            return _fits(rule.pattern, request.what)


def _command_fits(pattern: str, text: str, *, allows: bool) -> bool:
    """`git status; rm -r x` is no `git *` to who allows, and is an `rm *` to who denies."""
    if pattern == text:
        return True
    line = line_of(text)
    if allows:
        fits = all(_starts(pattern, command) for command in line.commands)
        return line.plain and bool(line.commands) and fits
    every = {text, *line.commands, *(bare(command) for command in line.commands)}
    return any(_starts(pattern, command) for command in every)


def _starts(pattern: str, command: str) -> bool:
    """`git *` is `git` alone, too."""
    return _fits(pattern, command) or (pattern.endswith(" *") and _fits(pattern[:-2], command))


def _paths_fit(pattern: str, paths: Sequence[str], *, allows: bool) -> bool:
    if not paths:
        return not allows
    found = [_path_fits(pattern, path) for path in paths]
    return all(found) if allows else any(found)


def _path_fits(pattern: str, path: str) -> bool:
    """`*` stays within a folder, `**` is any number of them; what begins with / is outside."""
    if pattern.startswith("/") != path.startswith("/"):
        return False
    wanted = pattern.split("/")
    reached = _further(wanted, {0})
    for name in path.split("/"):
        kept = {at for at in reached if at < len(wanted) and wanted[at] == "**"}
        passed = {at + 1 for at in reached if at < len(wanted) and _fits(wanted[at], name)}
        reached = _further(wanted, kept | passed)
    return len(wanted) in reached


def _further(wanted: Sequence[str], reached: set[int]) -> set[int]:
    """`**` may be no folder at all."""
    for at, name in enumerate(wanted):
        if at in reached and name == "**":
            reached = reached | {at + 1}
    return reached


def _fits(pattern: str, text: str) -> bool:
    """`*` and `?` alone are special."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))
