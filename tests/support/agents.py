"""Small agents for tests of faults: shell that counts, works, or will not die.

Each line that they write says what should be true: `tests/support/inspector.py` compares.
"""

from __future__ import annotations

from typing import Final

#: Counts aloud until there is a file `stop` in its worktree; its last line says how far it got.
COUNT: Final = (
    'n=0; while [ ! -e stop ]; do n=$((n+1)); echo "line $n"; sleep 0.05; done; echo "last $n"'
)
#: The same, and cheap where there are many.
SLOW_COUNT: Final = COUNT.replace("0.05", "0.5")
#: For ever, and quietly.
WAIT: Final = "echo ready; while :; do sleep 60; done"
#: Writes, commits, and writes once more; then counts until it is told to stop.
WORK: Final = f"""
echo 1 > one; git add one; git commit -qm one; echo "committed $(git rev-parse HEAD)"
echo draft > two; echo "wrote two draft"
{COUNT}"""
STUBBORN: Final = "trap '' INT TERM; echo ready; while :; do sleep 0.2; done"

#: Descendants that ordinary ways of killing miss. Each says when it is there: `ready`.
DESCENDANTS: Final = {
    "ignores INT and TERM": "(trap '' INT TERM; while :; do sleep 0.2; done) & echo ready; wait",
    "a session of its own": "setsid sleep 900 & echo ready; wait",
    "forked twice": "(setsid sleep 900 &) ; echo ready; while :; do sleep 60; done",
    "respawns": (
        "setsid sh -c 'trap \"\" INT TERM; while :; do sleep 0.05; done' & echo ready; wait"
    ),
    "a process group of its own": "set -m; sleep 900 & echo ready; wait",
    "an empty environment": "setsid env -i sleep 900 & echo ready; wait",
}


def check_count(lines: list[str]) -> int:
    """Every number once, in order, up to the last word; how many there were."""
    count = int(lines[-1].removeprefix("last "))
    assert lines[:-1] == [f"line {n}" for n in range(1, count + 1)]
    return count


def script(kind: str, lines: int) -> str:
    """A session of `make chaos`: it prints so many numbered lines, and does as its kind does."""
    count = f'n=0; while [ $n -lt {lines} ]; do n=$((n+1)); echo "line $n"; sleep 0.2; done; '
    done = f'echo "last {lines}"'
    return {
        "counts": count + done,
        "works": (
            "echo 1 > one; git add one; git commit -qm one; "
            'echo "committed $(git rev-parse HEAD)"; '
            + count
            + 'echo draft > two; echo "wrote two draft"; '
            + done
        ),
        "fails": count + "exit 3",
        "listens": 'while read -r x; do [ "$x" = end ] && exit 0; echo "heard $x"; done',
        "leaves some": "setsid sleep 900 & (setsid sleep 900 &); " + count + done,
        "will not": f"trap '' INT TERM; setsid sleep 900 & {count}" + "while :; do sleep 1; done",
    }[kind]
