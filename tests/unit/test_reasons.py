"""Every reason that the code may give is in docs/errors.md with its codes, cause and advice."""

from __future__ import annotations

import ast
import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from protocol import errors
from protocol.errors import BY_CODE, CallError, CoordError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, CallError)
}

#: Put together from parts, or chosen first and raised later.
COMPOSED = {
    "TOKEN_REVOKED": "UNAUTHENTICATED",
    "TOKEN_USED": "UNAUTHENTICATED",
    "TOKEN_EXPIRED": "UNAUTHENTICATED",
    "JOIN_TOKEN_REVOKED": "UNAUTHENTICATED",
    "JOIN_TOKEN_USED": "UNAUTHENTICATED",
    "JOIN_TOKEN_EXPIRED": "UNAUTHENTICATED",
    "AGENT_NOT_FOUND": "FAILED_PRECONDITION",
    "AGENT_BUSY": "FAILED_PRECONDITION",
}

_REASON = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([A-Z_, ]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    rows = _ROW.findall(PAGE.read_text())
    assert len({reason for reason, *_ in rows}) == len(rows), "a reason has one row"
    return {reason: set(codes.split(", ")) for reason, codes, *_ in rows}


@cache
def used() -> dict[str, set[str]]:
    """The reasons in the source, each with the codes that it is given with."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for package in ("coord", "hub", "spoke", "protocol"):
        for file in (ROOT / package).rglob("*.py"):
            for code, reason in _raised(_parsed(file)):
                found[reason].add(code)
    for reason, code in COMPOSED.items():
        found[reason].add(code)
    return dict(found)


def _parsed(file: Path) -> ast.Module:
    """With the collector off: Python 3.11 takes what that runs in the middle of a parse for a fault
    of the parser (python/cpython#106905).
    """
    gc.disable()
    try:
        return ast.parse(file.read_text())
    finally:
        gc.enable()


def _raised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    nodes = list(ast.walk(tree))
    chosen = _chosen(nodes)
    for call in (node for node in nodes if isinstance(node, ast.Call) and node.args):
        for kind in _called(call.func, chosen):
            for word in ast.walk(call.args[0]):
                if isinstance(word, ast.Constant) and _REASON.fullmatch(str(word.value)):
                    yield kind.code, str(word.value)


def _called(word: ast.expr, chosen: dict[str, list[type[CallError]]]) -> list[type[CallError]]:
    """The class that is called; where a variable is, each class that it may be."""
    meant = chosen.get(word.id, []) if isinstance(word, ast.Name) else []
    return _named(word) or meant


def _chosen(nodes: list[ast.AST]) -> dict[str, list[type[CallError]]]:
    """The variables that are one class or another, each with those that it may be."""
    found: defaultdict[str, list[type[CallError]]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            kinds = [*_named(node.value.body), *_named(node.value.orelse)]
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] += kinds
    return found


def _named(word: ast.expr) -> list[type[CallError]]:
    """The class of an error that a word is; nothing for any other."""
    return [KINDS[word.id]] if isinstance(word, ast.Name) and word.id in KINDS else []


def test_the_page_and_the_code_name_the_same_reasons_under_the_same_codes() -> None:
    said, done = documented(), used()
    assert sorted(done.keys() - said.keys()) == [], f"add a row to {PAGE.name}"
    assert sorted(said.keys() - done.keys()) == [], f"no code gives it: take it out of {PAGE.name}"
    assert said == done


def test_the_collector_finds_what_is_built_in_other_ways() -> None:
    assert {"FOLDER_NOT_PRIVATE", "FILE_NOT_PRIVATE", "SPAWN_FAILED"} <= used().keys()
    assert used()["UNWRITABLE"] == {"INVALID_ARGUMENT", "INTERNAL"}


def test_the_tree_is_drawn_as_it_is() -> None:
    """The docstring of `protocol/errors.py` has each class, below its parent, with its code."""
    drawn = re.findall(r"^( *)\* (\w+)(?: +([A-Z_]+)\b)?", errors.__doc__ or "", re.MULTILINE)
    above: list[str] = []
    for indent, name, code in drawn:
        depth = len(indent) // 2
        kind = vars(errors)[name]
        assert depth == 0 or kind.__bases__[0].__name__ == above[depth - 1], name
        assert not code or kind.code == code, name
        above[depth:] = [name]
    real = {n for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, CoordError)}
    assert {name for _, name, _ in drawn} == real
    assert {KINDS[name].code for _, name, _ in drawn if name in KINDS} >= BY_CODE.keys()
