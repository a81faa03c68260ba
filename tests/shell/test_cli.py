"""coordctl as people run it: real processes against a hub that answers as told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from coord.cli.exits import Exit
from protocol.errors import Conflict, NotFound, PermissionDenied
from tests.support.fake_hub import NOW, FakeHub, event, fake_hub, session, spawned

COORDCTL = Path(sys.executable).with_name("coordctl")
PATIENCE = 30
A, B, C = "ses_aaaaaaaaaaaaaaaa", "ses_aabbbbbbbbbbbbbb", "ses_cccccccccccccccc"


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def value(self) -> object:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Shell:
    fake: FakeHub
    home: Path

    def env(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "LANG": "C.UTF-8",
            **more,
        }

    def known(self) -> dict[str, str]:
        return self.env(COORD_URL=self.fake.url, COORD_TOKEN=self.fake.token)

    async def start(
        self, *words: str, env: dict[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(COORDCTL),
            *words,
            env=self.known() if env is None else env,
            cwd=self.home,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str, env: dict[str, str] | None = None, stdin: str = "") -> Done:
        process = await self.start(*words, env=env)
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), PATIENCE)
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(), err.decode())
        assert "\x1b" not in done.out + done.err, "a pipe gets no ANSI"
        assert "Traceback" not in done.err
        return done


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncGenerator[Shell]:
    async with fake_hub() as fake:
        yield Shell(fake, tmp_path)


async def test_spawn_sends_what_was_typed_and_the_program_behind_two_dashes(shell: Shell) -> None:
    shell.fake.on("coord.spawn", spawned("fix"))
    done = await shell.run(
        "spawn", "fix", "--repo", "https://example.org/r.git", "--label", "a=b", "--env", "K=V=W",
        "--run-timeout", "1.5m", "--key", "k", "--prompt", "-", "-o", "json",
        "--", "./agent.sh", "--flag", "-o", "--",
        stdin="do it\n",
    )  # fmt: skip
    assert done.code == Exit.OK, done.err
    assert shell.fake.params("coord.spawn") == {
        "task": "fix", "repo": "https://example.org/r.git", "prompt": "do it\n",
        "labels": {"a": "b"}, "env": {"K": "V=W"}, "runTimeoutMs": 90_000, "idempotencyKey": "k",
        "agent": "command", "command": "./agent.sh", "args": ["--flag", "-o", "--"],
    }  # fmt: skip
    assert isinstance(done.value, dict)
    assert done.value["sessionId"] == A


async def test_any_agent_is_named_behind_the_dashes(shell: Shell) -> None:
    shell.fake.on("coord.spawn", spawned("fix"))
    done = await shell.run(
        "spawn", "fix", "--repo", "https://example.org/r.git", "--prompt", "do it",
        "--agent", "acp", "--fallback", "acp other --acp", "--", "goose", "acp",
    )  # fmt: skip
    assert done.code == Exit.OK, done.err
    said = shell.fake.params("coord.spawn")
    assert (said["agent"], said["command"], said["args"]) == ("acp", "goose", ["acp"])
    assert said["fallback"] == [{"agent": "acp", "command": "other", "args": ["--acp"]}]


async def test_the_default_repository_is_the_one_around_here(shell: Shell) -> None:
    shell.fake.on("coord.spawn", spawned("fix"))
    lost = await shell.run("spawn", "fix", "--", "true")
    assert (lost.code, "NO_REPO" in lost.err) == (Exit.USAGE, True)
    git = await asyncio.create_subprocess_exec("git", "init", "-q", str(shell.home))
    assert await git.wait() == 0
    (shell.home / "below").mkdir()
    assert (await shell.run("spawn", "fix", "--repo", "below", "--", "true")).code == Exit.OK
    assert shell.fake.params("coord.spawn")["repo"] == str(shell.home)
    env = {**shell.known(), "COORD_REPO": "https://example.org/r.git"}
    assert (await shell.run("spawn", "fix", "--", "true", env=env)).code == Exit.OK
    assert shell.fake.params("coord.spawn")["repo"] == "https://example.org/r.git"


async def test_spawn_and_follow_ends_as_the_session_did(shell: Shell) -> None:
    shell.fake.on("coord.spawn", spawned("fix"))
    batch = {"events": [event(1, text="hello")]}
    shell.fake.streams("coord.events", batch, end={"lastSeq": 1, "state": "failed"})
    shell.fake.on("coord.wait", {"reached": True, "sessions": [session(A, state="failed")]})
    done = await shell.run("spawn", "fix", "--repo", "https://e.org/r", "-f", "--", "false")
    assert done.code == Exit.WORK_FAILED
    assert done.out.endswith("\nhello\n")


async def test_swarm_is_partial_where_one_failed(shell: Shell) -> None:
    trouble = {"code": "CONFLICT", "reason": "REF_CONFLICT", "message": "held"}
    results = [{"task": "a", "session": spawned("a")}, {"task": "b", "error": trouble}]
    shell.fake.on("coord.swarm", {"results": results, "spawned": 1, "failed": 1})
    argv = ("swarm", "a", "b", "--repo", "https://e.org/r", "--prompt", "{{task}}", "--", "true")
    done = await shell.run(*argv)
    assert done.code == Exit.PARTIAL
    assert "REF_CONFLICT: held" in done.out
    assert shell.fake.params("coord.swarm")["tasks"] == ["a", "b"]


async def test_words_that_mean_several_sessions_or_none(shell: Shell) -> None:
    shell.fake.sessions(session(A, "fix"), session(B, "fix"), session(C, "docs"))
    several = await shell.run("status", "fix")
    assert several.code == Exit.USAGE
    assert A in several.err
    assert B in several.err
    assert C not in several.err
    as_json = await shell.run("status", "ses_aa", "-o", "json")
    error = json.loads(as_json.err)["error"]
    assert (error["reason"], len(error["details"]["candidates"])) == ("AMBIGUOUS", 2)
    none = await shell.run("explain", "nothing")
    assert none.code == Exit.NOT_FOUND
    assert none.err.startswith("error:")
    assert "\nwhy:   NOT_FOUND NO_SUCH_SESSION\ntry:   coordctl ps --all\n" in none.err
    one = await shell.run("status", "ses_c", "-o", "json")
    assert (one.code, one.value) == (Exit.OK, session(C, "docs"))


async def test_ps_is_a_tree_in_every_format(shell: Shell) -> None:
    child = session(B, "child", parentSessionId=A, createdAt="2026-01-02T03:04:06Z")
    shell.fake.sessions(child, session(A, "top"))
    table = await shell.run("ps")
    assert [line.split("  ")[0] for line in table.out.splitlines()] == ["TASK", "top", "└ child"]
    assert shell.fake.params("coord.status") == {"live": True, "labels": {}, "limit": 500}
    lines = (await shell.run("ps", "-o", "jsonl")).out.splitlines()
    assert [json.loads(line)["task"] for line in lines] == ["top", "child"]
    listed = (await shell.run("ps", "-a", "-o", "json")).value
    assert isinstance(listed, list)
    assert len(listed) == 2
    assert "live" not in shell.fake.params("coord.status")
    assert "WORKTREE" in (await shell.run("ps", "-o", "wide")).out


async def test_logs_shows_what_would_steer_a_terminal(shell: Shell) -> None:
    batch = {
        "events": [
            event(1, text="\x1b[2J\x1b]52;c;aGk=\x07gone\r\tleft\x9b31m"),
            event(2, text="half ", part=True),
            event(3, text="line"),
            event(4, "stderr", text="\u202eevil"),
            event(5, "notify", level="info", text="note\x1b[0m"),
        ]
    }
    shell.fake.streams("coord.events", batch, end={"lastSeq": 5, "state": "completed"})
    done = await shell.run("logs", A, "--tail", "5")
    assert done.out == (
        "␛[2J␛]52;c;aGk=␇gone␍\tleft<U+009B>31m\nhalf line\n<U+202E>evil\n[notify info] note␛[0m\n"
    )
    assert shell.fake.params("coord.events")["follow"] is False
    assert "stdout" in str(shell.fake.params("coord.events")["kinds"])
    as_json = await shell.run("logs", A, "--events", "-f", "-o", "jsonl")
    assert "\x9b" not in as_json.out
    assert [json.loads(line)["seq"] for line in as_json.out.splitlines()] == [1, 2, 3, 4, 5]
    assert json.loads(as_json.out.splitlines()[0])["body"] == batch["events"][0]["body"]
    assert "kinds" not in shell.fake.params("coord.events")


def receipt(*, complete: bool) -> dict[str, object]:
    one = {
        "sessionId": A, "task": "fix\x1b[1m", "spoke": "forge", "before": "running",
        "after": "aborted", "confirmed": complete, "endedBy": "SIGINT", "endedAt": NOW,
        "processes": 3, "survivors": 0, "pending": None if complete else "forge is offline",
    }  # fmt: skip
    return {
        "abortId": "ab_1", "sessionId": A, "acceptedAt": NOW, "complete": complete,
        "sessions": [one], "calls": [{"callId": "c", "op": "coord.wait", "sessionId": A}],
        "spared": [C],
    }  # fmt: skip


async def test_abort_prints_the_receipt(shell: Shell) -> None:
    shell.fake.on("coord.abort", receipt(complete=True))
    done = await shell.run("abort", A, "--reason", "why", "--grace", "2s")
    assert done.code == Exit.OK
    assert "SIGINT" in done.out
    assert "fix␛[1m" in done.out
    assert "receipt ab_1: complete" in done.out
    assert shell.fake.params("coord.abort")["graceMs"] == 2_000
    shell.fake.on("coord.abort", receipt(complete=False))
    pending = await shell.run("abort", A, "--no-wait", "--now")
    assert pending.code == Exit.PARTIAL
    assert "forge is offline" in pending.out
    assert shell.fake.params("coord.abort")["wait"] is False


@pytest.mark.parametrize(
    ("states", "reached", "code"),
    [
        (["completed", "completed"], True, Exit.OK),
        (["completed", "failed"], True, Exit.WORK_FAILED),
        (["completed", "aborted"], True, Exit.ABORTED),
        (["aborted", "lost"], True, Exit.WORK_FAILED),
        (["running", "completed"], False, Exit.TIMEOUT),
    ],
)
async def test_wait_says_how_the_work_ended(
    shell: Shell, states: Sequence[str], reached: bool, code: Exit
) -> None:
    views = [session(id, state=state) for id, state in zip((A, C), states, strict=True)]
    shell.fake.on("coord.wait", {"reached": reached, "sessions": views})
    assert (await shell.run("wait", A, C, "--timeout", "1h")).code == code
    assert shell.fake.params("coord.wait")["timeoutMs"] == 3_600_000


async def test_messages_and_notes(shell: Shell) -> None:
    delivered = {"messageId": "msg_1", "mode": "queue", "state": "delivered"}
    shell.fake.on("coord.message", delivered)
    said = await shell.run("message", A, "-", "--mode", "steer", stdin="from stdin")
    assert (said.code, shell.fake.params("coord.message")["text"]) == (Exit.OK, "from stdin")
    shell.fake.on("coord.message", delivered | {"state": "failed", "reason": "closed"})
    assert (await shell.run("message", A, "hi")).code == Exit.FAILED
    shell.fake.on("coord.notify", {"sessionId": A, "seq": 7})
    token_file = shell.home / "token"
    token_file.write_text(shell.fake.token + "\n")
    inside = shell.env(COORD_URL=shell.fake.url, COORD_TOKEN_FILE=str(token_file))
    note = await shell.run("notify", "--level", "blocking", "which?", env=inside)
    assert (note.code, note.out) == (Exit.OK, "")
    assert shell.fake.params("coord.notify") == {"text": "which?", "level": "blocking"}


async def test_cleanup_that_kept_what_was_named(shell: Shell) -> None:
    def cleaned(id: str, *, removed: bool) -> dict[str, object]:
        return {
            "sessionId": id, "branch": "b", "worktree": None, "removed": removed, "reason": "dirty",
        }  # fmt: skip

    shell.fake.on("coord.cleanup", {"results": [cleaned(A, removed=False)]})
    assert (await shell.run("cleanup")).code == Exit.OK
    assert (await shell.run("cleanup", A)).code == Exit.CONFLICT
    assert (await shell.run("cleanup", A, "--dry-run")).code == Exit.OK
    both = [cleaned(A, removed=False), cleaned(C, removed=True)]
    shell.fake.on("coord.cleanup", {"results": both})
    assert (await shell.run("cleanup", A, C)).code == Exit.PARTIAL


async def test_trash_gives_back_by_whatever_one_entry_is_called(shell: Shell) -> None:
    def kept(id: str, session_id: str, branch: str) -> dict[str, object]:
        return {
            "id": id, "sessionId": session_id, "repo": "/r", "branch": branch, "removedAt": NOW,
            "goneAt": NOW, "bytes": None, "why": "merged", "spoke": "forge",
        }  # fmt: skip

    once, twice = kept(f"{A}-1", A, "b/docs"), [kept(f"{C}-{n}", C, "b/fix") for n in (1, 2)]
    shell.fake.sessions(session(A, "docs"), session(B, "none"), session(C, "fix"))
    shell.fake.on("trash.list", {"items": [once, *twice], "unasked": []})
    back = {"sessionId": A, "worktree": "/w/docs\x1b[1m", "branch": "b/docs"}
    shell.fake.on("trash.restore", back)
    for word in (f"{A}-1", "b/docs", "docs"):
        done = await shell.run("trash", "--restore", word)
        assert done.code == Exit.OK, done.err
        assert done.out.splitlines() == [
            f"restored  {A}", "branch    b/docs", "worktree  /w/docs␛[1m", "spoke     forge",
        ]  # fmt: skip
        assert shell.fake.params("trash.restore") == {"id": f"{A}-1", "spoke": "forge"}
    as_json = await shell.run("trash", "--restore", A, "-o", "json")
    assert as_json.value == back
    several = await shell.run("trash", "--restore", "fix")
    assert several.code == Exit.USAGE
    assert (f"{C}-1" in several.err, f"{C}-2" in several.err) == (True, True)
    shell.fake.on("trash.list", {"items": [once], "unasked": ["anvil"]})
    none = await shell.run("trash", "--restore", "none")
    assert "NOT_IN_TRASH" in none.err
    assert "not asked: anvil" in none.err


async def test_call_gives_and_takes_json(shell: Shell) -> None:
    shell.fake.on("some.op", {"text": "\x1b\u202e", "n": 1})
    done = await shell.run("call", "some.op", "-", stdin='{"a": [1]}')
    assert (done.code, done.value) == (Exit.OK, {"text": "\x1b\u202e", "n": 1})
    assert shell.fake.params("some.op") == {"a": [1]}
    assert (await shell.run("call", "some.op", "[1]")).code == Exit.USAGE
    assert (await shell.run("call", "no.op")).code == Exit.USAGE
    batch = {"events": [event(1)]}
    shell.fake.streams("coord.events", batch, end={"lastSeq": 1, "state": "completed"})
    lines = (await shell.run("call", "coord.events", f'{{"sessionId": "{A}"}}')).out.splitlines()
    assert [json.loads(line) for line in lines][1] == {"lastSeq": 1, "state": "completed"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("NO_SUCH_SESSION", "gone"), Exit.NOT_FOUND),
        (PermissionDenied("ROLE", "not yours"), Exit.NOT_ALLOWED),
        (Conflict("REF_CONFLICT", "held"), Exit.CONFLICT),
    ],
)
async def test_what_the_hub_refuses_is_an_exit_code(
    shell: Shell, error: Exception, code: Exit
) -> None:
    shell.fake.on("coord.explain", error)
    assert (await shell.run("explain", A)).code == code


async def test_hubs_that_are_unknown_unreachable_or_know_us_not(shell: Shell) -> None:
    unknown = await shell.run("ps", env=shell.env())
    assert unknown.code == Exit.UNREACHABLE
    assert "NO_HUB" in unknown.err
    assert "coordctl up" in unknown.err
    away = shell.env(COORD_URL="ws://127.0.0.1:1", COORD_TOKEN=shell.fake.token)
    assert (await shell.run("ps", env=away)).code == Exit.UNREACHABLE
    wrong = shell.env(COORD_URL=shell.fake.url, COORD_TOKEN="cku_wrong")
    assert (await shell.run("ps", env=wrong)).code == Exit.NOT_ALLOWED
    plain = shell.env(COORD_URL="ws://192.0.2.1:1", COORD_TOKEN="cku_wrong")
    refused = await shell.run("ps", "-o", "json", env=plain)
    assert refused.code == Exit.USAGE
    assert json.loads(refused.err)["error"]["reason"] == "INSECURE_TRANSPORT"


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",), ("ps", "--nonsense"), (), ("spawn",), ("wait", "x", "--timeout", "soon"),
        ("spoke", "nonsense"), ("ps", "--nonsense", "-o", "json"), ("spawn", "a", "--label", "x"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_usage(shell: Shell, words: Sequence[str]) -> None:
    done = await shell.run(*words)
    assert (done.code, done.out) == (Exit.USAGE, "")
    if "json" in words:
        assert json.loads(done.err)["error"]["advice"] == "coordctl ps --help"
    else:
        assert done.err.startswith("error:")
        assert "--help" in done.err


async def test_login_keeps_a_token_that_works_and_only_that(shell: Shell) -> None:
    file = shell.home / "config" / "coord" / "context.json"
    wrong = await shell.run("login", shell.fake.url, env=shell.env(), stdin="cku_short")
    assert (wrong.code, file.exists()) == (Exit.USAGE, False)
    done = await shell.run("login", shell.fake.url, env=shell.env(), stdin=shell.fake.token + "\n")
    assert done.code == Exit.OK, done.err
    assert shell.fake.token not in done.out + done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shell.fake.sessions()
    assert (await shell.run("ps", env=shell.env())).code == Exit.OK
    elsewhere = await shell.run("ps", env=shell.env(COORD_URL="ws://127.0.0.1:1"))
    assert elsewhere.code == Exit.USAGE  # the stored token is for the stored hub
    assert "NO_TOKEN" in elsewhere.err


async def test_ctrl_c_aborts_the_call(shell: Shell) -> None:
    shell.fake.never("coord.wait")
    process = await shell.start("wait", A)
    assert await asyncio.wait_for(shell.fake.begun.get(), PATIENCE) == "coord.wait"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(shell.fake.aborted.get(), PATIENCE) == "coord.wait"
    await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == Exit.ABORTED


async def test_spokes_and_tokens(shell: Shell) -> None:
    spoke = {
        "spokeId": "sp_1", "name": "forge", "state": "online", "cordoned": False,
        "draining": False, "labels": {"gpu": "1"}, "slots": 4, "live": 1, "version": "0.1.0",
        "lastSeenAt": NOW, "detail": {"killMethod": "subreaper"},
    }  # fmt: skip
    shell.fake.on("spoke.list", {"spokes": [spoke]})
    assert "1/4" in (await shell.run("spoke", "list")).out
    shell.fake.on("spoke.cordon", spoke | {"cordoned": True})
    assert "cordoned" in (await shell.run("spoke", "cordon", "forge")).out
    assert (await shell.run("spoke", "uncordon", "forge")).code == Exit.OK
    assert shell.fake.params("spoke.cordon") == {"spoke": "forge", "cordoned": False}
    shell.fake.on("spoke.drain", {"spoke": spoke, "remaining": 1})
    assert (await shell.run("spoke", "drain", "forge", "--no-wait")).code == Exit.PARTIAL
    shell.fake.on("spoke.invite", {"join": "coord-join:v1:x", "expiresAt": NOW})
    assert (await shell.run("spoke", "invite", "--name", "gpu")).out == "coord-join:v1:x\n"
    shell.fake.on("spoke.revoke", {"spoke": spoke | {"state": "revoked"}, "lost": [A]})
    assert A in (await shell.run("spoke", "revoke", "forge")).out
    made = {"tokenId": "tok_1", "token": "cku_secret", "role": "viewer", "expiresAt": NOW}
    shell.fake.on("token.create", made)
    kept = shell.home / "ci"
    done = await shell.run("token", "create", "ci", "--role", "viewer", "--out", str(kept))
    assert "cku_secret" not in done.out
    assert kept.read_text() == "cku_secret\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


async def test_dashboard_prints_the_link(shell: Shell) -> None:
    shell.fake.on("hub.ticket", {"url": "http://127.0.0.1:7480/login#x", "expiresAt": NOW})
    assert (await shell.run("dashboard")).out == "http://127.0.0.1:7480/login#x\n"


async def test_doctor_names_what_is_amiss(shell: Shell) -> None:
    shell.fake.on("spoke.list", {"spokes": []})
    good = await shell.run("doctor", "-o", "json")
    assert isinstance(good.value, list)
    found = {check["check"]: check["result"] for check in good.value}
    assert found["hub"] == "ok"
    assert found["spokes"] == "warn"
    assert good.code == Exit.OK, good.out
    file = shell.home / "config" / "coord" / "context.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"url": shell.fake.url, "token": shell.fake.token}))
    file.chmod(0o644)
    bad = await shell.run("doctor", env=shell.env())
    assert bad.code == Exit.FAILED
    assert "chmod 600" in bad.out


async def test_watch_shows_again_until_ctrl_c(shell: Shell) -> None:
    shell.fake.sessions(session(A))
    process = await shell.start("ps", "--watch", "-o", "json")
    assert process.stdout is not None
    for _ in range(2):
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        assert json.loads(line)["sessionId"] == A
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == Exit.ABORTED


async def test_version_needs_no_hub(shell: Shell) -> None:
    done = await shell.run("version", "-o", "json", env=shell.env())
    assert isinstance(done.value, dict)
    assert set(done.value) == {"coord", "protocol", "python"}
    assert (await shell.run("--version", env=shell.env())).out.startswith("coord ")
