"""coordctl spawn: start a session in a worktree of its own."""

from __future__ import annotations

import argparse
import shlex

from coord.cli.asking import ask, outcome, slow_told
from coord.cli.exits import Exit
from coord.cli.out import Out, add_format, out_of
from coord.cli.transcript import Place, follow
from coord.cli.views import SPAWNED
from coord.cli.work import add_work, prompt_of, repo_of, work_of
from coord.client import Hub
from protocol.ops.catalogue import SPAWN
from protocol.session import ENDED


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "coordctl spawn TASK [options] -- PROGRAM [ARGUMENT...]"
    parser.add_argument("task", metavar="TASK", help="a short name for the work")
    parser.add_argument("--branch", metavar="NAME", help="default: coord/TASK-...")
    parser.add_argument("-f", "--follow", action="store_true", help="print its transcript too")
    add_work(parser)
    add_format(parser)
    parser.epilog = "example: coordctl spawn fix-login --repo . --prompt 'Fix it' -- ./agent.sh"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    task: str = args.task
    branch: str | None = args.branch
    repo, prompt = repo_of(args.repo), prompt_of(args)

    async def work(hub: Hub) -> Exit:
        said = await work_of(hub, args)
        given = {"task": task, "repo": repo, "prompt": prompt, "branch": branch}
        async with slow_told(
            f"{task} is not running yet; why: coordctl explain {shlex.quote(task)}"
        ):
            spawned = await hub.ask(SPAWN, {**given, **said})
        out = out_of(args)
        out.rows([spawned], SPAWNED, whole=spawned)
        if args.follow:
            return await _awaited(hub, spawned.session_id, out)
        return outcome([spawned.state]) if spawned.state in ENDED else Exit.OK

    return ask(work)


async def _awaited(hub: Hub, id: str, out: Out) -> Exit:
    await follow(hub, id, out, Place())
    waited = await hub.wait(id)
    return outcome([session.state for session in waited.sessions])
