"""Sessions as a tree by parent. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protocol.ops.sessions import SessionView


def tree(sessions: Sequence[SessionView]) -> list[tuple[str, SessionView]]:
    """Each session behind the lines that lead to it, parents first, older before younger.

    A session whose parent is not among them stands as a root.
    """
    ids = {one.session_id for one in sessions}
    below: dict[str | None, list[SessionView]] = {}
    for one in sorted(sessions, key=lambda one: (one.created_at, one.session_id)):
        parent = one.parent_session_id if one.parent_session_id in ids else None
        below.setdefault(parent, []).append(one)
    return list(_walk(below, None, "", top=True))


def _walk(
    below: dict[str | None, list[SessionView]], parent: str | None, lead: str, *, top: bool
) -> Iterator[tuple[str, SessionView]]:
    children = below.get(parent, [])
    for place, one in enumerate(children):
        last = place == len(children) - 1
        yield lead if top else lead + ("└ " if last else "├ "), one
        deeper = lead if top else lead + ("  " if last else "│ ")
        yield from _walk(below, one.session_id, deeper, top=False)
