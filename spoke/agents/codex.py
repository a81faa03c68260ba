"""codex, by its app-server: typed errors, steering, and the tokens of each answer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from protocol.failure import Signal, classify
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

PASSES: Final = frozenset(
    {"AZURE_OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
)

#: Its databases lie in the folder itself, where it could then make anything: they are put into one.
#: Not its snapshots of a shell and its own commands, which others run: it does without.
KEEPS: Final = (
    Kept(
        "CODEX_HOME",
        ".codex",
        folders=("archived_sessions", "log", "sessions", "sqlite", "thread-writer-locks"),
        files=("auth.json", "history.jsonl", "models_cache.json", "version.json"),
        made=("installation_id",),
        told={"CODEX_SQLITE_HOME": "sqlite"},
    ),
)

_DECISIONS: Final[Mapping[Settlement, str]] = {
    "allow": "accept", "deny": "decline", "cancel": "cancel",
}  # fmt: skip
_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash"})


class Codex:
    program = "codex"
    signs = Signs(
        frozenset({"AZURE_OPENAI_API_KEY", "CODEX_API_KEY", "OPENAI_API_KEY"}),
        [(KEEPS[0], "auth.json")],
    )

    def plan(self, order: StartOrder, key: str) -> Plan:
        argv = [order.command or self.program, "app-server", *order.args]
        id = order.agent_session_id
        return Plan(
            argv, {}, "open", PASSES, "codex", id, id is not None, instructed=True, keeps=KEEPS
        )


class CodexTongue:
    after_denial: AfterDenial = "goes on"

    def __init__(self, start: Start) -> None:
        self._start = start
        self._thread = start.agent_session_id or ""
        self._turn = ""
        self._asked: dict[int, tuple[str, str]] = {}  #: id of a request -> method, message
        self._last_id = 0
        self._changes: dict[str, list[str]] = {}  #: id of a file change -> its paths
        self._approvals: dict[str, object] = {}  #: as text -> the id that it gave a question
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

    def answer(self, id: str, settlement: Settlement, why: str) -> Sequence[str]:
        """It has no words for why."""
        result = {"decision": _DECISIONS[settlement]}
        return [encode({"id": self._approvals.pop(id, id), "result": result})]

    def read(self, line: str, now: int) -> Sequence[Event]:
        said = decode(line)
        match said:
            case {"method": str(method), "id": int() | str()}:
                return [self._asked_for(method, said, as_object(said.get("params")))]
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
            "approvalPolicy": "untrusted" if self._start.asks else "never",
            "sandbox": "danger-full-access",
        }
        if self._start.model:
            params["model"] = self._start.model
        if self._start.instructions:
            params["developerInstructions"] = self._start.instructions
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
            case "serverRequest/resolved":
                return self._resolved(str(params.get("requestId")))
            case "item/started" | "item/completed":
                self._note_changes(as_object(params.get("item")))
                return _item(as_object(params.get("item")), done=method == "item/completed")
            case "thread/tokenUsage/updated":
                return [_usage(as_object(params.get("tokenUsage")))]
            case "error" if params.get("willRetry") is True:
                failure = classify(_signal(as_object(params.get("error"))))
                return [Held(failure.message)]
            case _:
                return []

    def _asked_for(self, method: str, request: Json, params: Json) -> Event:
        id = str(request.get("id"))
        self._approvals[id] = request.get("id")
        match method:
            case "item/commandExecution/requestApproval":
                return Asked(id, "run", "shell", _command(as_text(params.get("command"))))
            case "item/fileChange/requestApproval":
                paths = self._changes.get(as_text(params.get("itemId")), [])
                return Asked(id, "edit", "apply_patch", ", ".join(paths) or "files", paths)
            case _:
                del self._approvals[id]
                error = {"code": -32601, "message": "not supported"}
                return Reply(encode({"id": request.get("id"), "error": error}))

    def _resolved(self, id: str) -> list[Event]:
        """Answered, or its turn is over."""
        return [Withdrawn(id)] if self._approvals.pop(id, None) is not None else []

    def _note_changes(self, item: Json) -> None:
        if item.get("type") == "fileChange":
            changes = as_objects(item.get("changes"))
            self._changes[as_text(item.get("id"))] = [as_text(one.get("path")) for one in changes]


def _command(text: str) -> str:
    """It starts a shell for each command, and asks for the whole of that."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    match words:
        case [shell, "-c" | "-lc", script] if shell.rpartition("/")[2] in _SHELLS:
            return script
        case _:
            return text


def _item(item: Json, *, done: bool) -> list[Event]:
    id = as_text(item.get("id"))
    match item.get("type"):
        case "contextCompaction" if done:
            return [Compacted()]
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
