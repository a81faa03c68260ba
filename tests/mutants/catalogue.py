"""Hand-written bugs, one line each; the tests beside each one must catch it.

To add some: append a `Mutant` whose `old` occurs exactly once in `file`.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.connections import CONNECTIONS
from tests.mutants.failing import FAILING
from tests.mutants.fences import FENCES
from tests.mutants.moves import MOVES
from tests.mutants.mutant import Mutant
from tests.mutants.opencode import OPENCODE
from tests.mutants.permissions import PERMISSIONS
from tests.mutants.protocol import PROTOCOL
from tests.mutants.sandbox import SANDBOX
from tests.mutants.signals import SIGNALS
from tests.mutants.traps import TRAPS


def _policy(name: str, room: str, old: str, new: str) -> Mutant:
    return Mutant(name, f"hub/core/{room}.py", old, new, (f"tests/unit/test_{room}.py",))


POLICIES: Final = (
    _policy("a full spoke is overfilled", "placement", "room.live < room.slots", "True"),
    _policy(
        "labels do not matter",
        "placement",
        "requires.items() <= self.labels.items() and ",
        "",
    ),
    _policy(
        "a spoke fills up unseen",
        "placement",
        "free[best.spoke_id] = replace(best, live=best.live + 1)",
        "free[best.spoke_id] = best",
    ),
    _policy(
        "at once it goes where its agent is not",
        "placement",
        "[room for room in rooms if room.has(session.agent)]\n    chosen",
        "[*rooms]\n    chosen",
    ),
    _policy(
        "an old attempt goes on",
        "reconcile",
        "if one is None or item.attempt < known:",
        "if one is None:",
    ),
    _policy(
        "what nobody knows is superseded",
        "reconcile",
        "if known is None or item.attempt > known or (one is None and item.attempt == known):",
        "if False:",
    ),
    _policy(
        "an order that never arrived is given up",
        "reconcile",
        "if one.live and one.accepted and",
        "if one.live and",
    ),
    _policy("an abort that waits is forgotten", "reconcile", '"stop" if one.aborting else ', ""),
    _policy(
        "no grace after a start",
        "leases",
        "if snapshot.uptime < snapshot.grace:",
        "if False:",
    ),
    _policy(
        "a reaper that slept trusts itself",
        "leases",
        "if snapshot.gap > LOOP_GAP_SECONDS:",
        "if False:",
    ),
    _policy("a storm is believed", "leases", "many >= STORM_LEAST and ", "False and "),
    _policy(
        "what no ref can hold is removed", "keeping", "    if seen.left_out:\n", "    if False:\n"
    ),
    _policy(
        "an older state counts as saved",
        "keeping",
        "    if seen.saved:\n",
        "    if seen.saved_ref:\n",
    ),
    _policy("what lives is resumed", "resuming", "if give_up and not (", "if False and not ("),
    _policy(
        "what is saved on a lost machine alone is passed over",
        "resuming",
        "if behind and not wish.accept_loss:",
        "if False:",
    ),
    _policy(
        "what was given up goes on when its spoke is back",
        "reconcile",
        "    if one.given_up:\n",
        "    if False:\n",
    ),
    _policy("dirt is removed", "keeping", "    if seen.dirty:\n", "    if False:\n"),
    _policy(
        "what cannot be seen is removed", "keeping", "    if seen is None:\n", "    if False:\n"
    ),
)


def _work(name: str, file: str, old: str, new: str) -> Mutant:
    tests = ("tests/integration/test_nothing_unsaved_is_removed.py",)
    return Mutant(name, f"spoke/{file}.py", old, new, tests)


def _back(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "spoke/restoring.py", old, new, ("tests/integration/test_restoring.py",))


WORK: Final = (
    _back(
        "what another spoke sent is passed over for what the hub was told",
        "if there is not None and is_news:",
        "if False:",
    ),
    _back(
        "what the hub was told counts though newer work stands on it",
        "if told is not None and told in (there, here):",
        "if told is not None:",
    ),
    _back(
        "what is passed over is lost",
        "if here is not None and here == told and",
        "if False and",
    ),
    _work("removed unsaved", "removal", "if study.seen.left_out and not wish.force:", "if False:"),
    _work(
        "a look is believed whatever was touched since",
        "inspection",
        "if proof is None or walked.touched:",
        "if proof is None:",
    ),
    _work(
        "untracked files are left out",
        "desk",
        '"ls-files", "-z", "-m", "-o", "-d"',
        '"ls-files", "-z", "-m", "-d"',
    ),
    _work("an older state will do", "saving", "self.old_tree == self.tree", "True"),
    _work("what was staged is lost", "saving", "if state.staged is not None:", "if False:"),
    _work("a branch that HEAD left is lost", "saving", "    parents.append(state.tip)\n", ""),
)


MUTANTS: Final = (
    *PROTOCOL,
    *CONNECTIONS,
    *POLICIES,
    *FENCES,
    *TRAPS,
    *SIGNALS,
    *OPENCODE,
    *WORK,
    *PERMISSIONS,
    *SANDBOX,
    *FAILING,
    *MOVES,
)
