"""coordctl swarm: start many sessions with one call."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from coord.cli.asking import ask, slow_told
from coord.cli.exits import Exit
from coord.cli.out import add_format, out_of
from coord.cli.views import SWARMED
from coord.cli.work import add_work, prompt_of, repo_of, work_of
from coord.client import Hub
from protocol.ops.catalogue import SWARM


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "coordctl swarm TASK... [options] -- PROGRAM [ARGUMENT...]"
    parser.add_argument("tasks", metavar="TASK", nargs="+", help="one session for each")
    parser.add_argument("--branch-prefix", metavar="TEXT", help="the branch is TEXT and the task")
    add_work(parser)
    add_format(parser)
    parser.epilog = "example: coordctl swarm lint docs --prompt 'Do {{task}}' -- ./agent.sh"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Exit:
    tasks: Sequence[str] = args.tasks
    prefix: str | None = args.branch_prefix
    repo, prompt = repo_of(args.repo), prompt_of(args)

    async def work(hub: Hub) -> Exit:
        said = await work_of(hub, args)
        given = {"tasks": tasks, "repo": repo, "prompt": prompt, "branch_prefix": prefix}
        async with slow_told("not all of them run yet; why: coordctl ps, coordctl explain TASK"):
            done = await hub.ask(SWARM, {**given, **said})
        out_of(args).rows(done.results, SWARMED, whole=done)
        if done.failed == 0:
            return Exit.OK
        return Exit.PARTIAL if done.spawned else Exit.FAILED

    return ask(work)
