"""A handoff brief says what is known, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

from hub.core.handoff import Known, brief

KNOWN = Known(
    task="fix-login",
    branch="coord/fix-login",
    failed="Prompt is too\nlong",
    saved="c0ffee0123456789",
    begun_at="0123456789abcdef",
    told=["use the old API", "add a test"],
    said=["I wrote the test.", "I begin."],
)
NOTHING = replace(KNOWN, failed=None, saved=None, begun_at=None, told=[], said=[])


def test_all_that_is_known_is_told() -> None:
    text = brief(KNOWN)
    assert "the task fix-login" in text
    assert "on the branch coord/fix-login, which began at 0123456789ab" in text
    assert "saved as c0ffee012345" in text
    assert "It ended with: Prompt is too long" in text
    assert text.index("add a test") < text.index("use the old API")
    assert text.index("I begin.") < text.index("I wrote the test.")


def test_what_is_not_known_is_left_out() -> None:
    text = brief(NOTHING)
    assert "None" not in text
    assert "It ended with" not in text
    assert "- " not in text
    assert "on the branch coord/fix-login." in text


def test_what_was_said_is_on_one_line_and_of_bounded_length() -> None:
    long = "word\n" * 100_000
    text = brief(replace(NOTHING, said=[long], told=[long] * 5))
    assert len(text) < 15_000
    assert "word word" in text
    assert "[...]" in text
