"""The scripted model on HTTP: one port for all four formats, and a log of what was asked."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from tests.support.scripted import asked as reading
from tests.support.scripted.asked import Asked, Json
from tests.support.scripted.script import Step, step_at, words_of
from tests.support.scripted.wires import (
    Anthropic,
    Call,
    Gemini,
    OpenAIChat,
    OpenAIResponses,
    Wire,
)

#: The input of each agent's shell tool, by the tool's name.
_SHELLS = {
    "bash": "command",  # opencode
    "Bash": "command",  # Claude Code
    "run_shell_command": "command",  # Gemini CLI
    "exec_command": "cmd",  # codex
    "shell_command": "command",  # codex, where it has no terminals
}


@dataclass(slots=True)
class Request:
    path: str
    script: str = ""
    served: str = ""  #: ok, side (offers no tools), or the fault
    ended: str = "open"  #: whole, or gone: the agent hung up, as it does when a turn is ended
    key: str = ""  #: the credential that came with it


@dataclass(slots=True)
class ScriptedModel:
    url: str = ""
    requests: list[Request] = field(default_factory=list[Request])
    _served: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    _ids: itertools.count[int] = field(default_factory=itertools.count)
    _open: dict[asyncio.StreamWriter, asyncio.Task[None]] = field(
        default_factory=dict[asyncio.StreamWriter, asyncio.Task[None]]
    )

    def served(self, word: str) -> list[Request]:
        """The requests whose script holds ``word``."""
        return [one for one in self.requests if word in one.script]

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open[writer] = cast("asyncio.Task[None]", asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            path, headers, body = await _read(reader)
            request = Request(path, key=_key(headers))
            self.requests.append(request)
            playing = asyncio.create_task(self._answer(request, body, writer))
            leaving = asyncio.create_task(reader.read(1))  # nothing more comes: they hung up
            done, _ = await asyncio.wait({playing, leaving}, return_when="FIRST_COMPLETED")
            request.ended = "whole" if playing in done else "gone"
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
        writer.close()
        del self._open[writer]

    async def aclose(self) -> None:
        """Hang up on whoever still listens: an agent that a failed test left behind."""
        left = dict(self._open)
        for writer in left:
            writer.transport.abort()
        await asyncio.gather(*left.values())

    async def _answer(self, request: Request, body: bytes, writer: asyncio.StreamWriter) -> None:
        wire, asked = _read_request(request.path, cast("Json", json.loads(body or b"{}")))
        if wire is None or asked is None:
            known = request.path.endswith(("/count_tokens", ":countTokens", "/models"))
            counted = {"input_tokens": 1, "totalTokens": 1, "object": "list", "data": []}
            return await _send(writer, 200 if known else 404, counted)
        step = self._step(request, asked)
        if step.fault is not None and step.fault.kind == "drop":
            return None
        if step.fault is not None:
            failure = wire.failure(step.fault)
            return await _send(writer, failure.status, failure.body, failure.headers)
        call = self._call(step, asked)
        if not asked.stream:
            return await _send(writer, 200, wire.whole(step, call, asked.model))
        await _begin(writer, 200, {"content-type": "text/event-stream"})
        for event in wire.events(step, call, asked.model):
            writer.write(event)
            await writer.drain()
            if step.stall:
                await asyncio.Event().wait()
        return None

    def _step(self, request: Request, asked: Asked) -> Step:
        """Requests that offer no tools ask for titles and the like."""
        if not any(name in _SHELLS for name in asked.tools):
            request.served = "side"
            return Step(say='{"title": "scripted"}')
        request.script = asked.script
        step = step_at(asked.script, asked.calls)
        request.served = step.fault.kind if step.fault else "ok"
        key = (words_of(asked.script), asked.calls)
        self._served[key] += 1
        if step.fault and step.fault.times is not None and self._served[key] > step.fault.times:
            request.served = "ok"
            return Step(step.say, step.shell, None, step.stall, step.tokens_in, step.tokens_out)
        return step

    def _call(self, step: Step, asked: Asked) -> Call | None:
        if step.shell is None:
            return None
        name = next(name for name in _SHELLS if name in asked.tools)
        given: dict[str, object] = {_SHELLS[name]: step.shell}
        if name not in ("exec_command", "shell_command"):
            given["description"] = "A scripted command"
        return Call(f"call_{next(self._ids)}", name, given)


@asynccontextmanager
async def scripted_model() -> AsyncGenerator[ScriptedModel]:
    model = ScriptedModel()
    server = await asyncio.start_server(model.on_connection, "127.0.0.1", 0, limit=1 << 26)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield model
    finally:
        server.close()
        await model.aclose()


def _read_request(path: str, body: Json) -> tuple[Wire | None, Asked | None]:
    path = path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return OpenAIChat(), reading.openai_chat(body)
    if path.endswith("/responses"):
        return OpenAIResponses(), reading.openai_responses(body)
    if path.endswith("/messages"):
        return Anthropic(), reading.anthropic(body)
    name, _, verb = path.rpartition("/")[2].partition(":")
    if verb in ("generateContent", "streamGenerateContent"):
        return Gemini(), reading.gemini(body, name, stream=verb == "streamGenerateContent")
    return None, None


async def _read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    path = head[0].split(" ")[1]
    headers = {
        name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])
    }
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return path, headers, body
    return path, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def _key(headers: Mapping[str, str]) -> str:
    names = ("authorization", "x-api-key", "x-goog-api-key")
    return next((headers[name] for name in names if name in headers), "")


async def _send(
    writer: asyncio.StreamWriter, status: int, body: Json, headers: Mapping[str, str] | None = None
) -> None:
    text = json.dumps(body).encode()
    more = {"content-type": "application/json", "content-length": str(len(text))}
    await _begin(writer, status, {**more, **(headers or {})})
    writer.write(text)
    await writer.drain()


async def _begin(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} scripted", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
    await writer.drain()
