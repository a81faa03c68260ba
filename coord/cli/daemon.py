"""What processes that stay have in common: their log, their signals, their end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Final

import uvloop

from coord.cli import terminal
from coord.cli.exits import Exit

_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_YOUNG: Final = 10_000  # objects that are made before the collector looks; by default 700


class OneLine(logging.Formatter):
    """One line for each event. A traceback follows indented, so that none can pose as an event."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return terminal.cell(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        first, *trace = super().format(record).split("\n")
        return "\n".join([first, *(f"    {terminal.cell(line)}" for line in trace)])


def log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def run_fast(work: Coroutine[object, object, Exit]) -> Exit:
    """On uvloop: for a hub. A spoke keeps to the stock loop, whose subprocesses are cheaper."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def stay() -> None:
    """What is there now stays: the garbage collector need not walk it again and again.

    A hub's modules and schemas are a quarter of a million objects. With thousands of calls in
    flight the collector spent a fifth of a busy hub's time on walking them.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG)


@contextmanager
def stop_signals() -> Generator[asyncio.Event]:
    """Set by the first of SIGINT, SIGTERM and SIGHUP; a second one is not waited for politely."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def heard() -> None:
        stop.set()
        for one in _STOPS:
            loop.remove_signal_handler(one)

    for one in _STOPS:
        loop.add_signal_handler(one, heard)
    try:
        yield stop
    finally:
        for one in _STOPS:
            loop.remove_signal_handler(one)


async def first_of(*works: Coroutine[object, object, object]) -> int:
    """Which of them ended first, from 0; the others are cancelled. Raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return min(tasks.index(task) for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
