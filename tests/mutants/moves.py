"""Bugs in what moves worktrees into the trash and out of it, and in what a name means."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant


def _kept(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, "spoke/kept.py", old, new, ("tests/integration/test_trash_moves.py",))


def _named(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, f"coord/cli/{file}.py", old, new, ("tests/shell/test_names.py",))


MOVES: Final = (
    _kept(
        "a restore says too late that it began",
        "            (folder / _HERE).rename(folder / _GOING)\n"
        "            with _undoing(lambda: self._return(folder, place, entry, clone)):\n"
        "                _bring_out(folder, place, _OUT)\n",
        "            with _undoing(lambda: self._return(folder, place, entry, clone)):\n"
        "                _bring_out(folder, place, _OUT)\n"
        "                (folder / _HERE).rename(folder / _GOING)\n",
    ),
    _kept(
        "what is back is noted too late",
        "                notes.write(clone, entry.note)\n                self._drop(folder)\n",
        "                self._drop(folder)\n                notes.write(clone, entry.note)\n",
    ),
    _kept("a removal looks done before it is", "self._write(entry, _COMING)", "self._write(entry)"),
    _kept(
        "a removal is undone over somebody else",
        "[part for part in _OUT if not os.path.lexists(paths[part])]",
        "_OUT",
    ),
    _kept(
        "a restore is undone over somebody else",
        "lexists(paths[part]) and not os.path.lexists(folder / part)",
        "lexists(paths[part])",
    ),
    _kept("what is noted comes to the trash", "notes.forget(clone, entry.note.session)", "pass"),
    _kept(
        "the half of a worktree is thrown away",
        "if (self._root / entry.id / _HERE).exists():  # of anything",
        "if True:  # of anything",
    ),
    _kept(
        "the half of a worktree is counted as whole",
        "            if (self._root / entry.id / _HERE).exists():\n                self._write(",
        "            if True:\n                self._write(",
    ),
    _named("a name is guessed from those that ended", "asking", "in among]", "not in among]"),
    _named("the start of an id is guessed", "asking", "for one in exact if", "for one in found if"),
    _named("a lost one is not aborted by its name", "abort", "LIVE | {State.LOST}", "LIVE"),
    _named("a blocked one is not heard by its name", "message", "LIVE | {State.BLOCKED}", "LIVE"),
    _named("a resume guesses", "resume", ", among=()", ""),
    _named(
        "a cleanup guesses", "cleanup", "resolve_all(hub, refs, among=())", "resolve_all(hub, refs)"
    ),
    _named("a cleanup guesses whose tree", "cleanup", "args.tree, among=()", "args.tree"),
)
