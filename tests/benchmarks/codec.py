"""A frame as text and back: what the border costs, beside the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

from protocol.frames import CallId, Reply, read, write
from protocol.ops.sessions import Status
from tests.benchmarks.bench_ops import STATUS_PARAMS, view
from tests.benchmarks.stage import Stage
from tests.benchmarks.table import Row, Value

BATCH = 500  #: between two looks at the clock


async def figure(stage: Stage) -> list[Row]:
    status = Status(sessions=[view()])
    answer = Reply(CallId("c_018f5a"), status)
    asked = {"jsonrpc": "2.0", "id": "c_018f5a", "method": "coord.status", "params": STATUS_PARAMS}
    call, written = json.dumps(asked, separators=(",", ":")), write(answer)
    beside = {"id": "c_018f5a", "result": status.model_dump(mode="json", by_alias=True)}
    rounds = stage.scale.times
    return [
        Row(f"decode a call of {len(call)} B", _cost(lambda: read(call), rounds),
            _cost(lambda: json.loads(call), rounds), "json.loads, nothing checked"),
        Row(f"encode an answer of {len(written)} B", _cost(lambda: write(answer), rounds),
            _cost(lambda: json.dumps(beside), rounds), "json.dumps of plain values"),
    ]  # fmt: skip


def _cost(do: Callable[[], object], rounds: int) -> Value:
    """Of one, in microseconds of CPU."""
    costs: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(BATCH):
            do()
        costs.append((time.process_time() - began) / BATCH * 1e6)
    return Value(median(costs), "us CPU")
