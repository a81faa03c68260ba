"""Roles: read from TOML, and what a spawn with one comes to. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from hub.core.permitted import layer
from protocol import variables
from protocol.agents import ABILITIES
from protocol.errors import CallError, InvalidArgument, NotFound
from protocol.ops.questions import Permissions
from protocol.ops.roles import RoleProfile, RoleView
from protocol.ops.spawning import Work

Roles = Mapping[str, RoleProfile]
W = TypeVar("W", bound=Work)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_TABLES: Final[TypeAdapter[dict[str, object]]] = TypeAdapter(dict[str, object])

BUILT_IN: Final[Roles] = {
    "implementation-specialist": RoleProfile(
        description="builds what it is told to, tests it and commits it",
        prompt=(
            "You implement one assignment, all of it and nothing else. Read the code around it"
            " first and follow its style. Write tests with the code and run them. Commit in small"
            " steps, each of which passes its tests. Say what you could not do."
        ),
    ),
    "code-reviewer": RoleProfile(
        description="reads a change and says what is wrong with it; edits nothing",
        prompt=(
            "You review a change; you do not edit it. Read the diff and the code that it touches."
            " Report what is wrong, each with its file and line, how it fails and how sure you are;"
            " the worst first. Say so when there is nothing."
        ),
        permissions=Permissions(
            rules=[
                "deny edit", "allow read", "allow run(git diff *)", "allow run(git log *)",
                "allow run(git show *)", "allow run(git status *)",
            ],
            default="ask",
        ),
        sandbox="read-only",
    ),
}  # fmt: skip


def read(text: str, file: str) -> Roles:
    """Those of the file, and the built-in ones that it has none of the same name for.

    Raises InvalidArgument (BAD_ROLES), with the line.
    """
    try:
        tables = _TABLES.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        raise _bad(file, int(found[1]) if found else 1, str(error)) from None
    return {**BUILT_IN, **{name: _profile(text, file, name, tables[name]) for name in tables}}


def applied(roles: Roles, asked: W) -> W:
    """The spawn as if its role had been said with it; permissions come as layers of their own.

    Raises NotFound (ROLE_NOT_FOUND).
    """
    role = _role(roles, asked)
    if role is None:
        return asked
    said = {
        "args": [*role.args, *asked.args],
        "env": {**role.env, **asked.env},
        "model": asked.model or role.model,
        "sandbox": asked.sandbox or role.sandbox,
        "labels": {"role": asked.role or "", **asked.labels},
    }
    if "agent" not in asked.model_fields_set and role.agent is not None:
        said["agent"] = role.agent
    return asked.model_copy(update=said)


def layers(roles: Roles, asked: Work) -> list[JsonValue]:
    """By what it is held: its role, and what its spawn says."""
    role = _role(roles, asked)
    return [*layer(None if role is None else role.permissions), *layer(asked.permissions)]


def instructions(roles: Roles, asked: Work) -> str:
    role = _role(roles, asked)
    return "" if role is None else "\n\n".join(filter(None, (role.prompt, role.skills)))


def view(name: str, role: RoleProfile) -> RoleView:
    said = role.model_dump(exclude={"env", "permissions"})
    built_in = BUILT_IN.get(name) is role
    return RoleView(
        **said, name=name, built_in=built_in, env=[*role.env], permissions=role.permissions
    )


def _role(roles: Roles, asked: Work) -> RoleProfile | None:
    if asked.role is None:
        return None
    role = roles.get(asked.role)
    if role is None:
        raise NotFound(
            "ROLE_NOT_FOUND",
            f"this hub has no role {asked.role[:64]!r}",
            advice=f"it has {', '.join(sorted(roles))}: coordctl roles",
        )
    return role


def _profile(text: str, file: str, name: str, table: object) -> RoleProfile:
    if not _NAME.match(name):
        raise _bad(file, _line(text, name), f"{name[:64]!a} is no name for a role")
    try:
        role = RoleProfile.model_validate(table)
        variables.check(role.env)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = [str(part) for part in fault["loc"]]
        raise _bad(
            file, _line(text, name, *where), f"{'.'.join([name, *where])}: {fault['msg']}"
        ) from None
    except CallError as error:
        raise _bad(file, _line(text, name, "env"), f"{name}.env: {error.message}") from None
    if role.agent is not None and role.agent not in ABILITIES:
        known = ", ".join(ABILITIES)
        raise _bad(file, _line(text, name, "agent"), f"{name}.agent: none of {known}")
    return role


def _line(text: str, role: str, *keys: str) -> int:
    """Where a role says something, as near as its names are found."""
    found = 1
    wanted = [re.escape(role), *(re.escape(key) for key in keys if not key.isdecimal())]
    lines = text.splitlines()
    for word in wanted:
        pattern = re.compile(rf"^\s*(\[[^\]]*)?[\"']?\b{word}\b|[{{,.]\s*{word}\b")
        matches = (n for n, line in enumerate(lines, 1) if n >= found and pattern.search(line))
        found = next(matches, found)
    return found


def _bad(file: str, line: int, why: str) -> InvalidArgument:
    return InvalidArgument(
        "BAD_ROLES",
        f"{file}:{line}: {why}",
        advice="docs/agents.md has an example",
        details={"file": file, "line": line},
    )
