"""opencode, which speaks the Agent Client Protocol by itself.

What that leaves out is said by a plugin of ours (`opencode_plugin.js`), in lines among the others:
that its provider makes it wait and until when, errors with their names, the messages that it takes
up, the tokens of each answer, and that it shortened its conversation. It listens on a port too,
which would obey everybody on the machine: it is given a key.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from protocol.failure import FailureKind, Signal, classify
from spoke.agents.acp import AcpTongue
from spoke.agents.agent import Kept, Signs
from spoke.agents.profile import Acp, Profile
from spoke.agents.tongue import (
    Accepted,
    Compacted,
    Event,
    GoesOn,
    Held,
    Start,
    Usage,
    as_int,
    as_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.failure import Failure
    from spoke.agents.tongue import Json

NEWS: Final = "_coord/event"  #: the method of its lines
PLUGIN: Final = __file__.removesuffix(".py") + "_plugin.js"

PROFILE: Final = Profile(
    name="opencode",
    argv=("opencode", "acp"),
    env={
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",  # the repository may be anybody's
    },
    # For a plugin it waits, each time, until it has a package from npm, or has not got it: that is
    # tried once, and not for the minutes that npm would take where the network drops what it sends.
    before_first=("session", "list"),
    first_env={"NPM_CONFIG_FETCH_RETRIES": "0", "NPM_CONFIG_FETCH_TIMEOUT": "10000"},
    later_env={"NPM_CONFIG_OFFLINE": "true"},
    passes=frozenset(
        {
            "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENCODE_API_KEY",
            "OPENCODE_CONFIG", "OPENCODE_DISABLE_MODELS_FETCH", "OPENROUTER_API_KEY",
            "npm_config_offline",
        }
    ),
    asking_env={"OPENCODE_PERMISSION": '{"*":"ask"}'},
    after_denial="stops",
    settings_env="OPENCODE_CONFIG_CONTENT",
    settings={"plugin": [PLUGIN]},
    port_key_env="OPENCODE_SERVER_PASSWORD",
    folds=True,
    resume="session/resume",
    signs=Signs(
        frozenset(
            {
                "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENCODE_API_KEY",
                "OPENROUTER_API_KEY",
            }
        ),
        [(Kept("XDG_DATA_HOME", ".local/share", "opencode"), "auth.json")],
    ),
    keeps=(
        Kept("XDG_DATA_HOME", ".local/share", "opencode"),
        Kept("XDG_STATE_HOME", ".local/state", "opencode"),
    ),
)  # fmt: skip

AGENT: Final = Acp(PROFILE)


class OpencodeTongue(AcpTongue):
    def __init__(self, start: Start) -> None:
        super().__init__(PROFILE, start)
        self._unheard: deque[str] = deque()  #: messages that it has not told of yet
        self._told: dict[str, str] = {}  #: its own id of one -> ours, until it takes it up
        self._error: Signal | None = None  #: of the answer that it works on
        self._counts = False  #: it says what each answer took; the protocol, only what the last did

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        self._unheard.append(message_id)
        return super().prompt(text, message_id)

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        self._unheard.append(message_id)
        return super().steer(text, message_id)

    def _heard(self, method: str, params: Json) -> Sequence[Event]:
        """Of its subagents, what they use and that they wait: their conversations are their own."""
        type = as_text(params.get("type")) if method == NEWS else ""
        match type:
            case "waits":
                return [Held(as_text(params.get("message")), as_int(params.get("until")) or None)]
            case "goesOn":
                return [GoesOn()]
            case "used":
                self._counts = True
                tokens = as_int(params.get("tokensIn")), as_int(params.get("tokensOut"))
                return [Usage(*tokens, model=as_text(params.get("model")) or None)]
            case _ if params.get("sessionId") != self._session_id:
                return []
            case "told" if self._unheard:
                self._told[as_text(params.get("messageId"))] = self._unheard.popleft()
                return []
            case "answers":
                self._error = None
                return self._accepted(as_text(params.get("messageId")))
            case "failed":
                self._error = _signal(params)
                return []
            case "compacted":
                return [Compacted()]
            case _:
                return []

    def _accepted(self, last: str) -> list[Event]:
        """It answers the last message that it was told, and with that all before."""
        if last not in self._told:
            return []
        taken = [*self._told][: [*self._told].index(last) + 1]
        return [Accepted(self._told.pop(id)) for id in taken]

    def _turn_ended(self, id: int, message_id: str, result: Json, error: Json) -> list[Event]:
        """Of what it refused it does not tell."""
        with suppress(ValueError):
            self._unheard.remove(message_id)
        return super()._turn_ended(id, message_id, result, error)

    def _usage(self, result: Json) -> Usage:
        usage = super()._usage(result)
        return usage._replace(tokens_in=0, tokens_out=0) if self._counts else usage

    def _failure(self, error: Json) -> Failure:
        if self._error is None:
            return super()._failure(error)
        failure = classify(self._error)
        is_limit = failure.kind is FailureKind.RATE_LIMITED
        return failure if is_limit else failure._replace(retry_at=None)


def _signal(error: Json) -> Signal:
    """An empty account is a limit as well, by its status: its code tells the two apart."""
    name, code = as_text(error.get("name")), as_text(error.get("code"))
    word = code if code == "insufficient_quota" else name
    status, at = as_int(error.get("status")) or None, as_int(error.get("retryAt")) or None
    return Signal(word, status, as_text(error.get("message")), at)
