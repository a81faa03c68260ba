"""Hand-written bugs in what goes on over many wires, and in streams."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_LEDGER_TESTS: Final = ("tests/unit/test_resume.py", "tests/model/test_switchboard.py")
_NODE_TESTS: Final = ("tests/shell/test_reconnect.py", "tests/shell/test_node.py")


def _ledger(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "protocol/resume.py", old, new, _LEDGER_TESTS)


def _node(name: str, room: str, old: str, new: str) -> Mutant:
    return Mutant(name, f"protocol/aio/{room}.py", old, new, _NODE_TESTS)


RESUME: Final = (
    _ledger("nothing is kept", "            self._unheard += waiting\n", "            pass\n"),
    _ledger(
        "nothing is said again", "        self._waiting.extendleft(reversed(self._unheard))\n", ""
    ),
    _ledger(
        "said again in the wrong order",
        "extendleft(reversed(self._unheard))",
        "extendleft(self._unheard)",
    ),
    _ledger(
        "said again after what is new",
        "self._waiting.extendleft(reversed(self._unheard))",
        "self._waiting.extend(self._unheard)",
    ),
    _ledger("said again twice", "        self._unheard.clear()\n", ""),
    _ledger(
        "what was heard is said again",
        "        self.acknowledge(heard)\n        self._waiting",
        "        self._waiting",
    ),
    _ledger("a fenced wire is heard", "        if turn != self.turn:\n", "        if False:\n"),
    _ledger(
        "no wire is fenced", "self.turn = Turn(self.turn + 1)", "self.turn = Turn(self.turn + 0)"
    ),
    _ledger("nothing is counted", "            self.heard += 1\n", ""),
    _ledger(
        "counted while nobody keeps",
        "        if self.keeps:\n            self.heard",
        "        if True:\n            self.heard",
    ),
    _ledger(
        "acks forget nothing",
        "            self.size -= len(self._unheard.popleft())\n",
        "            self._unheard[0]\n",
    ),
    _ledger(
        "acks forget one too many",
        "while self._forgotten < heard:",
        "while self._forgotten <= heard and self._unheard:",
    ),
    _ledger(
        "more may be heard than was said",
        "if heard > self._forgotten + len(self._unheard):",
        "if False:",
    ),
    _ledger(
        "a resume after a gap",
        "if not self.keeps or not 0 <= heard - self._forgotten",
        "if not self.keeps or not -9 <= heard - self._forgotten",
    ),
    _ledger(
        "a resume that heard too much",
        "<= len(self._unheard):\n            raise expired",
        "<= 1 << 30:\n            raise expired",
    ),
    _ledger("a resume of what is not kept", "if not self.keeps or not 0 <=", "if not 0 <="),
    _ledger(
        "the welcome is counted",
        "        self._loose.extend(self._waiting)\n        self._waiting.clear()\n",
        "",
    ),
    _ledger("an old ack goes over the new wire", "        self._loose.clear()\n", ""),
    _ledger("no ack for many frames", "self.heard - self._told >= ACK_FRAMES or ", ""),
    _ledger("no ack for many bytes", " or self._untold >= ACK_BYTES", ""),
    _ledger("acks without end", "        self._told, self._untold = self.heard, 0\n", ""),
    _node("the later wire gives way", "lines", "if link.ledger.turn != turn:", "if False:"),
    _node(
        "the old wire goes on",
        "lines",
        "        self._drop(id)\n        return link.ledger.fence()",
        "        return link.ledger.fence()",
    ),
    _node(
        "what is kept grows for ever",
        "node",
        "if link.overflows and not self.lines.carried(link.id):",
        "if False:",
    ),
)

STREAMS: Final = (
    _node(
        "credit is never topped up",
        "streams",
        "if call.credit is not None and taken * 2 >= call.credit:",
        "if False:",
    ),
    _node(
        "credit is given back twice",
        "streams",
        "                taken = 0\n",
        "                pass\n",
    ),
    _node(
        "a handler does not wait for credit",
        "running",
        "        while not may_emit(id):\n",
        "        while False:\n",
    ),
    _node(
        "a stream that waits for its reader is idle",
        "running",
        "        if run.idle is not None:\n            run.idle.cancel()\n        while",
        "        while",
    ),
    _node(
        "a stream may be idle for ever",
        "running",
        'self._abort(call.id, DeadlineExceeded("IDLE", idle))',
        "pass",
    ),
    _node(
        "a full link holds nobody",
        "node",
        "            await self.lines[link].wait_below_high_water()\n",
        "            pass\n",
    ),
)

CONNECTIONS: Final = (*RESUME, *STREAMS)
