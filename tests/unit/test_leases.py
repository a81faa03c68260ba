"""The reaper doubts itself before it doubts the spokes."""

from __future__ import annotations

from hub.core.leases import Snapshot, decide

SEEN = Snapshot(online=20, expired=["a", "b"], uptime=1_000, gap=2.5)


def test_spokes_whose_lease_is_over_are_out_of_reach() -> None:
    assert decide(SEEN) == ["a", "b"]


def test_nobody_is_in_the_grace_after_a_start() -> None:
    assert decide(Snapshot(20, ["a"], uptime=119, gap=2.5)) == []


def test_a_reaper_that_slept_saw_nothing() -> None:
    assert decide(Snapshot(20, ["a"], uptime=1_000, gap=5.1)) == []


def test_many_at_once_are_more_likely_our_fault() -> None:
    many = [f"s{n}" for n in range(7)]
    assert decide(Snapshot(20, many, uptime=1_000, gap=2.5)) == []
    assert decide(Snapshot(100, many, uptime=1_000, gap=2.5)) == many


def test_a_few_of_a_few_may_really_be_gone() -> None:
    assert decide(Snapshot(4, ["a", "b", "c", "d"], uptime=1_000, gap=2.5)) == ["a", "b", "c", "d"]
