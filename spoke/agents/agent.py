"""The socket that agents plug into: what to start, and in which tongue it is spoken to. Pure.

An adapter decides and does nothing itself: the daemon asks it for a `Plan`; the supervisor starts,
writes and reads, and has the agent's `Tongue` translate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.ops.wire import StartOrder

#: Who commits, in the words of git.
AUTHOR: Final = frozenset(
    {"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"}
)


class Kept(NamedTuple):
    """What an agent keeps for itself outside of its worktree, and may change in a sandbox: where
    ``variable`` says, else at ``default`` in the home; and there ``below``.

    With ``folders``, these alone in it, which are made, the ``files`` that are there, and those of
    ``made``. Never what others obey, whom nothing holds: settings that name programs, scripts.
    ``told``: the variable in which it hears of one of its folders.
    """

    variable: str
    default: str
    below: str = ""
    folders: Sequence[str] = ()
    files: Sequence[str] = ()
    made: Sequence[str] = ()
    told: Mapping[str, str] = {}

    def at(self, environ: Mapping[str, str]) -> str | None:
        """None: there is no home."""
        top, home = environ.get(self.variable, ""), environ.get("HOME", "")
        if not top.startswith("/"):
            if not home.startswith("/"):
                return None
            top = f"{home}/{self.default}"
        return f"{top}/{self.below}" if self.below else top


class Signs(NamedTuple):
    """By what it is seen that somebody is logged in: a key in one of these variables of the
    environment, or one of these files, each where the agent keeps it.
    """

    variables: frozenset[str] = frozenset()
    files: Sequence[tuple[Kept, str]] = ()


class Plan(NamedTuple):
    """``env`` goes on top of what every agent gets; of the daemon's own environment, the variables
    named in ``passes`` go too. ``tongue`` None: it has no turns, and is told line by line.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: Literal["open", "closed"]
    passes: frozenset[str] = frozenset()
    tongue: str | None = None
    agent_session_id: str | None = None  #: of the conversation to go on with, or chosen by us
    resume: bool = False
    minute_apart: bool = False  #: its conversation is lost when it is taken up in the same minute
    instructed: bool = False  #: it is told of its role by other means than its prompt
    needs_author: bool = False  #: it hides the person's git configuration from its commands
    before_first: Sequence[str] = ()  #: run alone before it is started for the first time,
    first_env: Mapping[str, str] = {}  #: with this in place of ``env``
    keeps: Sequence[Kept] = ()  #: what it may change in a sandbox
    held_env: Mapping[str, str] = {}  #: what it is told in one


class Agent(Protocol):
    @property
    def program(self) -> str | None:
        """What has to be installed; None where the order names it."""
        ...

    @property
    def signs(self) -> Signs:
        """Of a login; none where it has none, or nobody knows."""
        ...

    def plan(self, order: StartOrder, key: str) -> Plan:
        """What to start; ``key`` names the attempt.

        Raises InvalidArgument when the order does not say enough.
        """
        ...
