"""Hand-written bugs in the switchboard: the life of a call, and the modes of an abort."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

_BOARD: Final = "protocol/switchboard.py"
_BOARD_TESTS: Final = ("tests/unit/test_switchboard.py", "tests/model/test_switchboard.py")


def _board(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, _BOARD, old, new, _BOARD_TESTS)


SWITCHBOARD: Final = (
    _board(
        "answer before children",
        "        if entry.children:\n            return",
        "        if False:\n            return",
    ),
    _board(
        "no cascade",
        "            effects += self._abort_all(entry.children, why)\n",
        "            pass\n",
    ),
    _board(
        "children of a finished call are not aborted",
        'return self._abort_all(entry.children, _cancelled("its parent call is over"))',
        "return []",
    ),
    _board(
        "child accepted under an aborted parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is None or above.outcome)",
    ),
    _board(
        "child accepted under a finished parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is None or above.aborted)",
    ),
    _board(
        "child accepted under an answered parent",
        "(above is None or above.aborted or above.outcome)",
        "(above is not None and (above.aborted or above.outcome))",
    ),
    _board(
        "settle twice",
        "if entry is None or entry.runs_on is not None or entry.outcome is not None:",
        "if entry is None or entry.runs_on is not None:",
    ),
    _board(
        "a handler answers for the far side",
        "if entry is None or entry.runs_on is not None or entry.outcome is not None:",
        "if entry is None or entry.outcome is not None:",
    ),
    _board(
        "lost link not failed",
        "if entry.runs_on == link and entry.call.id in self._calls:",
        "if False:",
    ),
    _board(
        "lost caller not aborted",
        "                if not entry.call.detach:\n",
        "                if False:\n",
    ),
    _board(
        "detached caller aborted",
        "                if not entry.call.detach:\n",
        "                if True:\n",
    ),
    _board(
        "answer sent to a lost caller",
        "                entry.placed_by = None\n",
        "                pass\n",
    ),
    _board("held answer never sent", "if above.outcome is None or above.children:", "if True:"),
    _board(
        "held answer sent at the first child",
        "if above.outcome is None or above.children:",
        "if above.outcome is None:",
    ),
    _board(
        "abort of somebody else's call",
        "if entry is None or entry.placed_by != link:\n                    return []",
        "if entry is None:\n                    return []",
    ),
    _board(
        "abort the whole board",
        "effects += self._abort_all(entry.children, why)",
        "effects += self._abort_all(self._calls, why)",
    ),
    _board(
        "never stop the handler",
        "            effects.append(Stop(entry.call.id, why))",
        "            pass",
    ),
    _board(
        "never tell the far side of an abort",
        "effects.append(Send(entry.runs_on, Abort(entry.call.id, why.message, mode)))",
        "pass",
    ),
    _board("told to stop twice", "        if entry.aborted is not None:\n", "        if False:\n"),
    _board(
        "answer from the wrong link accepted",
        "        if entry is None or entry.runs_on != link:\n"
        '            return [Accuse(link, f"an answer',
        '        if entry is None:\n            return [Accuse(link, f"an answer',
    ),
    _board(
        "item from the wrong link accepted",
        "        if entry is None or entry.runs_on != link:\n"
        '            return [Accuse(link, f"an item',
        '        if entry is None:\n            return [Accuse(link, f"an item',
    ),
    _board("item gap accepted", "if item.seq != entry.items + 1:", "if item.seq <= entry.items:"),
    _board(
        "item repeated accepted",
        "if item.seq != entry.items + 1:",
        "if item.seq > entry.items + 1:",
    ),
    _board(
        "item after the end",
        "entry.placed_by is None or entry.aborted or entry.outcome:\n            return []\n"
        "        entry.items += 1",
        "entry.placed_by is None:\n            return []\n        entry.items += 1",
    ),
    _board("credit ignored", "return entry.items < entry.granted", "return True"),
    _board("credit not added", "        entry.granted += credit.n\n", "        pass\n"),
    _board(
        "one item too many",
        "return entry.items < entry.granted",
        "return entry.items <= entry.granted",
    ),
    _board(
        "a detached stream waits for the credit of a lost reader",
        "if entry is None or entry.placed_by is None or entry.granted is None:",
        "if entry is None or entry.granted is None:",
    ),
    _board(
        "in-flight count not lowered",
        "            self._asked[entry.counted_on] -= 1\n",
        "            pass\n",
    ),
    _board("no limit in flight", "if asked >= MAX_IN_FLIGHT:", "if asked < 0:"),
    _board("in-flight count survives the link", "        self._asked.pop(link, None)\n", ""),
    _board("duplicate id re-run", "if self._asked_by(link, call.id) is not None:", "if False:"),
    _board(
        "one link's id is another's",
        "        if said in self._calls:\n",
        "        if False:\n",
    ),
    _board(
        "an abort of one is an abort of both",
        "return entry if entry is not None and entry.counted_on == link else None",
        "return entry",
    ),
    _board(
        "answered under a name that the link never said",
        "said = outcome if entry.said == id else replace(outcome, id=entry.said)",
        "said = outcome",
    ),
    _board(
        "duplicate id answered under the id",
        "return [Send(link, Fault(None, twice))]",
        "return [Send(link, Fault(call.id, twice))]",
    ),
)

MODES: Final = (
    _board(
        "killnowait kills nothing",
        "return self._let_go(entry, why) + self._abort(entry, why, mode)",
        "return self._let_go(entry, why)",
    ),
    _board(
        "killnowait waits",
        "return self._let_go(entry, why) + self._abort(entry, why, mode)",
        "return self._abort(entry, why, mode)",
    ),
    _board(
        "the mode is not passed on",
        "Abort(entry.call.id, why.message, mode)",
        "Abort(entry.call.id, why.message)",
    ),
    _board(
        "skip is not passed on",
        "Abort(entry.call.id, skipped.message, Mode.SKIP)",
        "Abort(entry.call.id, skipped.message)",
    ),
    _board(
        "skip kills",
        "return self._skip(entry)",
        "return self._skip(entry) + self._abort(entry, why)",
    ),
    _board(
        "a parent waits for what is skipped",
        "return effects + self._leave_parent(entry)\n\n    def _abort(",
        "return effects\n\n    def _abort(",
    ),
    _board("answered at once, and again", "        entry.let_go = True\n", ""),
    _board(
        "items for who went",
        "        entry.placed_by = None\n        if entry.granted",
        "        if entry.granted",
    ),
    _board(
        "what nobody waits for is not counted",
        "if entry.counted_on is not None:",
        "if entry.placed_by is not None and entry.counted_on is not None:",
    ),
    _board(
        "a producer waits for who went",
        "effects.append(GoOn(entry.call.id))  # nobody is left to grant more\n"
        "        return effects",
        "pass\n        return effects",
    ),
    _board("what continues is below", "        if continues:\n", "        if False:\n"),
    _board(
        "an abort above ends what continues",
        "        if continues:\n            entry.parent = None\n        elif above is not None:",
        "        if above is not None:",
    ),
)

PROTOCOL: Final = (*SWITCHBOARD, *MODES)
