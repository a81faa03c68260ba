"""Claude Code, by its stream of JSON lines: acknowledged messages, retries and reset times."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from protocol.failure import FailureKind, Signal, classify
from spoke.agents.agent import Kept, Plan, Signs
from spoke.agents.tongue import (
    Accepted,
    Asked,
    Compacted,
    Denied,
    Event,
    Held,
    Ready,
    Reply,
    Start,
    Text,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
    Withdrawn,
    as_int,
    as_number,
    as_object,
    as_objects,
    as_text,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.ops.wire import StartOrder
    from spoke.agents.tongue import AfterDenial, Json, Settlement
    from spoke.core.permitting import Kind

PASSES: Final = frozenset(
    {
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL",
        "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_MAX_RETRIES", "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CONFIG_DIR", "IS_SANDBOX",
    }
)  # fmt: skip

#: Not its snapshots of a shell, which others read in: it does without.
KEEPS: Final = (
    Kept(
        "CLAUDE_CONFIG_DIR",
        ".claude",
        folders=(
            "backups", "cache", "debug", "file-history", "plans", "projects", "sessions",
            "statsig", "tasks", "telemetry", "todos",
        ),
        files=(".credentials.json", "history.jsonl", "stats-cache.json"),
    ),
)  # fmt: skip

_QUIET: Final = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}

#: The settings, hooks and MCP servers of the repository are not loaded: it may be anybody's.
_UNTRUSTING: Final = ("--setting-sources", "user", "--strict-mcp-config")

_SPEECH: Final = (
    "--print", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose",
    "--permission-prompt-tool", "stdio",
)  # fmt: skip

_KINDS: Final[Mapping[str, Kind]] = {
    "Bash": "run", "Edit": "edit", "MultiEdit": "edit", "NotebookEdit": "edit", "Write": "edit",
    "Glob": "read", "Grep": "read", "LS": "read", "NotebookRead": "read", "Read": "read",
    "WebFetch": "fetch", "WebSearch": "fetch",
}  # fmt: skip
_WHAT: Final = ("command", "url", "query", "file_path", "notebook_path", "path", "description")
_PATHS: Final = ("file_path", "notebook_path", "path")

#: Before each tool it asks this hook, which sends it on to ask: else it would only ask of some.
_HOOK: Final = "coord"


class Claude:
    program = "claude"
    signs = Signs(
        frozenset(
            {
                "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",
            }
        ),
        [(KEEPS[0], ".credentials.json")],
    )  # fmt: skip

    def plan(self, order: StartOrder, key: str) -> Plan:
        """Its session id is ours to choose, so that it is known before the first word."""
        resume = order.agent_session_id is not None
        id = order.agent_session_id or str(uuid.uuid5(uuid.NAMESPACE_OID, key))
        chosen = ("--resume", id) if resume else ("--session-id", id)
        mode = ("--permission-mode", "default" if order.permissions else "bypassPermissions")
        model = ("--model", order.model) if order.model else ()
        role = ("--append-system-prompt", order.instructions) if order.instructions else ()
        argv = [
            order.command or self.program, *_SPEECH, *mode, *_UNTRUSTING, *chosen, *model, *role,
            *order.args,
        ]  # fmt: skip
        return Plan(
            argv, _QUIET, "open", PASSES, "claude", id, resume, instructed=True, keeps=KEEPS,
            held_env={"IS_SANDBOX": "1"},
        )  # fmt: skip


class ClaudeTongue:
    after_denial: AfterDenial = "hears"

    def __init__(self, start: Start) -> None:
        self._session_id = start.agent_session_id or ""
        self._asks = start.asks
        self._asked: dict[str, Json] = {}  #: id of a request -> the input it asks about
        self._says: dict[str, str] = {}  #: the uuid of a line -> the message it carries
        self._controls = 0
        self._context_used = 0
        self._retry_at: int | None = None

    def open(self) -> Sequence[str]:
        hook = {"matcher": None, "hookCallbackIds": [_HOOK]}
        hooks = {"hooks": {"PreToolUse": [hook]}} if self._asks else {}
        return [self._control({"subtype": "initialize", **hooks})]

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        self._retry_at = None
        return self.steer(text, message_id)

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        """Under a uuid, so that it hears no message twice, also when it is resumed. What the order
        says has none: it may well be the same words each time."""
        named: dict[str, object] = {}
        if message_id:
            id = named["uuid"] = str(uuid.uuid5(uuid.NAMESPACE_OID, message_id))
            self._says[id] = message_id
        message = {"role": "user", "content": text}
        return [encode({"type": "user", **named, "priority": "next", "message": message})]

    def cancel(self) -> Sequence[str]:
        """What it was told meanwhile and has not begun with would run next: that too is ended."""
        return [self._control({"subtype": "interrupt", "cancel_queued": True})]

    def answer(self, id: str, settlement: Settlement, why: str) -> Sequence[str]:
        given = self._asked.pop(id, {})
        if settlement == "allow":
            return [_response(id, {"behavior": "allow", "updatedInput": given})]
        refusal = {"behavior": "deny", "message": why, "interrupt": settlement == "cancel"}
        return [_response(id, refusal)]

    def read(self, line: str, now: int) -> Sequence[Event]:
        said = decode(line)
        match said.get("type"):
            case "control_response":
                return self._answered(as_object(said.get("response")))
            case "control_request" if "request" in said:
                return self._asked_for(as_text(said.get("request_id")), as_object(said["request"]))
            case "control_cancel_request":
                return [Withdrawn(as_text(said.get("request_id")))]
            case "command_lifecycle" if said.get("state") == "started":
                id = self._says.get(as_text(said.get("command_uuid")))
                return [] if id is None else [Accepted(id)]
            case "assistant":
                return self._assistant(as_object(said.get("message")))
            case "user":
                return _tool_results(as_object(said.get("message")))
            case "system":
                return self._system(said, now)
            case "rate_limit_event":
                return self._limit(as_object(said.get("rate_limit_info")))
            case "result":
                return [*_denials(said), self._usage(said), self._ended(said)]
            case _:
                return []

    def _control(self, request: Json) -> str:
        self._controls += 1
        id = f"coord-{self._controls}"
        return encode({"type": "control_request", "request_id": id, "request": request})

    def _answered(self, response: Json) -> list[Event]:
        if response.get("request_id") != "coord-1":
            return []
        if response.get("subtype") == "success":
            return [Ready(self._session_id)]
        text = as_text(response.get("error"))
        return [TurnEnded("failed", classify(Signal(text=text)))]

    def _asked_for(self, id: str, request: Json) -> list[Event]:
        match request.get("subtype"):
            case "can_use_tool":
                tool, given = as_text(request.get("tool_name")), as_object(request.get("input"))
                self._asked[id] = given
                what = next((text for key in _WHAT if (text := as_text(given.get(key)))), tool)
                paths = [path for key in _PATHS if (path := as_text(given.get(key)))]
                kind = _KINDS.get(tool) or "other"
                return [Asked(id, kind, tool, what, paths or ([] if kind != "read" else ["."]))]
            case "hook_callback":
                said = {"hookEventName": "PreToolUse", "permissionDecision": "ask"}
                return [Reply(_response(id, {"hookSpecificOutput": said}))]
            case _:
                response = {"subtype": "error", "request_id": id, "error": "not supported"}
                return [Reply(encode({"type": "control_response", "response": response}))]

    def _assistant(self, message: Json) -> list[Event]:
        usage = as_object(message.get("usage"))
        parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        used = sum(as_int(usage.get(part)) for part in parts) + as_int(usage.get("output_tokens"))
        self._context_used = used or self._context_used
        events: list[Event] = []
        for block in as_objects(message.get("content")):
            if block.get("type") == "text" and message.get("model") != "<synthetic>":
                events.append(Text(as_text(block.get("text"))))
            elif block.get("type") == "tool_use":
                events.append(ToolStarted(as_text(block.get("id")), _title(block)))
        return events

    def _system(self, said: Json, now: int) -> list[Event]:
        match said.get("subtype"):
            case "api_retry":
                return [self._retry(said, now)]
            case "compact_boundary":
                return [Compacted()]
            case _:
                return []

    def _retry(self, said: Json, now: int) -> Held:
        until = now + as_int(said.get("retry_delay_ms"))
        self._retry_at = until
        return Held(as_text(said.get("error")) or "retrying", until)

    def _limit(self, info: Json) -> list[Event]:
        if info.get("status") != "rejected":
            return []
        self._retry_at = as_int(info.get("resetsAt")) * 1_000 or None
        return [Held(as_text(info.get("rateLimitType")) or "rate_limit", self._retry_at)]

    def _usage(self, result: Json) -> Usage:
        usage = as_object(result.get("usage"))
        models = as_object(result.get("modelUsage"))
        model = next(iter(models), None)
        size = as_int(as_object(models.get(model or "")).get("contextWindow"))
        parts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return Usage(
            sum(as_int(usage.get(part)) for part in parts),
            as_int(usage.get("output_tokens")),
            as_number(result.get("total_cost_usd")),
            self._context_used or None,
            size or None,
            model,
        )

    def _ended(self, result: Json) -> TurnEnded:
        """`subtype` is success, and the exit code 0, when it failed as well."""
        reason = as_text(result.get("terminal_reason"))
        if reason.startswith("aborted_"):
            return TurnEnded("aborted")
        if result.get("is_error") is not True:
            return TurnEnded("completed")
        status = as_int(result.get("api_error_status")) or None
        errors = result.get("errors")
        text = as_text(result.get("result")) or (str(errors) if errors else reason)
        word = "" if reason == "api_error" else reason
        failure = classify(Signal(word, status, text))
        if failure.kind is FailureKind.RATE_LIMITED:
            failure = failure._replace(retry_at=self._retry_at)
        return TurnEnded("failed", failure)


def _response(id: str, said: Json) -> str:
    response = {"subtype": "success", "request_id": id, "response": said}
    return encode({"type": "control_response", "response": response})


def _denials(result: Json) -> list[Event]:
    denials = as_objects(result.get("permission_denials"))
    return [Denied(as_text(one.get("tool_name"))) for one in denials]


def _title(block: Json) -> str:
    given = as_object(block.get("input"))
    what = as_text(given.get("command")) or as_text(given.get("file_path"))
    return f"{block.get('name')}: {what}" if what else str(block.get("name"))


def _tool_results(message: Json) -> list[Event]:
    return [
        ToolEnded(as_text(block.get("tool_use_id")), block.get("is_error") is not True)
        for block in as_objects(message.get("content"))
        if block.get("type") == "tool_result"
    ]
