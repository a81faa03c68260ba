"""codex, by its app-server: typed errors, steering, and the tokens of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.failure import Signal, classify
from spoke.agents.agent import Plan
from spoke.agents.tongue import (
    Accepted,
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
    as_int,
    as_object,
    as_text,
    decode,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.ops.wire import StartOrder
    from spoke.agents.tongue import Json

PASSES: Final = frozenset(
    {"AZURE_OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
)

_DECISIONS: Final = {
    "item/commandExecution/requestApproval": "accept",
    "item/fileChange/requestApproval": "accept",
}


class Codex:
    program = "codex"

    def plan(self, order: StartOrder, key: str) -> Plan:
        argv = [order.command or self.program, "app-server", *order.args]
        id = order.agent_session_id
        return Plan(argv, {}, "open", PASSES, "codex", id, id is not None)


class CodexTongue:
    def __init__(self, start: Start) -> None:
        self._start = start
        self._thread = start.agent_session_id or ""
        self._turn = ""
        self._asked: dict[int, tuple[str, str]] = {}  #: id of a request -> method, message
        self._last_id = 0
        self._version = ""
        self._cancelled = False

    def open(self) -> Sequence[str]:
        params = {
            "clientInfo": {"name": "coord", "title": "coord", "version": "1"},
            "capabilities": {"experimentalApi": True},
        }
        return [self._request("initialize", params)]

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        self._cancelled = False
        params = {"threadId": self._thread, "input": [{"type": "text", "text": text}]}
        return [self._request("turn/start", params, message_id)]

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        if not self._turn:
            return []
        given = [{"type": "text", "text": text}]
        params = {"threadId": self._thread, "expectedTurnId": self._turn, "input": given}
        return [self._request("turn/steer", params, message_id)]

    def cancel(self) -> Sequence[str]:
        """The command that runs would go on: its terminal is ended with the turn."""
        if not self._turn:
            self._cancelled = True  # as soon as the turn is known
            return []
        params = {"threadId": self._thread, "turnId": self._turn}
        clean = {"threadId": self._thread}
        return [
            self._request("turn/interrupt", params),
            self._request("thread/backgroundTerminals/clean", clean),
        ]

    def read(self, line: str, now: int) -> Sequence[Event]:
        said = decode(line)
        match said:
            case {"method": str(method), "id": int() | str()}:
                return [_answer(method, said)]
            case {"method": str(method), "params": dict()}:
                return self._heard(method, as_object(said["params"]))
            case {"id": int(id)} if id in self._asked:
                return self._answered(*self._asked.pop(id), said)
            case _:
                return []

    def _request(self, method: str, params: Json, message_id: str = "") -> str:
        self._last_id += 1
        self._asked[self._last_id] = (method, message_id)
        return encode({"id": self._last_id, "method": method, "params": params})

    def _answered(self, method: str, message_id: str, said: Json) -> list[Event]:
        error = as_object(said.get("error"))
        result = as_object(said.get("result"))
        match method:
            case "turn/interrupt" | "thread/backgroundTerminals/clean" | "turn/steer" if error:
                return []  # the turn was over already; its end is told by itself
            case _ if error:
                return [TurnEnded("failed", classify(Signal(text=as_text(error.get("message")))))]
            case "initialize":
                self._version = _version(as_text(result.get("userAgent")))
                return [Reply(encode({"method": "initialized"})), Reply(self._begin())]
            case "thread/start" | "thread/resume":
                thread = as_object(result.get("thread"))
                self._thread = as_text(thread.get("id")) or self._thread
                return [Ready(self._thread, self._version)]
            case "turn/start" | "turn/steer":
                return [Accepted(message_id)]
            case _:
                return []

    def _begin(self) -> str:
        """Its sandbox does not let git commit in a linked worktree, so that it gets none here."""
        params: dict[str, object] = {
            "cwd": self._start.cwd,
            "approvalPolicy": "never",
            "sandbox": "danger-full-access",
        }
        if not self._start.resume:
            return self._request("thread/start", params)
        return self._request("thread/resume", {**params, "threadId": self._thread})

    def _heard(self, method: str, params: Json) -> list[Event]:
        match method:
            case "turn/started":
                self._turn = as_text(as_object(params.get("turn")).get("id"))
                return [Reply(line) for line in self.cancel()] if self._cancelled else []
            case "turn/completed":
                self._turn = ""
                return [_ended(as_object(params.get("turn")))]
            case "item/started" | "item/completed":
                return _item(as_object(params.get("item")), done=method == "item/completed")
            case "thread/tokenUsage/updated":
                return [_usage(as_object(params.get("tokenUsage")))]
            case "error" if params.get("willRetry") is True:
                failure = classify(_signal(as_object(params.get("error"))))
                return [Held(failure.message)]
            case _:
                return []


def _answer(method: str, request: Json) -> Event:
    decision = _DECISIONS.get(method)
    if decision is not None:
        return Reply(encode({"id": request.get("id"), "result": {"decision": decision}}))
    error = {"code": -32601, "message": "not supported"}
    return Reply(encode({"id": request.get("id"), "error": error}))


def _item(item: Json, *, done: bool) -> list[Event]:
    id = as_text(item.get("id"))
    match item.get("type"):
        case "agentMessage" if done:
            return [Text(as_text(item.get("text")))]
        case "commandExecution" | "fileChange" | "mcpToolCall" as kind:
            title = as_text(item.get("command")) or str(kind)
            if item.get("status") == "declined":
                return [Denied(title), ToolEnded(id, False, title)]
            ok = item.get("status") == "completed" and as_int(item.get("exitCode")) == 0
            return [ToolEnded(id, ok, title)] if done else [ToolStarted(id, title)]
        case _:
            return []


def _usage(usage: Json) -> Usage:
    """After an overflow it counts a full window as used, without tokens in or out."""
    last = as_object(usage.get("last"))
    return Usage(
        as_int(last.get("inputTokens")),
        as_int(last.get("outputTokens")),
        None,
        as_int(last.get("totalTokens")) or None,
        as_int(usage.get("modelContextWindow")) or None,
    )


def _ended(turn: Json) -> TurnEnded:
    match turn.get("status"):
        case "completed":
            return TurnEnded("completed")
        case "interrupted":
            return TurnEnded("aborted")
        case _:
            return TurnEnded("failed", classify(_signal(as_object(turn.get("error")))))


def _signal(error: Json) -> Signal:
    """`codexErrorInfo` is a word, or a word with an object that holds the HTTP status."""
    info = error.get("codexErrorInfo")
    more = as_text(error.get("additionalDetails"))
    text = more or as_text(error.get("message"))
    if isinstance(info, str):
        return Signal(info, None, text)
    status = next((as_object(one).get("httpStatusCode") for one in as_object(info).values()), None)
    return Signal("", as_int(status) or None, text)


def _version(user_agent: str) -> str:
    """`coord/0.169.0 (Debian ...)`: our name, its version."""
    return user_agent.partition("/")[2].partition(" ")[0]
