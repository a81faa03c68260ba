#!/usr/bin/env python3
"""An agent that speaks as Claude Code does and does what it is told: `make test` has no real one.

Its prompts, the last line of what it is told: `say TEXT`, `use TOKENS` (of its context of 100),
`wait` (until the turn is ended), `stick` (and hear nothing more), `stay` (when its turn is over),
`fail`, `die`, `full` (in every conversation), `full-once` (unless it took over), `limit-once
SECONDS` (by its provider, unless it is resumed), `ask COMMAND` (and `|` COMMAND: both at once), of
which it says what came. It takes nothing back.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    id = sys.argv[sys.argv.index("--session-id" if "--session-id" in sys.argv else "--resume") + 1]
    waits: list[str] = []
    for line in sys.stdin:
        said = json.loads(line)
        if said["type"] == "control_request":
            _controlled(said)
        elif said["type"] == "control_response":
            _answered(said["response"], waits)
        else:
            id_of_line = said.get("uuid")  # the words of its order have none
            tell({"type": "command_lifecycle", "state": "started", "command_uuid": id_of_line})
            _prompted(said["message"]["content"], id, waits)


def _controlled(said: dict[str, dict[str, str]]) -> None:
    response = {"subtype": "success", "request_id": said["request_id"]}
    tell({"type": "control_response", "response": response})
    if said["request"]["subtype"] == "interrupt":
        result(is_error=True, terminal_reason="aborted_streaming")


def _answered(response: dict[str, object], waits: list[str]) -> None:
    said = response["response"]
    assert isinstance(said, dict)
    command = str(response["request_id"])
    waits.remove(command)
    words = [str(said["behavior"]), command, *([said["message"]] if "message" in said else [])]
    text = {"type": "text", "text": ": ".join(words)}
    tell({"type": "assistant", "message": {"model": "toy", "content": [text]}})
    if not waits:
        result()


def _prompted(prompt: str, id: str, waits: list[str]) -> None:
    word, _, rest = prompt.rpartition("\n")[2].partition(" ")
    for command in rest.split("|") if word == "ask" else ():
        waits.append(command)
        asks = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": command}}
        tell({"type": "control_request", "request_id": command, "request": asks})
    if word == "stay":
        result(usage={}, modelUsage={})
    if word in ("stick", "stay"):
        time.sleep(600)
    if word == "die":
        sys.exit(3)
    if word == "full" or (word == "full-once" and "\n" not in prompt):
        result(is_error=True, terminal_reason="prompt_too_long", result="Prompt is too long")
    elif word == "full-once":
        result(usage={}, modelUsage={})
    if word == "limit-once":
        at = int(time.time() + float(rest))
        limit = {"status": "rejected", "resetsAt": at, "rateLimitType": "five_hour"}
        tell({"type": "rate_limit_event", "rate_limit_info": limit})
        result(is_error=True, terminal_reason="api_error", api_error_status=429, result="limited")
    if word == "You":  # were interrupted: it is taken up again
        result(usage={}, modelUsage={})
    if word == "fail":
        result(is_error=True, terminal_reason="api_error", api_error_status=401, result="bad key")
    if word == "say":
        text = {"type": "text", "text": rest.replace("ID", id)}
        used({"input_tokens": 7, "output_tokens": 3}, text)
    if word == "use":
        used({"input_tokens": int(rest), "output_tokens": 0})


def used(usage: dict[str, int], *content: dict[str, str]) -> None:
    tell({"type": "assistant", "message": {"model": "toy", "content": content, "usage": usage}})
    result(usage=usage, modelUsage={"toy": {"contextWindow": 100}})


def result(**more: object) -> None:
    tell({"type": "result", **more})


def tell(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
