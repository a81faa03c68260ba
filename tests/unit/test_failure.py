"""What agents said when they failed, as it was captured, and what kind of failure that is."""

from __future__ import annotations

import pytest

from protocol.failure import ADVICE, Failure, FailureKind, Signal, classify

CAPTURED = {
    FailureKind.CONTEXT_EXHAUSTED: [
        Signal("prompt_too_long", 400, "Prompt is too long"),
        Signal(
            "contextWindowExceeded", None, "Codex ran out of room in the model's context window."
        ),
        Signal("", 400, "The input token count (1100000) exceeds the maximum number of tokens"),
        Signal("", None, "Internal error: This model's maximum context length is 200000 tokens."),
        Signal("", 413, ""),
        Signal("ContextOverflowError", None, "Input exceeds context window of this model"),
    ],
    FailureKind.RATE_LIMITED: [
        Signal("rate_limit", 429, ""),
        Signal("", 429, "exceeded retry limit, last status: 429 Too Many Requests"),
        Signal("", 529, "Overloaded"),
        Signal("", None, "Internal error: Rate limit reached for requests"),
        Signal("", None, "Resource has been exhausted (e.g. check quota)."),
        Signal("", None, "Selected model is at capacity. Please try a different model."),
    ],
    FailureKind.AUTH_FAILED: [
        Signal("", 401, "Invalid API key · Fix external API key"),
        Signal("", None, "Internal error: Incorrect API key provided"),
        Signal("", 400, "API key not valid. Please pass a valid API key."),
        Signal("", None, "Not logged in · Please run /login"),
        Signal("", None, "Missing environment variable: `OPENAI_API_KEY`."),
        Signal("ProviderAuthError", None, ""),
        Signal("insufficient_quota", 429, "You exceeded your current quota"),
        Signal("billing_error", 400, "Your credit balance is too low"),
    ],
    FailureKind.CONVERSATION_LOST: [
        Signal("error_during_execution", None, "No conversation found with session ID: 1"),
        Signal("", None, "no rollout found for thread id 1"),
        Signal("", 404, "Session not found"),
    ],
    FailureKind.AGENT_BUSY: [Signal("", None, "thread 1 already has an active writer")],
    FailureKind.TOOL_DENIED: [
        Signal("sandboxError", None, ""),
        Signal("", None, "The user rejected permission to use this specific tool call."),
    ],
    FailureKind.SDK_ERROR: [
        Signal("", 500, "The server had an error"),
        Signal("error_during_execution", None, "the agent ended: exit code 1"),
        Signal("", None, "Internal error"),
        Signal("APIError", None, "Cannot connect to API"),
        Signal("UnknownError", None, "odd"),
    ],
    FailureKind.UNKNOWN: [Signal("", 400, "Invalid value"), Signal("", None, "")],
}


@pytest.mark.parametrize(
    ("kind", "signal"), [(kind, one) for kind, some in CAPTURED.items() for one in some]
)
def test_a_captured_failure_is_known_again(kind: FailureKind, signal: Signal) -> None:
    assert classify(signal).kind is kind


def test_there_is_advice_for_each_kind() -> None:
    assert set(ADVICE) == set(FailureKind)


def test_a_failure_is_recorded_with_what_is_known() -> None:
    failure = classify(Signal("rate_limit", 429, "wait\n  a while", 5))
    assert failure == Failure(FailureKind.RATE_LIMITED, "wait a while", 5)
    assert failure.body() == {
        "kind": "rateLimited", "message": "wait a while", "retryAt": 5, "advice": failure.advice,
    }  # fmt: skip
    assert "retryAt" not in classify(Signal()).body()
    assert len(classify(Signal(text="x" * 9_999)).message) == 500
