"""Credentials: random, checkable without a database, and never in a message."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import tokens
from protocol.errors import InvalidArgument
from protocol.tokens import Join, Kind, digest, kind_of, new, read_join

PIN = "0f" * 32
URL = "wss://hub.example.org:8444"


@pytest.mark.parametrize("kind", Kind)
def test_a_token_says_its_kind(kind: Kind) -> None:
    made = {new(kind) for _ in range(200)}
    assert len(made) == 200
    for token in made:
        assert kind_of(token) is kind
        assert token.startswith(f"{kind}_") and len(token) == 53 and token.isascii()


#: One of each: what is drawn may not depend on what else is left to chance.
TOKENS = {kind: new(kind) for kind in Kind}


@given(st.data())
def test_one_wrong_character_is_noticed(data: st.DataObject) -> None:
    token = TOKENS[data.draw(st.sampled_from(Kind))]
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(exclude_categories=()).filter(lambda c: c != token[at]))
    assert kind_of(token[:at] + other + token[at + 1 :]) is None


@given(st.data())
def test_a_part_of_a_token_is_not_one(data: st.DataObject) -> None:
    token = TOKENS[Kind.USER]
    cut = data.draw(st.integers(0, len(token) - 1))
    assert kind_of(token[:cut]) is None and kind_of(token[cut + 1 :]) is None
    assert kind_of(token + "\n") is None and kind_of(f" {token}") is None


@given(st.text(st.characters(exclude_categories=())))
def test_anything_else_is_nothing(text: str) -> None:
    assert kind_of(text) is None


def test_a_kind_cannot_be_swapped() -> None:
    token = new(Kind.SESSION)
    assert kind_of(token.replace("cks_", "cku_")) is None


def test_what_is_stored_is_not_the_token() -> None:
    token = new(Kind.LOGIN)
    assert digest(token) == hashlib.sha256(token.encode()).digest()


def test_the_smallest_and_the_largest_secret_have_the_same_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for secret in (b"\x00" * 32, b"\xff" * 32):
        monkeypatch.setattr(tokens.secrets, "token_bytes", lambda _, secret=secret: secret)
        assert kind_of(new(Kind.JOIN)) is Kind.JOIN


@pytest.mark.parametrize("pin", [None, PIN])
def test_a_join_string_survives_being_pasted(pin: str | None) -> None:
    join = Join(URL, new(Kind.JOIN), pin)
    assert read_join(f"  {join}\n") == join
    assert str(join).startswith(f"coord-join:v1:{URL}#")


def broken_joins() -> list[str]:
    token = new(Kind.JOIN)
    return [
        "",
        token,
        f"{URL}#t={token}",
        f"coord-join:v2:{URL}#t={token}",
        f"coord-join:v1:{URL}",
        f"coord-join:v1:{URL}#t=",
        f"coord-join:v1:{URL}#t={token[:-1]}",
        f"coord-join:v1:{URL}#t={token[:-1]}{'a' if token[-1] != 'a' else 'b'}",
        f"coord-join:v1:{URL}#t={new(Kind.USER)}",
        f"coord-join:v1:#t={token}",
        f"coord-join:v1:{URL}#sha256=&t={token}",
        f"coord-join:v1:{URL}#sha256={PIN[:-1]}&t={token}",
        f"coord-join:v1:{URL}#sha256={PIN.upper()}&t={token}",
    ]


@pytest.mark.parametrize("text", broken_joins(), ids=range(13))
def test_a_join_string_that_is_not_whole_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidArgument, match="BAD_JOIN_STRING") as error:
        read_join(text)
    told = str(error.value) + str(error.value.details)
    assert "ckj_" not in told and "cku_" not in told
    assert "coordctl spoke invite" in error.value.advice
