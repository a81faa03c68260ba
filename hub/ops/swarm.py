"""coord.swarm: many sessions with one call; each task has its own result."""

from __future__ import annotations

import asyncio

from hub.desk import Asked, Desk
from hub.ops.registry import Operation, read
from hub.ops.spawn import spawn
from protocol.errors import CallError
from protocol.ops.catalogue import SWARM
from protocol.ops.spawning import SpawnParams, Swarmed, SwarmParams, SwarmResult, SwarmTask, Trouble
from protocol.words import slug

_OWN = {"tasks", "branch_prefix", "prompt", "idempotency_key", "labels"}


async def swarm(desk: Desk, asked: Asked[SwarmParams]) -> Swarmed:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_one(desk, asked, _task(task), n))
            for n, task in enumerate(asked.params.tasks)
        ]
    results = [task.result() for task in tasks]
    good = sum(result.session is not None for result in results)
    return Swarmed(results=results, spawned=good, failed=len(results) - good)


async def _one(desk: Desk, asked: Asked[SwarmParams], task: SwarmTask, n: int) -> SwarmResult:
    try:
        params = read(SpawnParams, _spawn_params(asked.params, task, n))
        one = Asked(asked.principal, asked.address, params, asked.context)
        return SwarmResult(task=task.task, session=await spawn(desk, one))
    except CallError as error:
        said = Trouble(
            code=error.code, reason=error.reason, message=error.message, advice=error.advice
        )
        return SwarmResult(task=task.task, error=said)


def _task(task: str | SwarmTask) -> SwarmTask:
    return SwarmTask(task=task) if isinstance(task, str) else task


def _spawn_params(params: SwarmParams, task: SwarmTask, n: int) -> dict[str, object]:
    """What one of them is spawned with; together, its parts may be more than a spawn takes."""
    prompt = params.prompt if task.prompt is None else task.prompt
    branch = task.branch
    if branch is None and params.branch_prefix is not None:
        branch = f"{params.branch_prefix}{slug(task.task)}"
    shared = {name: getattr(params, name) for name in params.model_fields_set if name not in _OWN}
    key = params.idempotency_key
    return {
        **shared,
        "task": task.task,
        "prompt": prompt.replace("{{task}}", task.task),
        "branch": branch,
        "labels": {**params.labels, **task.labels},
        "idempotency_key": None if key is None else f"{key}#{n}",
    }


OPERATION = Operation(SWARM, swarm)
