"""A model request of any of the four formats, read into the few facts that the script needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from tests.support.scripted.script import is_script

Json = Mapping[str, object]


@dataclass(slots=True)
class Asked:
    stream: bool
    model: str = ""
    script: str = ""  #: the last script that the user said
    calls: int = 0  #: answers with tool calls since then
    tools: dict[str, Json] = field(default_factory=dict[str, Json])

    def user(self, texts: Iterable[str]) -> None:
        """What carries no script was said by the agent's own harness, in the user's name."""
        for text in texts:
            if is_script(text):
                self.script, self.calls = text, 0

    def assistant(self, *, called: bool) -> None:
        self.calls += called


def openai_chat(body: Json) -> Asked:
    asked = Asked(stream=bool(body.get("stream")), model=str(body.get("model")))
    for message in _objects(body.get("messages")):
        if message.get("role") == "user":
            asked.user(_texts(message.get("content")))
        elif message.get("role") == "assistant":
            asked.assistant(called=bool(message.get("tool_calls")))
    for tool in _objects(body.get("tools")):
        function = _object(tool.get("function"))
        asked.tools[str(function.get("name"))] = _object(function.get("parameters"))
    return asked


def openai_responses(body: Json) -> Asked:
    asked = Asked(stream=bool(body.get("stream")), model=str(body.get("model")))
    was_call = False
    for item in _objects(body.get("input")):
        is_call = str(item.get("type")).endswith("_call")
        if item.get("role") == "user":
            asked.user(_texts(item.get("content")))
        elif is_call and not was_call:  # calls of one answer count once
            asked.assistant(called=True)
        was_call = is_call
    for tool in _objects(body.get("tools")):
        asked.tools[str(tool.get("name"))] = _object(tool.get("parameters"))
    return asked


def anthropic(body: Json) -> Asked:
    asked = Asked(stream=bool(body.get("stream")), model=str(body.get("model")))
    for message in _objects(body.get("messages")):
        blocks = _objects(message.get("content"))
        if message.get("role") == "assistant":
            asked.assistant(called=any(block.get("type") == "tool_use" for block in blocks))
        else:
            asked.user(_texts(message.get("content")))
    for tool in _objects(body.get("tools")):
        asked.tools[str(tool.get("name"))] = _object(tool.get("input_schema"))
    return asked


def gemini(body: Json, model: str, *, stream: bool) -> Asked:
    asked = Asked(stream=stream, model=model)
    for content in _objects(body.get("contents")):
        parts = _objects(content.get("parts"))
        if content.get("role") == "model":
            asked.assistant(called=any("functionCall" in part for part in parts))
        else:
            asked.user(_texts(content.get("parts")))
    for group in _objects(body.get("tools")):
        for one in _objects(group.get("functionDeclarations")):
            asked.tools[str(one.get("name"))] = _object(one.get("parametersJsonSchema"))
    return asked


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [text for part in _objects(content) if isinstance(text := part.get("text"), str)]


def _objects(value: object) -> Sequence[Json]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [_object(one) for one in found]


def _object(value: object) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}
