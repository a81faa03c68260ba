"""What differs between agents of the Agent Client Protocol, as data; what to start of it."""

from __future__ import annotations

from hashlib import blake2s
from typing import TYPE_CHECKING, NamedTuple

from spoke.agents.agent import Kept, Plan, Signs
from spoke.agents.tongue import as_list, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.ops.wire import StartOrder
    from spoke.agents.tongue import AfterDenial, Json


class Profile(NamedTuple):
    """``folds``: what is said to it while it works goes into its turn; else that would end it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    passes: frozenset[str]
    folds: bool
    mode: str | None = None  #: set right after the session is open; its answer ends a replay
    resume: str | None = "session/load"  #: None: as it says of itself
    minute_apart: bool = False
    needs_author: bool = False
    before_first: Sequence[str] = ()  #: the arguments; its first start makes a store of its own
    first_env: Mapping[str, str] = {}  #: for that alone,
    later_env: Mapping[str, str] = {}  #: and not for that
    asking_env: Mapping[str, str] = {}  #: with which it asks before it uses a tool
    after_denial: AfterDenial = "goes on"
    model_args: Sequence[str] = ()  #: before the name of a model
    settings_env: str = ""  #: the variable that holds settings in JSON, the model among them
    settings: Mapping[str, object] = {}
    signs: Signs = Signs()
    port_key_env: str = ""  #: the variable that holds the key to a port of its own
    keeps: Sequence[Kept] = ()


class Acp:
    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    @property
    def program(self) -> str:
        return self.profile.argv[0]

    @property
    def signs(self) -> Signs:
        return self.profile.signs

    def plan(self, order: StartOrder, key: str) -> Plan:
        profile = self.profile
        program, *rest = profile.argv
        model = (*profile.model_args, order.model) if order.model and profile.model_args else ()
        argv = [order.command or program, *rest, *model, *order.args]
        id = order.agent_session_id
        before_first = [argv[0], *profile.before_first] if profile.before_first else ()
        env = self._env(order)
        return Plan(
            argv, {**env, **profile.later_env}, "open", profile.passes, profile.name, id,
            id is not None, profile.minute_apart, needs_author=profile.needs_author,
            before_first=before_first, first_env={**env, **profile.first_env}, keeps=profile.keeps,
        )  # fmt: skip

    def _env(self, order: StartOrder) -> dict[str, str]:
        profile = self.profile
        env = {**profile.env, **(profile.asking_env if order.permissions else {})}
        if profile.settings_env:
            given = decode(order.env.get(profile.settings_env, ""))
            model = {"model": order.model} if order.model else {}
            env[profile.settings_env] = encode({**_both(given, profile.settings), **model})
        if profile.port_key_env:
            env[profile.port_key_env] = blake2s(order.credential.encode()).hexdigest()
        return env


def _both(given: Json, ours: Json) -> dict[str, object]:
    """Ours goes before what was ordered; where it is a list, beside it."""
    lists = {key: [*as_list(given.get(key)), *as_list(ours[key])] for key in ours}
    return {**given, **ours, **{key: both for key, both in lists.items() if both}}
