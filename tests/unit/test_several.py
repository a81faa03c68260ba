"""More than one hub to go to: how they are named, and in which order they are tried."""

from __future__ import annotations

import pytest

from protocol import tokens
from protocol.aio.dial import Address, address, addresses
from protocol.errors import InvalidArgument
from spoke.identity import Identity
from spoke.link import Hubs

PIN = "ab" * 32
A, B, C = (address(f"wss://{name}.example.org:7443") for name in "abc")


def test_hubs_are_separated_by_commas() -> None:
    assert addresses("wss://a.example.org:7443,  wss://b.example.org:7443") == [A, B]
    pinned = addresses(f"wss://a.example.org:7443#sha256={PIN},wss://b.example.org:7443")
    assert pinned == [Address(True, "a.example.org", 7443, PIN), B]


@pytest.mark.parametrize("text", ["", "wss://a,", "wss://a,b", "wss://a,ws://b.example.org"])
def test_each_of_them_is_checked(text: str) -> None:
    with pytest.raises(InvalidArgument):
        addresses(text)


def test_a_join_string_names_the_other_hubs_with_their_pins() -> None:
    also = (f"wss://b.example.org:7443#sha256={PIN}", "wss://c.example.org:7443")
    join = tokens.Join("wss://a.example.org", tokens.new(tokens.Kind.JOIN), PIN, also)
    assert tokens.read_join(str(join)) == join
    mine = Identity("sp_1", "hub_1", "anvil", join.url, join.pin, join.also)
    assert [to.pin for to in mine.addresses] == [PIN, PIN, None]


def test_the_next_hub_is_tried_when_one_is_not_there() -> None:
    hubs = Hubs([A, B])
    tried = [hubs.now]
    for _ in range(3):
        hubs.next()
        tried.append(hubs.now)
    assert tried == [A, B, A, B]


def test_a_welcome_speaks_of_hubs_that_are_new_or_gone() -> None:
    hubs = Hubs([A])
    hubs.learn([str(B), str(C)])
    assert hubs.now == A
    hubs.next()
    assert hubs.now == B
    hubs.learn([str(A)])  # C is gone
    hubs.next()
    assert hubs.now == A
    hubs.next()
    assert hubs.now == B


def test_the_hubs_that_were_joined_are_never_forgotten() -> None:
    hubs = Hubs([A, B])
    hubs.learn([])
    hubs.next()
    assert hubs.now == B
