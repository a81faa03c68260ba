"""The reaper doubts itself before it doubts the spokes."""

from __future__ import annotations

from dataclasses import replace

from hub.core.leases import Look, Snapshot, look

SEEN = Snapshot(online=20, expired=["a", "b"], uptime=1_000, gap=2.5)
MANY = [f"s{n}" for n in range(7)]


def test_spokes_whose_lease_is_over_are_out_of_reach() -> None:
    assert look(SEEN) == Look(expired=["a", "b"])


def test_nobody_is_in_the_grace_after_a_start() -> None:
    seen = look(replace(SEEN, uptime=119))
    assert not seen.expired
    assert seen.doubt is not None
    assert "1 s more" in seen.doubt


def test_the_grace_is_a_setting() -> None:
    assert look(replace(SEEN, uptime=3, grace=2)).expired == ["a", "b"]
    assert not look(replace(SEEN, uptime=3, grace=4)).expired


def test_a_reaper_that_slept_saw_nothing() -> None:
    seen = look(replace(SEEN, gap=5.1))
    assert not seen.expired
    assert seen.doubt == "the hub itself saw nothing for 5 s"


def test_many_at_once_are_more_likely_our_fault() -> None:
    seen = look(replace(SEEN, expired=MANY))
    assert not seen.expired
    assert seen.doubt is not None
    assert seen.doubt.startswith("7 of 20 spokes at once")
    assert look(replace(SEEN, online=100, expired=MANY)).expired == MANY


def test_a_few_of_a_few_may_really_be_gone() -> None:
    assert look(Snapshot(4, MANY[:4], uptime=1_000, gap=2.5)).expired == MANY[:4]


def test_who_doubts_gives_nothing_up_either() -> None:
    assert look(SEEN).may_give_up
    for doubt in (replace(SEEN, uptime=1), replace(SEEN, gap=9), replace(SEEN, expired=MANY)):
        assert not look(doubt).may_give_up
