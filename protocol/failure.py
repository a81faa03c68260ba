"""Why an agent's turn failed, in a few words that a reaction can be chosen by; pure, and light.

An agent's own words come as a `Signal`: typed fields decide first, then an HTTP status, then the
text. What is not in the tables is `unknown`, and the text is kept. Standard library only: a
supervisor loads this beside its agent.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FailureKind(StrEnum):
    CONTEXT_EXHAUSTED = "contextExhausted"  #: the conversation no longer fits the model
    RATE_LIMITED = "rateLimited"  #: the provider asks to wait
    TOOL_DENIED = "toolDenied"  #: something it needed to do was not allowed
    AUTH_FAILED = "authFailed"  #: no key, a wrong key, or nothing left on the account
    CONVERSATION_LOST = "conversationLost"  #: it does not know its conversation any more
    AGENT_BUSY = "agentBusy"  #: another process holds its conversation
    ABORTED = "aborted"  #: its turn was ended on purpose
    SDK_ERROR = "sdkError"  #: the agent or its provider broke
    AGENT_MISSING = "agentMissing"  #: it is not installed on that spoke
    UNKNOWN = "unknown"


class Signal(NamedTuple):
    """What an agent said of a failure. ``retry_at``: ms since 1970, where it knew."""

    word: str = ""
    status: int | None = None
    text: str = ""
    retry_at: int | None = None


class Failure(NamedTuple):
    kind: FailureKind
    message: str
    retry_at: int | None = None

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]

    def body(self) -> dict[str, object]:
        """As it is recorded."""
        said: dict[str, object] = {"kind": str(self.kind), "message": self.message}
        if self.retry_at is not None:
            said["retryAt"] = self.retry_at
        return {**said, "advice": self.advice}


ADVICE: Final[Mapping[FailureKind, str]] = {
    FailureKind.CONTEXT_EXHAUSTED: "resume the work in a fresh conversation, in smaller steps",
    FailureKind.RATE_LIMITED: "wait until the provider's limit is over, then send it a message",
    FailureKind.TOOL_DENIED: "allow what it needed, or tell it another way, then send it a message",
    FailureKind.AUTH_FAILED: "set the agent's key in the spoke's environment, or log it in there",
    FailureKind.CONVERSATION_LOST: "it goes on in a new conversation; what it did is in its branch",
    FailureKind.AGENT_BUSY: "end the other process in it, then: coordctl resume SESSION",
    FailureKind.ABORTED: "nothing: it was asked for",
    FailureKind.SDK_ERROR: "read the end of its transcript; trying again may help",
    FailureKind.AGENT_MISSING: "install the agent on that spoke, or choose a spoke that has it",
    FailureKind.UNKNOWN: "read the end of its transcript",
}

_MESSAGE_CHARS: Final = 500

_WORDS: Final[Mapping[str, FailureKind]] = {
    # Claude Code: errors of an assistant message, terminal reasons of a result.
    "rate_limit": FailureKind.RATE_LIMITED,
    "overloaded": FailureKind.RATE_LIMITED,
    "authentication_failed": FailureKind.AUTH_FAILED,
    "oauth_org_not_allowed": FailureKind.AUTH_FAILED,
    "billing_error": FailureKind.AUTH_FAILED,
    "server_error": FailureKind.SDK_ERROR,
    "model_not_found": FailureKind.SDK_ERROR,
    "prompt_too_long": FailureKind.CONTEXT_EXHAUSTED,
    "blocking_limit": FailureKind.CONTEXT_EXHAUSTED,
    "aborted_streaming": FailureKind.ABORTED,
    "aborted_tools": FailureKind.ABORTED,
    # codex: codexErrorInfo.
    "contextWindowExceeded": FailureKind.CONTEXT_EXHAUSTED,
    "usageLimitExceeded": FailureKind.RATE_LIMITED,
    "rateLimitExceeded": FailureKind.RATE_LIMITED,
    "serverOverloaded": FailureKind.RATE_LIMITED,
    "unauthorized": FailureKind.AUTH_FAILED,
    "sandboxError": FailureKind.TOOL_DENIED,
    "internalServerError": FailureKind.SDK_ERROR,
    # opencode: names of its errors, and the code of the provider where that says more.
    "ContextOverflowError": FailureKind.CONTEXT_EXHAUSTED,
    "ProviderAuthError": FailureKind.AUTH_FAILED,
    "MessageAbortedError": FailureKind.ABORTED,
    "insufficient_quota": FailureKind.AUTH_FAILED,
}

#: Words that say only that something broke, unless the text knows more.
_VAGUE: Final = frozenset(
    {
        "error_during_execution", "APIError", "ContentFilterError", "MessageOutputLengthError",
        "StructuredOutputError", "UnknownError",
    }
)  # fmt: skip

_TEXTS: Final[Sequence[tuple[re.Pattern[str], FailureKind]]] = [
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (
            (
                r"prompt is too long|ran out of room|context.length|maximum context|context window"
                r"|input token count .* exceeds|too many tokens"
            ),
            FailureKind.CONTEXT_EXHAUSTED,
        ),
        (
            (
                r"api.key.(not.valid|invalid)|incorrect api key|invalid (x-)?api.key|not logged in"
                r"|API_KEY_INVALID|401 unauthorized|missing environment variable|credit balance"
                r"|authentication (is )?required|exceeded your current quota"
            ),
            FailureKind.AUTH_FAILED,
        ),
        (
            (
                r"rate.limit|too many requests|resource has been exhausted|quota|overloaded"
                r"|at capacity"
            ),
            FailureKind.RATE_LIMITED,
        ),
        (r"active writer", FailureKind.AGENT_BUSY),
        (
            (
                r"no conversation found|no rollout found|(session|conversation|thread) not found"
                r"|no previous sessions|invalid session identifier"
            ),
            FailureKind.CONVERSATION_LOST,
        ),
        (r"rejected permission|permission denied|read-only file system", FailureKind.TOOL_DENIED),
        (r"internal (server )?error|server had an error|terminated", FailureKind.SDK_ERROR),
    )
]

_STATUSES: Final[Mapping[int, FailureKind]] = {
    401: FailureKind.AUTH_FAILED,
    402: FailureKind.AUTH_FAILED,
    403: FailureKind.AUTH_FAILED,
    413: FailureKind.CONTEXT_EXHAUSTED,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.RATE_LIMITED,
    503: FailureKind.RATE_LIMITED,
}


def classify(signal: Signal) -> Failure:
    kind = _WORDS.get(signal.word) or _by_status(signal.status) or _by_text(signal.text)
    if kind is FailureKind.UNKNOWN and signal.word in _VAGUE:
        kind = FailureKind.SDK_ERROR
    message = " ".join((signal.text or signal.word or "no reason given").split())
    return Failure(kind, message[:_MESSAGE_CHARS], signal.retry_at)


def _by_status(status: int | None) -> FailureKind | None:
    """A 400 says nothing by itself: its text does."""
    if status is None:
        return None
    other = FailureKind.SDK_ERROR if 500 <= status < 600 else None
    return _STATUSES.get(status, other)


def _by_text(text: str) -> FailureKind:
    for pattern, kind in _TEXTS:
        if pattern.search(text):
            return kind
    return FailureKind.UNKNOWN
