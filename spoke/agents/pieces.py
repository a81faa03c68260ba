"""What an agent says in pieces, put together: whole once it turns to something else. Pure."""

from __future__ import annotations

from spoke.agents.tongue import Text


class Pieces:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._message = ""

    def add(self, piece: str, message: str) -> list[Text]:
        """The message before, where this is of another one; ``message``: its name, if it has."""
        before = [] if message == self._message else self.whole()
        self._message = message
        self._pieces.append(piece)
        return before

    def whole(self) -> list[Text]:
        text = "".join(self._pieces).strip()
        self._pieces.clear()
        return [Text(text)] if text else []
