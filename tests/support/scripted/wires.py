"""What the model answers, in the words of each provider: an answer as events, or a failure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from tests.support.scripted.script import Fault, Step

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    tool: str
    input: Json


@dataclass(frozen=True, slots=True)
class Failure:
    status: int
    body: Json
    headers: Mapping[str, str]


class Wire(Protocol):
    def whole(self, step: Step, call: Call | None, model: str) -> Json: ...
    def events(self, step: Step, call: Call | None, model: str) -> Iterator[bytes]: ...
    def failure(self, fault: Fault) -> Failure: ...


_OPENAI: Final[Mapping[str, tuple[int, str, str]]] = {
    "rate_limited": (429, "rate_limit_exceeded", "Rate limit reached for requests"),
    "quota_exhausted": (429, "insufficient_quota", "You exceeded your current quota"),
    "overloaded": (503, "server_is_overloaded", "The server is currently overloaded"),
    "server_error": (500, "server_error", "The server had an error"),
    "context_exhausted": (
        400, "context_length_exceeded",
        "This model's maximum context length is 200000 tokens. Please reduce the length.",
    ),
    "auth_failed": (401, "invalid_api_key", "Incorrect API key provided"),
}  # fmt: skip
_ANTHROPIC: Final[Mapping[str, tuple[int, str, str]]] = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "quota_exhausted": (400, "invalid_request_error", "Your credit balance is too low."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "context_exhausted": (
        400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum",
    ),
    "auth_failed": (401, "authentication_error", "invalid x-api-key"),
}  # fmt: skip
_GEMINI: Final[Mapping[str, tuple[int, str, str]]] = {
    "rate_limited": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "quota_exhausted": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server_error": (500, "INTERNAL", "An internal error has occurred."),
    "context_exhausted": (
        400, "INVALID_ARGUMENT",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "auth_failed": (
        400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
    ),
}  # fmt: skip


class OpenAIChat:
    def whole(self, step: Step, call: Call | None, model: str) -> Json:
        message: dict[str, object] = {"role": "assistant", "content": step.say or None}
        if call is not None:
            message["tool_calls"] = [{"id": call.id, "type": "function", "function": _named(call)}]
        choice = {"index": 0, "message": message, "finish_reason": _reason(call)}
        return {**_completion(model), "choices": [choice], "usage": _openai_usage(step)}

    def events(self, step: Step, call: Call | None, model: str) -> Iterator[bytes]:
        head = {**_completion(model), "object": "chat.completion.chunk"}

        def chunk(delta: Json, finish: str | None = None) -> bytes:
            return _sse(
                {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            )

        yield chunk({"role": "assistant", "content": step.say})
        if call is not None:
            one = {"index": 0, "id": call.id, "type": "function", "function": _named(call)}
            yield chunk({"tool_calls": [one]})
        yield chunk({}, _reason(call))
        yield _sse({**head, "choices": [], "usage": _openai_usage(step)})
        yield b"data: [DONE]\n\n"

    def failure(self, fault: Fault) -> Failure:
        return _openai_failure(fault)


class OpenAIResponses:
    def whole(self, step: Step, call: Call | None, model: str) -> Json:
        items: list[Json] = []
        if step.say:
            text = {"type": "output_text", "text": step.say, "annotations": []}
            items.append(
                {"id": _id("msg"), "type": "message", "role": "assistant", "status": "completed",
                 "content": [text]}
            )  # fmt: skip
        if call is not None:
            items.append(
                {"id": f"fc_{call.id}", "type": "function_call", "status": "completed",
                 "call_id": call.id, **_named(call)}
            )  # fmt: skip
        usage = {
            "input_tokens": step.tokens_in, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": step.tokens_out, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": step.tokens_in + step.tokens_out,
        }  # fmt: skip
        return {
            "id": _id("resp"), "object": "response", "created_at": 1, "status": "completed",
            "model": model, "output": items, "usage": usage,
        }  # fmt: skip

    def events(self, step: Step, call: Call | None, model: str) -> Iterator[bytes]:
        response = self.whole(step, call, model)
        begun = {**response, "status": "in_progress", "output": [], "usage": None}
        yield _event("response.created", {"response": begun})
        output = response["output"]
        assert isinstance(output, list)
        for index, item in enumerate(output):
            place = {"output_index": index}
            opened = {**item, "status": "in_progress", "content": []}
            yield _event("response.output_item.added", {**place, "item": opened})
            if item["type"] == "message":
                delta = {**place, "item_id": item["id"], "content_index": 0, "delta": step.say}
                yield _event("response.output_text.delta", delta)
            yield _event("response.output_item.done", {**place, "item": item})
        yield _event("response.completed", {"response": response})

    def failure(self, fault: Fault) -> Failure:
        return _openai_failure(fault)


class Anthropic:
    def whole(self, step: Step, call: Call | None, model: str) -> Json:
        blocks: list[Json] = [{"type": "text", "text": step.say}] if step.say else []
        if call is not None:
            blocks.append(
                {"type": "tool_use", "id": call.id, "name": call.tool, "input": call.input}
            )
        usage = {"input_tokens": step.tokens_in, "output_tokens": step.tokens_out}
        return {
            "id": _id("msg"), "type": "message", "role": "assistant", "model": model,
            "content": blocks, "stop_reason": "tool_use" if call else "end_turn",
            "stop_sequence": None, "usage": usage,
        }  # fmt: skip

    def events(self, step: Step, call: Call | None, model: str) -> Iterator[bytes]:
        message = self.whole(step, call, model)
        yield _event("message_start", {"message": {**message, "content": [], "stop_reason": None}})
        index = 0
        if step.say:
            yield from _block(
                index, {"type": "text", "text": ""}, {"type": "text_delta", "text": step.say}
            )
            index += 1
        if call is not None:
            block = {"type": "tool_use", "id": call.id, "name": call.tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call.input)}
            yield from _block(index, block, delta)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", {"delta": end, "usage": message["usage"]})
        yield _event("message_stop", {})

    def failure(self, fault: Fault) -> Failure:
        status, kind, message = _ANTHROPIC[fault.kind]
        body = {"type": "error", "error": {"type": kind, "message": message}}
        return Failure(status, body, _retry_after(fault))


class Gemini:
    def whole(self, step: Step, call: Call | None, model: str) -> Json:
        parts: list[Json] = [{"text": step.say}] if step.say or call is None else []
        if call is not None:
            parts.append({"functionCall": {"name": call.tool, "args": call.input}})
        content = {"role": "model", "parts": parts}
        usage = {
            "promptTokenCount": step.tokens_in, "candidatesTokenCount": step.tokens_out,
            "totalTokenCount": step.tokens_in + step.tokens_out,
        }  # fmt: skip
        return {
            "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
            "modelVersion": model, "responseId": _id("resp"), "usageMetadata": usage,
        }  # fmt: skip

    def events(self, step: Step, call: Call | None, model: str) -> Iterator[bytes]:
        yield _sse(self.whole(step, call, model))

    def failure(self, fault: Fault) -> Failure:
        status, kind, message = _GEMINI[fault.kind]
        details: list[Json] = []
        if fault.kind == "auth_failed":
            at = "type.googleapis.com/google.rpc.ErrorInfo"
            details.append({"@type": at, "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
        if fault.retry_after is not None:
            at = "type.googleapis.com/google.rpc.RetryInfo"
            details.append({"@type": at, "retryDelay": f"{fault.retry_after}s"})
        error = {"code": status, "message": message, "status": kind, "details": details}
        return Failure(status, {"error": error}, {})


def _id(kind: str) -> str:
    """Agents put together what carries the same one."""
    return f"{kind}_{uuid.uuid4().hex}"


def _openai_failure(fault: Fault) -> Failure:
    status, code, message = _OPENAI[fault.kind]
    error = {"message": message, "type": code, "param": None, "code": code}
    return Failure(status, {"error": error}, _retry_after(fault))


def _completion(model: str) -> Json:
    return {"id": _id("chatcmpl"), "object": "chat.completion", "created": 1, "model": model}


def _openai_usage(step: Step) -> Json:
    return {
        "prompt_tokens": step.tokens_in, "completion_tokens": step.tokens_out,
        "total_tokens": step.tokens_in + step.tokens_out,
    }  # fmt: skip


def _named(call: Call) -> Json:
    return {"name": call.tool, "arguments": json.dumps(call.input)}


def _reason(call: Call | None) -> str:
    return "stop" if call is None else "tool_calls"


def _retry_after(fault: Fault) -> Mapping[str, str]:
    return {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}


def _block(index: int, block: Json, delta: Json) -> Iterator[bytes]:
    place = {"index": index}
    yield _event("content_block_start", {**place, "content_block": block})
    yield _event("content_block_delta", {**place, "delta": delta})
    yield _event("content_block_stop", place)


def _event(kind: str, body: Json) -> bytes:
    return _sse({"type": kind, **body}, kind)


def _sse(body: Json, event: str = "") -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(body)}\n\n".encode()
