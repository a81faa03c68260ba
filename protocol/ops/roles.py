"""Roles, which are named profiles of agents, and structured assignments: their shapes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.ops.questions import Permissions
from protocol.ops.shapes import Environment, Line, Params, Shape, Text, Word
from protocol.sandbox import Sandbox

Paragraph = Annotated[str, Field(max_length=16_384, pattern=r"^[^\x00]*$")]
Points = Annotated[list[Line], Field(max_length=100)]


class RoleProfile(Params):
    """What a session that is spawned with a role begins with; what its spawn says goes first."""

    description: Line = ""
    agent: Word | None = None
    model: Word | None = None
    prompt: Paragraph = ""  #: for its system prompt, where its agent has one
    skills: Paragraph = ""  #: what it knows how to do; behind the prompt
    args: Annotated[list[Text], Field(max_length=100)] = []  #: for its agent, such as its own role
    env: Environment = {}
    permissions: Permissions | None = None  #: and those of the spawn; the strictest decides
    sandbox: Sandbox | None = None


class RoleView(Shape):
    """Variables by name alone: their values may be keys."""

    name: str
    built_in: bool
    description: str
    agent: str | None
    model: str | None
    prompt: str
    skills: str
    args: list[str]
    env: list[str]
    permissions: Permissions | None
    sandbox: Sandbox | None


class RoleList(Shape):
    roles: list[RoleView]


class Assignment(Params):
    """Work in parts, which become the prompt and a MISSION.md in the worktree."""

    objective: Paragraph
    context: Paragraph = ""
    requirements: Points = []
    files: Points = []
    constraints: Points = []
    definition_of_done: Points = []
    verification: Points = []
