"""The cures of the five traps of asyncio and websockets, taken away one by one."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant


def _trap(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, file, old, new, ("tests/shell/test_traps.py",))


TRAPS: Final = (
    _trap(
        "a task that never began answers nothing",
        "protocol/aio/running.py",
        "        if not run.began:\n",
        "        if False:\n",
    ),
    _trap(
        "nobody watches over sends",
        "protocol/aio/carrier.py",
        "                self.wire.cut()\n",
        "                pass\n",
    ),
    _trap(
        "the kernel waits for a frozen peer",
        "protocol/aio/dial.py",
        "        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)\n",
        "        pass\n",
    ),
    _trap(
        "the reader awaits the handlers",
        "protocol/aio/carrier.py",
        "                take(self, text)\n",
        "                take(self, text)\n"
        "                handlers = [t for t in asyncio.all_tasks() if '_work' in repr(t)]\n"
        "                await asyncio.gather(*handlers)\n",
    ),
    _trap(
        "being let in ends a spoke's patience",
        "spoke/link.py",
        "        if ended.up >= STEADY_S:\n",
        "        if True:\n",
    ),
    _trap(
        "a welcome ends a client's patience",
        "coord/line.py",
        "        if loop.time() - since > STEADY_SECONDS:\n",
        "        if True:\n",
    ),
    _trap(
        "closing takes as long as it likes",
        "protocol/aio/dial.py",
        "            close_timeout=CLOSE_SECONDS,\n",
        "",
    ),
)
