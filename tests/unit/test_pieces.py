"""Pieces of what is said come together, each message by itself."""

from __future__ import annotations

from spoke.agents.pieces import Pieces
from spoke.agents.tongue import Text


def test_pieces_of_one_message_are_one_text() -> None:
    said = Pieces()
    assert said.add(" I ", "1") == []
    assert said.add("work.\n", "1") == []
    assert said.whole() == [Text("I work.")]
    assert said.whole() == []


def test_another_message_is_another_text() -> None:
    said = Pieces()
    said.add("one", "1")
    assert said.add("two", "2") == [Text("one")]
    assert said.add("three", "") == [Text("two")]
    assert said.add("four", "") == []
    assert said.whole() == [Text("threefour")]
