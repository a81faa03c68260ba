"""The parts of docs/ that are made from the code, so that neither can say what the other does not.

python -m tests.docs --write    make them again
python -m tests.docs            exit with 1, and name them, if any has to be
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from protocol import schema
from protocol.ops.catalogue import CATALOGUE, LIVE, Op, Role
from protocol.ops.shapes import Params
from protocol.session import ENDED, TRANSITIONS, Fact, State, diagram
from spoke.environment import Bearings

DOCS: Final = Path(__file__).parent.parent / "docs"

_MEANING: Final = re.compile(r'^ +([A-Z_]+) = ".*"  #: (.+)$', re.MULTILINE)

#: What each variable of a session is for. A variable that the spoke sets and this does not name,
#: or the other way round, is an error.
VARIABLES: Final[Mapping[str, str]] = {
    "COORD_SESSION_ID": "the id of this session",
    "COORD_ATTEMPT": "which attempt of the session this is, counted from 1",
    "COORD_RESUMED": "1 where an attempt before this one ran: its work is in the worktree",
    "COORD_AGENT_SESSION_ID": "the agent's own session to go on with, where it told one",
    "COORD_TASK": "the name of its task",
    "COORD_WORKTREE": "its worktree; also the working directory at the start",
    "COORD_BRANCH": "the branch that is checked out there",
    "COORD_REPO": "the repository, as it was given to `coord.spawn`",
    "COORD_PROMPT_FILE": "a file with the whole prompt",
    "COORD_PROMPT": "the prompt itself; not set where it is over 100,000 bytes",
    "COORD_URL": "the hub, with its pin where it has one",
    "COORD_TOKEN_FILE": "a file with the credential of this session",
    "COORD_PARENT_SESSION_ID": "the session that spawned this one; not set where none did",
}


def states() -> str:
    """The states, each with what it means."""
    rows = [
        [f"`{state}`", "end" if state in ENDED else "", _meanings(State)[state.name]]
        for state in State
    ]
    return _table(["state", "", "meaning"], rows)


def transitions() -> str:
    """All legal moves: a state, told a fact, becomes another."""
    rows = [
        [f"`{state}`", f"`{fact}`", f"`{after}`", _meanings(Fact)[fact.name]]
        for state, moves in TRANSITIONS.items()
        for fact, after in moves.items()
    ]
    return _table(["in", "told", "becomes", "which means"], rows)


def picture() -> str:
    return f"```mermaid\n{diagram()}\n```"


def operations() -> str:
    """What a hub answers, by whom it may be asked."""
    rows = [[f"`{op.name}`", op.kind.value, _who(op), op.summary] for op in CATALOGUE.values()]
    return _table(["operation", "kind", "who may ask", "what it does"], rows)


def parameters() -> str:
    """What each operation takes and answers."""
    return "\n\n".join(_described(op) for op in CATALOGUE.values())


def orders() -> str:
    """What a spoke answers, when its hub asks."""
    rows = [[f"`{op.name}`", op.kind.value, op.summary] for op in LIVE.values()]
    return _table(["operation", "kind", "what it does"], rows)


def variables() -> str:
    """What an agent finds in its environment. Raises KeyError for one without a meaning."""
    here = Path("/")
    everything = Bearings("s", "p", 2, True, "a", "t", here, "b", "r", "p", here, "u", here)
    names = everything.variables().keys()
    if spare := VARIABLES.keys() - names:
        raise KeyError(f"no spoke sets {sorted(spare)}")
    return _table(["variable", "what it is"], [[f"`{name}`", VARIABLES[name]] for name in names])


PARTS: Final = {
    "sessions.md": {"states": states, "transitions": transitions, "diagram": picture},
    "operations.md": {
        "operations": operations,
        "orders": orders,
        "variables": variables,
        "parameters": parameters,
    },
}


def frames() -> str:
    """The schema of the frames, for whoever implements them without coord."""
    return json.dumps(schema.frames(), indent=2, ensure_ascii=False) + "\n"


#: Files that are made as a whole.
WHOLE: Final = {"schema/frames.json": frames}


def renewed(file: str) -> str:
    """The text of a document with its generated parts made again.

    Raises ValueError when one of them has no place: `<!-- made: NAME -->` ... `<!-- end: NAME -->`.
    """
    if file in WHOLE:
        return WHOLE[file]()
    text = (DOCS / file).read_text()
    for name, make in PARTS[file].items():
        begin, end = f"<!-- made: {name} -->", f"<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"docs/{file} has no place for {name}")
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n\n{make()}\n\n{end}{after}"
    return text


MADE: Final = (*PARTS, *WHOLE)


def current(file: str) -> str:
    """A document as it is; nothing where there is none yet."""
    return (DOCS / file).read_text() if (DOCS / file).exists() else ""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make them again")
    write = parser.parse_args(argv).write
    stale = [file for file in MADE if renewed(file) != current(file)]
    for file in stale:
        if write:
            (DOCS / file).write_text(renewed(file))
        print(f"docs/{file} {'was made again' if write else 'is not what the code says'}")
    return 0 if write or not stale else 1


def _meanings(words: type[StrEnum]) -> Mapping[str, str]:
    """The comment beside each word, which is where its meaning is kept."""
    return dict(_MEANING.findall(inspect.getsource(words)))


def _who(op: Op[Params, BaseModel]) -> str:
    return ", ".join(role.value for role in Role if role in op.roles)


def _described(op: Op[Params, BaseModel]) -> str:
    takes = _fields(op.params)
    lines = [f"### {op.name}", "", op.summary, ""]
    lines.append(f"Takes: {takes or 'nothing'}.")
    if op.item is not None:
        lines.append(f"Each item: {_fields(op.item)}.")
    lines.append(f"Answers: {_fields(op.result, marked=False) or 'nothing'}.")
    if op.idempotent:
        lines.append("May be sent again when the link was lost.")
    return "\n".join(lines)


def _fields(shape: type[BaseModel], *, marked: bool = True) -> str:
    """The names on the wire; those that must be given are in bold."""
    return ", ".join(
        f"**`{field.alias or name}`**"
        if marked and field.is_required()
        else f"`{field.alias or name}`"
        for name, field in shape.model_fields.items()
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
