"""Any agent that speaks the Agent Client Protocol on its standard input and output.

What differs from agent to agent is in its `Profile`. The whole text of a message is told when the
agent turns to something else, not each piece of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from protocol.failure import Failure, FailureKind, Signal, classify
from spoke.agents.pieces import Pieces
from spoke.agents.tongue import (
    Asked,
    Denied,
    Event,
    Ready,
    Reply,
    Start,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
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

    from spoke.agents.profile import Profile
    from spoke.agents.tongue import AfterDenial, Json, Settlement
    from spoke.core.permitting import Kind

_DENIED: Final = re.compile(r"permission|denied|not allowed|rejected", re.IGNORECASE)


_KINDS: Final[Mapping[str, Kind]] = {
    "execute": "run", "edit": "edit", "delete": "edit", "move": "edit", "read": "read",
    "search": "read", "fetch": "fetch",
}  # fmt: skip
_OPTIONS: Final[Mapping[Settlement, Sequence[str]]] = {
    "allow": ("allow_once", "allow_always"), "deny": ("reject_once", "reject_always"), "cancel": (),
}  # fmt: skip


class AcpTongue:
    def __init__(self, profile: Profile, start: Start) -> None:
        self._profile = profile
        self._start = start
        self._session_id = start.agent_session_id or ""
        self._version = ""
        self._asked: dict[int, tuple[str, str]] = {}  #: id of a request -> method, message
        self._last_id = 0
        self._turns: set[int] = set()  #: prompts without an answer
        self._tools: set[str] = set()  #: that were told as started in this turn
        self._failed: TurnEnded | None = None
        self._options: dict[str, tuple[object, Mapping[str, str]]] = {}  #: of open questions
        self._replaying = False
        self._said = Pieces()
        self._cost: float | None = None
        self._context: tuple[int | None, int | None] = (None, None)

    @property
    def after_denial(self) -> AfterDenial:
        return self._profile.after_denial

    def open(self) -> Sequence[str]:
        able = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
        params = {"protocolVersion": 1, "clientCapabilities": able}
        return [self._request("initialize", params)]

    def prompt(self, text: str, message_id: str) -> Sequence[str]:
        self._failed = None
        self._tools.clear()
        return self._prompt(text, message_id)

    def steer(self, text: str, message_id: str) -> Sequence[str]:
        return self._prompt(text, message_id) if self._profile.folds else []

    def cancel(self) -> Sequence[str]:
        params = {"sessionId": self._session_id}
        return [encode({"jsonrpc": "2.0", "method": "session/cancel", "params": params})]

    def answer(self, id: str, settlement: Settlement, why: str) -> Sequence[str]:
        asked, options = self._options.pop(id, (id, {}))
        chosen = next((options[one] for one in _OPTIONS[settlement] if one in options), None)
        outcome = (
            {"outcome": "selected", "optionId": chosen} if chosen else {"outcome": "cancelled"}
        )
        return [encode({"jsonrpc": "2.0", "id": asked, "result": {"outcome": outcome}})]

    def read(self, line: str, now: int) -> Sequence[Event]:
        said = decode(line)
        match said:
            case {"method": "session/update", "params": dict()}:
                return self._update(as_object(as_object(said["params"]).get("update")))
            case {"method": str(), "id": int() | str()}:
                return [*self._said.whole(), *self._asked_for(said)]
            case {"id": int(id)} if id in self._asked:
                return self._answered(id, *self._asked.pop(id), said)
            case {"method": str(method), "params": dict()}:
                return self._heard(method, as_object(said["params"]))
            case _:
                return []

    def _heard(self, method: str, params: Json) -> Sequence[Event]:
        """A notification that the protocol does not know."""
        return []

    def _failure(self, error: Json) -> Failure:
        """Why a prompt was answered with an error."""
        return classify(_signal(error))

    def _request(self, method: str, params: Json, message_id: str = "") -> str:
        self._last_id += 1
        self._asked[self._last_id] = (method, message_id)
        return encode({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})

    def _prompt(self, text: str, message_id: str) -> list[str]:
        prompt = [{"type": "text", "text": text}]
        params = {"sessionId": self._session_id, "prompt": prompt}
        line = self._request("session/prompt", params, message_id)
        self._turns.add(self._last_id)
        return [line]

    def _answered(self, id: int, method: str, message_id: str, said: Json) -> list[Event]:
        error = as_object(said.get("error"))
        result = as_object(said.get("result"))
        if method == "session/prompt":
            return self._turn_ended(id, message_id, result, error)
        if error:
            return [TurnEnded("failed", classify(_signal(error)))]
        match method:
            case "initialize":
                info = as_object(result.get("agentInfo"))
                self._version = as_text(info.get("version"))
                return self._begin(as_object(result.get("agentCapabilities")))
            case "session/set_mode":
                return [self._ready()]
            case _:
                self._session_id = as_text(result.get("sessionId")) or self._session_id
                if self._profile.mode is None:
                    return [self._ready()]
                params = {"sessionId": self._session_id, "modeId": self._profile.mode}
                return [Reply(self._request("session/set_mode", params))]

    def _begin(self, able: Json) -> list[Event]:
        params: dict[str, object] = {"cwd": self._start.cwd, "mcpServers": []}
        if not self._start.resume:
            return [Reply(self._request("session/new", params))]
        if (method := self._profile.resume or _resumes_by(able)) is None:
            lost = "it cannot take up a conversation again"
            return [TurnEnded("failed", Failure(FailureKind.CONVERSATION_LOST, lost))]
        self._replaying = True
        return [Reply(self._request(method, {**params, "sessionId": self._session_id}))]

    def _ready(self) -> Ready:
        self._replaying = False
        self._said.whole()
        return Ready(self._session_id, self._version)

    def _turn_ended(self, id: int, message_id: str, result: Json, error: Json) -> list[Event]:
        """With what was folded in, several prompts make one turn: the last answer ends it."""
        self._turns.discard(id)
        events: list[Event] = [*self._said.whole(), self._usage(result)]
        ended = TurnEnded("aborted" if result.get("stopReason") == "cancelled" else "completed")
        if error:
            ended = TurnEnded("failed", self._failure(error))
        self._failed = self._failed or (ended if error else None)
        if self._turns:
            return events
        return [*events, self._failed or ended]

    def _update(self, update: Json) -> list[Event]:
        if self._replaying:  # a resumed conversation is told again from its beginning
            return []
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                piece = as_text(as_object(update.get("content")).get("text"))
                return [*self._said.add(piece, as_text(update.get("messageId")))]
            case "tool_call":
                return [*self._said.whole(), *self._tool_started(update)]
            case "tool_call_update" if update.get("status") in ("completed", "failed"):
                return [*self._said.whole(), *_tool_ended(update)]
            case "usage_update":
                cost = as_number(as_object(update.get("cost")).get("amount"))
                self._cost = self._cost if cost is None else cost
                used, size = as_int(update.get("used")), as_int(update.get("size"))
                self._context = (used or self._context[0], size or None)
                return []
            case _:
                return []

    def _tool_started(self, call: Json) -> list[Event]:
        id = as_text(call.get("toolCallId"))
        if id in self._tools:
            return []
        self._tools.add(id)
        return [ToolStarted(id, as_text(call.get("title")))]

    def _asked_for(self, request: Json) -> list[Event]:
        """Some tell of a tool only by asking. What else it wants of a client, we do not have."""
        params = as_object(request.get("params"))
        if request.get("method") != "session/request_permission":
            error = {"code": -32601, "message": "not supported"}
            return [Reply(encode({"jsonrpc": "2.0", "id": request.get("id"), "error": error}))]
        call, id = as_object(params.get("toolCall")), str(request.get("id"))
        options = as_objects(params.get("options"))
        kinds = {as_text(one.get("kind")): as_text(one.get("optionId")) for one in options}
        self._options[id] = (request.get("id"), kinds)
        return [*(self._tool_started(call) if call else []), _asked(id, call)]

    def _usage(self, result: Json) -> Usage:
        usage = as_object(result.get("usage"))
        quota = as_object(as_object(result.get("_meta")).get("quota"))
        count = as_object(quota.get("token_count"))
        models = as_objects(quota.get("model_usage"))
        return Usage(
            as_int(usage.get("inputTokens")) + as_int(count.get("input_tokens")),
            as_int(usage.get("outputTokens")) + as_int(count.get("output_tokens")),
            self._cost,
            *self._context,
            as_text(models[0].get("model")) if models else None,
        )


def _resumes_by(able: Json) -> str | None:
    """By what it says of itself; to load tells the whole conversation again, which is left out."""
    if "resume" in as_object(able.get("sessionCapabilities")):
        return "session/resume"
    return "session/load" if able.get("loadSession") is True else None


def _tool_ended(update: Json) -> list[Event]:
    id, title = as_text(update.get("toolCallId")), as_text(update.get("title"))
    ok = update.get("status") == "completed"
    texts = [
        as_text(as_object(one.get("content")).get("text"))
        for one in as_objects(update.get("content"))
    ]
    denied = not ok and any(_DENIED.search(text) for text in texts)
    return [*([Denied(title)] if denied else []), ToolEnded(id, ok, title)]


def _asked(id: str, call: Json) -> Asked:
    kind = _KINDS.get(as_text(call.get("kind"))) or "other"
    title, given = as_text(call.get("title")), as_object(call.get("rawInput"))
    what = as_text(given.get("command")) or as_text(given.get("url")) or title
    places = [as_text(one.get("path")) for one in as_objects(call.get("locations"))]
    named = as_text(given.get("filePath")) or as_text(given.get("filepath"))
    paths = [path for path in (places or [named]) if path]
    return Asked(id, kind, as_text(call.get("kind")), what, paths if kind != "run" else ())


def _signal(error: Json) -> Signal:
    """Gemini CLI gives the HTTP status as the code, and the provider's whole answer as text."""
    code = as_int(error.get("code"))
    text = as_text(error.get("message"))
    inner = as_text(as_object(decode(text).get("error")).get("message"))
    details = as_text(as_object(error.get("data")).get("details"))
    return Signal("", code if 400 <= code < 600 else None, " ".join((inner or text, details)))
