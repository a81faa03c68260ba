"""What real agents said, and what is understood of it: recorded transcripts, and the odd lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from protocol.agents import is_named
from protocol.failure import FailureKind
from protocol.ops.wire import PermissionLayer, StartOrder
from spoke.agents import table
from spoke.agents.opencode import NEWS, PLUGIN
from spoke.agents.tongue import (
    Accepted,
    Asked,
    Compacted,
    Denied,
    GoesOn,
    Held,
    Ready,
    Reply,
    Settlement,
    Start,
    Text,
    Tongue,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    Usage,
    Withdrawn,
)
from spoke.agents.tongues import tongue
from tests.support import transcripts
from tests.support.transcripts import FOLDER, NOW

AGENTS = sorted(name for name in table.AGENTS if not is_named(name))
TRANSCRIPTS = sorted(FOLDER.glob("*/*.jsonl"))
ORDER = StartOrder(
    task="t", prompt="p", repo="/r", base=None, branch="b", agent="x", command=None, args=["-x"],
    env={}, stdin="open", parent_session_id=None, worktree=None, resume=False, messages=[],
    credential="secret",
)  # fmt: skip

#: How the last turn of each scene ends.
ENDS = {
    "commit": "completed", "asked": "completed", "refused": "completed",
    "interrupted": "completed", "steered": "completed",
    "rate_limited_once": "completed", "rate_limited": FailureKind.RATE_LIMITED,
    "context_exhausted": FailureKind.CONTEXT_EXHAUSTED, "auth_failed": FailureKind.AUTH_FAILED,
    "server_error": FailureKind.SDK_ERROR, "shortened": "completed",
    "quota_exhausted": FailureKind.AUTH_FAILED,
}  # fmt: skip


def heard(of: Tongue, message: object) -> list[object]:
    return [*of.read(json.dumps(message), NOW)]


def test_each_agent_has_its_transcripts() -> None:
    for agent in AGENTS:
        scenes = {path.stem for path in TRANSCRIPTS if path.parent.name == agent}
        assert {"commit", "interrupted", "auth_failed", "asked", "refused"} <= scenes, agent


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_transcript_is_understood_as_it_was(path: Path) -> None:
    me = tongue(path.parent.name, transcripts.start(path.parent.name, path.stem))
    meant: list[object] = []
    for entry in transcripts.read(path):
        match entry:
            case {"do": list(what), "wrote": wrote}:
                assert transcripts.do(me, [str(word) for word in what]) == wrote
            case {"heard": str(line), "meant": expected}:
                events = transcripts.shown(me.read(line, NOW))
                assert events == expected
                meant += events
            case _:
                raise AssertionError(entry)
    (*_, (_, outcome, failure)) = [
        one for one in meant if isinstance(one, list) and one[0] == "TurnEnded"
    ]
    ended = ENDS[path.stem]
    assert (failure[0] if failure else outcome) == ended


@pytest.mark.parametrize("agent", AGENTS)
def test_noise_means_nothing(agent: str) -> None:
    me = tongue(agent, Start("/w"))
    noise: list[object] = [
        {}, [], "text", 7, {"type": "result of none"}, {"id": 99, "result": {}},
        {"method": "some/news", "params": {}}, {"method": "session/update", "params": {}},
        {"type": "system", "subtype": "status"}, {"method": "error", "params": {}},
        {"method": "item/started", "params": {"item": {"type": "reasoning"}}},
        {"type": "command_lifecycle", "state": "started", "command_uuid": "nobody's"},
        {"type": "control_response", "response": {"request_id": "another"}},
        {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}},
        {"method": NEWS, "params": {}}, {"method": NEWS, "params": {"sessionId": ""}},
    ]  # fmt: skip
    for one in noise:
        assert heard(me, one) == [], one
    for line in ("", "not JSON", "[" * 100_000, "\x00"):
        assert list(me.read(line, NOW)) == []


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_is_started_and_taken_up_again(agent: str) -> None:
    fresh = table.find(agent).plan(ORDER, "ses_1/1")
    assert fresh.argv[0] == agent
    assert fresh.argv[-1] == "-x"
    assert fresh.tongue == agent
    assert not fresh.resume
    again = table.find(agent).plan(
        ORDER.model_copy(update={"agent_session_id": "id-1", "command": "/opt/it"}), "ses_1/2"
    )
    assert again.argv[0] == "/opt/it"
    assert again.resume
    assert again.agent_session_id == "id-1"
    assert not {"COORD_TOKEN_FILE", "COORD_URL"} & (fresh.passes | set(fresh.env))
    said = "\n".join(_opened(tongue(agent, Start("/w", "id-1", resume=True))))
    assert agent == "claude" or "id-1" in said


def test_two_attempts_of_claude_do_not_share_a_conversation() -> None:
    claude = table.find("claude")
    assert claude.plan(ORDER, "s/1").argv != claude.plan(ORDER, "s/2").argv
    assert claude.plan(ORDER, "s/1").argv == claude.plan(ORDER, "s/1").argv


@pytest.mark.parametrize(
    ("agent", "after"),
    [("claude", "hears"), ("codex", "goes on"), ("gemini", "goes on"), ("opencode", "stops")],
)
def test_what_a_denial_does_to_its_turn(agent: str, after: str) -> None:
    assert tongue(agent, transcripts.start(agent, "commit")).after_denial == after


def test_there_is_no_tongue_for_a_command() -> None:
    with pytest.raises(KeyError):
        tongue("command", Start("/w"))


def _opened(me: Tongue) -> list[str]:
    """All that is written until the conversation is open, when every request succeeds."""
    wrote = [*me.open()]
    for line in wrote:  # grows while it is read
        request = json.loads(line)
        if "id" in request:
            answer = {"id": request["id"], "result": {"sessionId": "s", "thread": {"id": "s"}}}
            events = me.read(json.dumps(answer), NOW)
            wrote += [event.line for event in events if isinstance(event, Reply)]
    return wrote


# What a scripted model cannot make an agent say.


def test_claude_asks_and_is_answered() -> None:
    me = tongue("claude", Start("/w", "id-1", asks=True))
    assert "PreToolUse" in me.open()[0]
    assert "PreToolUse" not in tongue("claude", Start("/w", "id-1")).open()[0]
    given = {"command": "git push", "description": "push"}
    asks = {"subtype": "can_use_tool", "tool_name": "Bash", "input": given}
    request = {"type": "control_request", "request_id": "r", "request": asks}
    assert heard(me, request) == [Asked("r", "run", "Bash", "git push", [])]
    (line,) = me.answer("r", "allow", "")
    assert json.loads(line)["response"]["response"] == {"behavior": "allow", "updatedInput": given}
    for settlement, interrupts in (("deny", False), ("cancel", True)):
        (line,) = me.answer("r", cast("Settlement", settlement), "not now")
        assert json.loads(line)["response"]["response"] == {
            "behavior": "deny", "message": "not now", "interrupt": interrupts,
        }  # fmt: skip
    taken_back = {"type": "control_cancel_request", "request_id": "r"}
    assert heard(me, taken_back) == [Withdrawn("r")]
    hook = {"type": "control_request", "request_id": "h", "request": {"subtype": "hook_callback"}}
    (reply,) = heard(me, hook)
    assert isinstance(reply, Reply)
    said = json.loads(reply.line)["response"]["response"]["hookSpecificOutput"]
    assert said["permissionDecision"] == "ask"
    (reply,) = heard(me, {"type": "control_request", "request_id": "x", "request": {}})
    assert isinstance(reply, Reply)
    assert json.loads(reply.line)["response"]["subtype"] == "error"


@pytest.mark.parametrize(
    ("tool", "given", "asked"),
    [
        ("Write", {"file_path": "/w/a"}, ("edit", "Write", "/w/a", ["/w/a"])),
        ("Grep", {"pattern": "x"}, ("read", "Grep", "Grep", ["."])),
        ("Grep", {"path": "/etc"}, ("read", "Grep", "/etc", ["/etc"])),
        ("WebFetch", {"url": "https://x"}, ("fetch", "WebFetch", "https://x", [])),
        ("Task", {"description": "look"}, ("other", "Task", "look", [])),
    ],
)
def test_claude_says_what_it_asks_for(tool: str, given: object, asked: tuple[object, ...]) -> None:
    me = tongue("claude", Start("/w", "id-1", asks=True))
    request = {"subtype": "can_use_tool", "tool_name": tool, "input": given}
    (event,) = heard(me, {"type": "control_request", "request_id": "r", "request": request})
    assert isinstance(event, Asked)
    assert event == ("r", *asked)


def test_claude_is_told_of_limits_and_denials() -> None:
    me = tongue("claude", Start("/w", "id-1"))
    limit = {"status": "rejected", "resetsAt": 2_000, "rateLimitType": "five_hour"}
    assert heard(me, {"type": "rate_limit_event", "rate_limit_info": limit}) == [
        Held("five_hour", 2_000_000)
    ]
    events = heard(me, {
        "type": "result", "is_error": True, "terminal_reason": "api_error", "api_error_status": 429,
        "permission_denials": [{"tool_name": "Bash"}],
    })  # fmt: skip
    assert events[0] == Denied("Bash")
    ended = events[-1]
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.RATE_LIMITED
    assert ended.failure.retry_at == 2_000_000


def test_claude_says_why_it_could_not_begin() -> None:
    me = tongue("claude", Start("/w", "id-1"))
    refused = {"request_id": "coord-1", "subtype": "error", "error": "Not logged in"}
    (ended,) = heard(me, {"type": "control_response", "response": refused})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.AUTH_FAILED
    (_, ended) = heard(me, {
        "type": "result", "is_error": True, "subtype": "error_during_execution",
        "errors": ["No conversation found"],
    })  # fmt: skip
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert "No conversation found" in ended.failure.message


def test_claude_names_what_its_tools_work_on() -> None:
    me = tongue("claude", Start("/w", "id-1"))
    blocks = [
        {"type": "tool_use", "id": "1", "name": "Write", "input": {"file_path": "/f"}},
        {"type": "tool_use", "id": "2", "name": "Think"},
        {"type": "thinking", "thinking": "hm"},
    ]
    assert heard(me, {"type": "assistant", "message": {"content": blocks}}) == [
        ToolStarted("1", "Write: /f"), ToolStarted("2", "Think"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "settlement", "answered"),
    [
        ({"allow_always": "a", "allow_once": "o"}, "allow", "o"),
        ({"allow_always": "a"}, "allow", "a"),
        ({"allow_once": "o", "reject_once": "n"}, "deny", "n"),
        ({"reject_once": "n"}, "allow", None),
        ({"allow_once": "o", "reject_once": "n"}, "cancel", None),
    ],
)
def test_an_acp_agent_asks_and_is_answered(
    options: dict[str, str], settlement: Settlement, answered: str | None
) -> None:
    me = tongue("opencode", Start("/w"))
    said = [{"kind": kind, "optionId": id} for kind, id in options.items()]
    call = {"kind": "execute", "title": "bash", "rawInput": {"command": "git push"}}
    params = {"options": said, "toolCall": call}
    (_, asked) = heard(me, {"id": 9, "method": "session/request_permission", "params": params})
    assert asked == Asked("9", "run", "execute", "git push", ())
    (line,) = me.answer("9", settlement, "why")
    answer = json.loads(line)
    assert answer["id"] == 9
    assert answer["result"]["outcome"].get("optionId") == answered
    (reply,) = heard(me, {"id": 4, "method": "fs/read_text_file", "params": {}})
    assert isinstance(reply, Reply)
    assert json.loads(reply.line)["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        ({"kind": "edit", "title": "a", "locations": [{"path": "/w/a"}]}, ("edit", ["/w/a"])),
        ({"kind": "edit", "title": "a", "rawInput": {"filePath": "/w/b"}}, ("edit", ["/w/b"])),
        ({"kind": "edit", "title": "a", "rawInput": {"filepath": "/w/b"}}, ("edit", ["/w/b"])),
        ({"kind": "fetch", "rawInput": {"url": "https://x"}}, ("fetch", [])),
        ({"kind": "think"}, ("other", [])),
    ],
)
def test_an_acp_agent_says_what_it_asks_for(call: object, asked: tuple[object, ...]) -> None:
    me = tongue("gemini", Start("/w"))
    params = {"options": [], "toolCall": call}
    *_, event = heard(me, {"id": 9, "method": "session/request_permission", "params": params})
    assert isinstance(event, Asked)
    assert (event.kind, event.paths) == asked


def test_a_tool_that_is_only_asked_about_has_started() -> None:
    me = _open_acp()
    call = {"toolCallId": "1", "title": "git push"}
    asked = {"id": "q", "method": "session/request_permission", "params": {"toolCall": call}}
    heard(me, _update(sessionUpdate="agent_message_chunk", content={"text": "I push."}))
    assert heard(me, asked)[:2] == [Text("I push."), ToolStarted("1", "git push")]
    assert heard(me, _update(**call, sessionUpdate="tool_call")) == []


def test_an_acp_agent_cannot_begin() -> None:
    me = tongue("gemini", Start("/w"))
    me.open()
    (ended,) = heard(me, {"id": 1, "error": {"code": -32000, "message": "Authentication required"}})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.AUTH_FAILED
    assert me.steer("now", "msg_1") == []


@pytest.mark.parametrize(
    ("able", "method"),
    [
        ({"loadSession": True}, "session/load"),
        ({"loadSession": True, "sessionCapabilities": {"resume": {}}}, "session/resume"),
        ({"sessionCapabilities": {"resume": {}}}, "session/resume"),
    ],
)
def test_any_acp_agent_is_resumed_as_it_says_of_itself(
    able: dict[str, object], method: str
) -> None:
    me = tongue("acp", Start("/w", "c1", resume=True))
    me.open()
    (reply,) = heard(me, {"id": 1, "result": {"agentCapabilities": able}})
    assert isinstance(reply, Reply)
    asked = json.loads(reply.line)
    assert (asked["method"], asked["params"]["sessionId"]) == (method, "c1")
    assert heard(me, _update(sessionUpdate="agent_message_chunk", content={"text": "old"})) == []
    assert heard(me, {"id": 2, "result": {}}) == [Ready("c1", "")]


@pytest.mark.parametrize("able", [{}, {"loadSession": False}, {"loadSession": 1}])
def test_one_that_cannot_be_resumed_goes_on_in_a_new_conversation(
    able: dict[str, object],
) -> None:
    me = tongue("acp", Start("/w", "c1", resume=True))
    me.open()
    (ended,) = heard(me, {"id": 1, "result": {"agentCapabilities": able}})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.CONVERSATION_LOST


def _open_acp() -> Tongue:
    me = tongue("opencode", Start("/w"))
    _opened(me)
    return me


def _update(**update: object) -> dict[str, object]:
    return {"method": "session/update", "params": {"update": update}}


def test_an_acp_agent_says_what_it_was_not_allowed() -> None:
    content = [{"type": "content", "content": {"text": "The user rejected permission to use it"}}]
    me = _open_acp()
    ended = {"sessionUpdate": "tool_call_update", "toolCallId": "1", "title": "git push"}
    assert heard(me, _update(**ended, status="failed", content=content)) == [
        Denied("git push"), ToolEnded("1", False, "git push"),
    ]  # fmt: skip
    assert heard(me, _update(**ended, status="failed")) == [ToolEnded("1", False, "git push")]
    assert heard(me, _update(**ended, status="in_progress")) == []


def test_prompts_that_were_folded_together_end_once() -> None:
    me = _open_acp()
    first = json.loads(me.prompt("one", "msg_1")[0])["id"]
    second = json.loads(me.steer("two", "msg_2")[0])["id"]
    heard(me, _update(sessionUpdate="agent_message_chunk", content={"text": "both"}))
    heard(me, _update(sessionUpdate="usage_update", used=10, size=100))
    answers = heard(me, {"id": second, "error": {"code": 429, "message": "slow down"}})
    assert answers == [Text("both"), Usage(context_used=10, context_size=100)]
    (_, ended) = heard(me, {"id": first, "result": {"stopReason": "end_turn"}})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.RATE_LIMITED


def test_a_conversation_told_again_is_not_taken_for_new() -> None:
    me = tongue("gemini", Start("/w", "id-1", resume=True))
    me.open()
    heard(me, {"id": 1, "result": {}})
    old = _update(sessionUpdate="agent_message_chunk", content={"text": "old"})
    assert heard(me, old) == []
    (reply,) = heard(me, {"id": 2, "result": {}})
    assert isinstance(reply, Reply)
    assert heard(me, old) == []
    assert heard(me, {"id": 3, "result": {}}) == [Ready("id-1", "")]
    heard(me, _update(sessionUpdate="agent_message_chunk", content={"text": "new"}))
    asked = json.loads(me.prompt("go", "msg_1")[0])["id"]
    assert heard(me, {"id": asked, "result": {"stopReason": "end_turn"}})[0] == Text("new")


def _open_codex() -> Tongue:
    me = tongue("codex", Start("/w"))
    _opened(me)
    return me


def _news(method: str, **params: object) -> dict[str, object]:
    return {"method": method, "params": params}


def test_codex_is_cancelled_before_its_turn_is_known() -> None:
    me = _open_codex()
    me.prompt("go", "msg_1")
    assert me.steer("now", "msg_2") == []
    assert me.cancel() == []
    replies = heard(me, _news("turn/started", turn={"id": "t1"}))
    methods = [json.loads(one.line)["method"] for one in replies if isinstance(one, Reply)]
    assert methods == ["turn/interrupt", "thread/backgroundTerminals/clean"]


def test_codex_is_refused_what_came_too_late() -> None:
    me = _open_codex()
    me.prompt("go", "msg_1")
    heard(me, _news("turn/started", turn={"id": "t1"}))
    (line,) = me.steer("now", "msg_2")
    assert heard(me, {"id": json.loads(line)["id"], "error": {"message": "no turn"}}) == []
    (line,) = me.steer("now", "msg_3")
    assert heard(me, {"id": json.loads(line)["id"], "result": {}}) == [Accepted("msg_3")]
    first, _ = me.cancel()
    assert heard(me, {"id": json.loads(first)["id"], "result": {}}) == []


def test_codex_says_that_another_holds_its_conversation() -> None:
    me = tongue("codex", Start("/w", "id-1", resume=True))
    me.open()
    heard(me, {"id": 1, "result": {"userAgent": "coord/1.2 (Linux)"}})
    busy = {"code": -32600, "message": "thread id-1 already has an active writer"}
    (ended,) = heard(me, {"id": 2, "error": busy})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.AGENT_BUSY


@pytest.mark.parametrize(
    ("settlement", "decision"), [("allow", "accept"), ("deny", "decline"), ("cancel", "cancel")]
)
def test_codex_asks_and_is_answered(settlement: Settlement, decision: str) -> None:
    me = _open_codex()
    changes = [{"path": "/w/a"}, {"path": "/w/b"}]
    heard(me, _news("item/started", item={"type": "fileChange", "id": "i", "changes": changes}))
    request = {"id": 0, "method": "item/fileChange/requestApproval", "params": {"itemId": "i"}}
    assert heard(me, request) == [Asked("0", "edit", "apply_patch", "/w/a, /w/b", ["/w/a", "/w/b"])]
    (line,) = me.answer("0", settlement, "why")
    assert json.loads(line) == {"id": 0, "result": {"decision": decision}}
    assert heard(me, _news("serverRequest/resolved", requestId=0)) == []


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("/bin/bash -lc 'git push'", "git push"), ("sh -c 'a b'", "a b"), ("git push", "git push"),
        ("/bin/bash -lc 'echo '\"'\"'x'\"'\"''", "echo 'x'"), ("bash 'x", "bash 'x"),
        ("bash -lc a b", "bash -lc a b"), ("fish -c x", "fish -c x"),
    ],
)  # fmt: skip
def test_codex_asks_for_what_is_in_its_shell(command: str, asked: str) -> None:
    params = {"command": command}
    method = "item/commandExecution/requestApproval"
    (event,) = heard(_open_codex(), {"id": "x", "method": method, "params": params})
    assert event == Asked("x", "run", "shell", asked)


def test_codex_takes_back_what_it_asked() -> None:
    me = _open_codex()
    heard(me, {"id": 3, "method": "item/fileChange/requestApproval", "params": {}})
    assert heard(me, _news("serverRequest/resolved", requestId=3)) == [Withdrawn("3")]
    assert heard(me, _news("serverRequest/resolved", requestId=3)) == []


def test_an_agent_is_told_of_its_model_and_its_role() -> None:
    order = ORDER.model_copy(update={"model": "m-1", "instructions": "Be kind."})
    argv = list(table.find("claude").plan(order, "s/1").argv)
    assert argv[argv.index("--model") + 1] == "m-1"
    assert argv[argv.index("--append-system-prompt") + 1] == "Be kind."
    assert list(table.find("gemini").plan(order, "s/1").argv)[2:4] == ["--model", "m-1"]
    assert _settings(order) == {"plugin": [PLUGIN], "model": "m-1"}
    said = "\n".join(_opened(tongue("codex", Start("/w", model="m-1", instructions="Be kind."))))
    assert '"model":"m-1"' in said
    assert '"developerInstructions":"Be kind."' in said
    assert not table.find("gemini").plan(order, "s/1").instructed


def _settings(order: StartOrder) -> object:
    return json.loads(table.find("opencode").plan(order, "s/1").env["OPENCODE_CONFIG_CONTENT"])


@pytest.mark.parametrize(
    ("ordered", "given"),
    [
        ('{"model": "m-0", "plugin": ["theirs"]}', {"model": "m-0", "plugin": ["theirs", PLUGIN]}),
        ('{"plugin": "no list"}', {"plugin": [PLUGIN]}),
        ("not JSON", {"plugin": [PLUGIN]}),
    ],
)
def test_opencode_is_given_our_settings_beside_those_that_were_ordered(
    ordered: str, given: object
) -> None:
    assert _settings(ORDER) == {"plugin": [PLUGIN]}
    env = {"OPENCODE_CONFIG_CONTENT": ordered}
    assert _settings(ORDER.model_copy(update={"env": env})) == given


def test_opencode_has_a_key_to_its_port_that_nobody_can_guess() -> None:
    opencode = table.find("opencode")
    keys = {
        opencode.plan(ORDER.model_copy(update={"credential": secret}), "s/1").env[name]
        for secret in ("one", "two")
        for name in ("OPENCODE_SERVER_PASSWORD",)
    }
    assert len(keys) == 2
    assert all(len(key) == 64 for key in keys)
    assert "OPENCODE_SERVER_PASSWORD" not in table.find("gemini").plan(ORDER, "s/1").env


def test_before_its_first_start_opencode_may_fetch_what_its_settings_name() -> None:
    plan = table.find("opencode").plan(ORDER, "s/1")
    assert plan.before_first == ["opencode", "session", "list"]
    assert plan.env["NPM_CONFIG_OFFLINE"] == "true"
    assert "NPM_CONFIG_OFFLINE" not in plan.first_env
    assert plan.first_env["OPENCODE_CONFIG_CONTENT"] == plan.env["OPENCODE_CONFIG_CONTENT"]
    assert "NPM_CONFIG_FETCH_TIMEOUT" not in plan.env


def test_an_agent_that_is_held_by_rules_asks() -> None:
    held = [PermissionLayer(rules=["ask *"], answer_within_ms=1)]
    order = ORDER.model_copy(update={"permissions": held})
    assert "bypassPermissions" in table.find("claude").plan(ORDER, "s/1").argv
    assert "bypassPermissions" not in table.find("claude").plan(order, "s/1").argv
    assert "OPENCODE_PERMISSION" not in table.find("opencode").plan(ORDER, "s/1").env
    assert "ask" in table.find("opencode").plan(order, "s/1").env["OPENCODE_PERMISSION"]
    assert '"approvalPolicy":"never"' in "\n".join(_opened(tongue("codex", Start("/w"))))
    asks = "\n".join(_opened(tongue("codex", Start("/w", asks=True))))
    assert '"approvalPolicy":"untrusted"' in asks


def test_codex_declines_by_itself() -> None:
    me = _open_codex()
    (reply,) = heard(me, {"id": 0, "method": "attestation/generate", "params": {}})
    assert isinstance(reply, Reply)
    assert "error" in json.loads(reply.line)
    item = {"type": "commandExecution", "id": "1", "command": "rm", "status": "declined"}
    assert heard(me, _news("item/completed", item=item)) == [
        Denied("rm"),
        ToolEnded("1", False, "rm"),
    ]
    change = {"type": "fileChange", "id": "2", "status": "completed"}
    assert heard(me, _news("item/completed", item=change)) == [ToolEnded("2", True, "fileChange")]


def test_codex_says_that_it_tries_again_and_its_files_change() -> None:
    me = _open_codex()
    error = {"message": "Reconnecting... 1/2", "codexErrorInfo": "serverOverloaded"}
    assert heard(me, _news("error", error=error, willRetry=True)) == [Held("Reconnecting... 1/2")]
    assert heard(me, _news("error", error=error, willRetry=False)) == []


def test_claude_hears_a_message_once_and_what_the_order_says_each_time() -> None:
    me = tongue("claude", transcripts.start("claude", "commit"))
    (one,) = me.prompt("go on", "")
    assert "uuid" not in json.loads(one)
    (first,), (again,) = me.prompt("hello", "msg_1"), me.prompt("hello", "msg_1")
    assert json.loads(first)["uuid"] == json.loads(again)["uuid"]


def _news_of_opencode(me: Tongue, type: str, session: str = "s", **more: object) -> list[object]:
    params = {"type": type, "sessionId": session, **more}
    return heard(me, {"jsonrpc": "2.0", "method": NEWS, "params": params})


def test_opencode_takes_up_what_it_was_told_together() -> None:
    me = _open_acp()
    first = json.loads(me.prompt("one", "msg_1")[0])["id"]
    refused = json.loads(me.steer("two", "msg_2")[0])["id"]
    assert _news_of_opencode(me, "told", messageId="a") == []
    assert heard(me, {"id": refused, "error": {"code": -32603, "message": "no"}})[0] == Usage()
    me.steer("three", "msg_3")
    assert _news_of_opencode(me, "told", "of a subagent", messageId="x") == []
    assert _news_of_opencode(me, "told", messageId="b") == []
    assert _news_of_opencode(me, "told", messageId="nobody's") == []
    assert _news_of_opencode(me, "answers", messageId="nobody's") == []
    assert _news_of_opencode(me, "answers", messageId="b") == [Accepted("msg_1"), Accepted("msg_3")]
    assert _news_of_opencode(me, "answers", messageId="b") == []
    assert heard(me, {"id": first, "result": {"stopReason": "end_turn"}}) == [Usage()]


def test_opencode_and_its_subagents_wait_and_use_tokens() -> None:
    me = _open_acp()
    assert _news_of_opencode(me, "waits", "its", message="slow", until=5) == [Held("slow", 5)]
    assert _news_of_opencode(me, "waits", message="slow") == [Held("slow")]
    assert _news_of_opencode(me, "goesOn", "its") == [GoesOn()]
    asked = json.loads(me.prompt("one", "msg_1")[0])["id"]
    used = {"tokensIn": 7, "tokensOut": 2, "model": "p/m"}
    assert _news_of_opencode(me, "used", "its", **used) == [Usage(7, 2, model="p/m")]
    answered = {"stopReason": "end_turn", "usage": {"inputTokens": 3, "outputTokens": 1}}
    assert heard(me, {"id": asked, "result": answered})[0] == Usage()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"name": "APIError", "status": 429, "retryAt": 9_000}, FailureKind.RATE_LIMITED),
        ({"name": "APIError", "status": 401, "retryAt": 9_000}, FailureKind.AUTH_FAILED),
        ({"name": "ProviderAuthError"}, FailureKind.AUTH_FAILED),
        ({"name": "ContextOverflowError", "message": "429"}, FailureKind.CONTEXT_EXHAUSTED),
        ({"name": "UnknownError", "message": "odd"}, FailureKind.SDK_ERROR),
    ],
)
def test_opencode_names_its_errors(error: dict[str, object], kind: FailureKind) -> None:
    me = _open_acp()
    asked = json.loads(me.prompt("one", "msg_1")[0])["id"]
    assert _news_of_opencode(me, "failed", "of a subagent", name="ContextOverflowError") == []
    assert _news_of_opencode(me, "failed", **error) == []
    *_, ended = heard(me, {"id": asked, "error": {"message": "Internal error: overloaded"}})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is kind
    assert ended.failure.retry_at == (9_000 if kind is FailureKind.RATE_LIMITED else None)


def test_an_error_that_opencode_got_over_is_not_why_it_failed() -> None:
    me = _open_acp()
    asked = json.loads(me.prompt("one", "msg_1")[0])["id"]
    _news_of_opencode(me, "failed", name="ContextOverflowError")
    assert _news_of_opencode(me, "compacted") == [Compacted()]
    _news_of_opencode(me, "answers", messageId="b")
    *_, ended = heard(me, {"id": asked, "error": {"message": "Rate limit reached"}})
    assert isinstance(ended, TurnEnded)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.RATE_LIMITED


def test_a_conversation_that_was_shortened_is_told() -> None:
    claude = tongue("claude", transcripts.start("claude", "commit"))
    assert heard(claude, {"type": "system", "subtype": "compact_boundary"}) == [Compacted()]
    item = {"type": "contextCompaction", "id": "1"}
    codex = _open_codex()
    assert heard(codex, _news("item/started", item=item)) == []
    assert heard(codex, _news("item/completed", item=item)) == [Compacted()]
