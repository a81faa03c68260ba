"""The ledger of a connection: what is kept, what is said again, and who is heard."""

from __future__ import annotations

import pytest

from protocol.errors import FailedPrecondition, ProtocolViolation
from protocol.limits import ACK_BYTES, ACK_FRAMES
from protocol.resume import Ledger

ALL = 1 << 30


def kept(*said: bytes) -> Ledger:
    """A ledger that keeps, and has said and written these."""
    ledger = Ledger()
    ledger.keep()
    for text in said:
        ledger.say(text)
    assert ledger.take(ALL) == list(said)
    return ledger


def test_a_ledger_that_does_not_keep_is_a_queue() -> None:
    ledger = Ledger()
    for text in (b"a", b"bb", b"ccc"):
        ledger.say(text)
    assert (ledger.size, ledger.has_more) == (6, True)
    assert ledger.take(3) == [b"a", b"bb"], "what fits, and always at least one"
    assert ledger.take(1) == [b"ccc"]
    assert (ledger.size, ledger.has_more, ledger.take(ALL)) == (0, False, [])
    assert ledger.hear(ledger.turn, 5) and ledger.heard == 0 and not ledger.owes_ack()
    with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
        ledger.resume(0)


def test_what_was_said_before_it_kept_is_said_once_and_not_counted() -> None:
    ledger = Ledger()
    ledger.say(b"welcome")
    ledger.keep()
    ledger.say(b"1")
    assert ledger.take(ALL) == [b"welcome", b"1"]
    ledger.resume(0)
    assert ledger.take(ALL) == [b"1"]


def test_what_was_not_heard_is_said_again_in_order() -> None:
    ledger = kept(b"1", b"2", b"3")
    ledger.say(b"4")
    ledger.resume(1)
    assert ledger.take(ALL) == [b"2", b"3", b"4"]
    ledger.resume(1)
    assert ledger.take(ALL) == [b"2", b"3", b"4"], "as often as needed"
    ledger.resume(4)
    assert ledger.take(ALL) == [] and ledger.size == 0


def test_what_is_acknowledged_is_forgotten() -> None:
    ledger = kept(b"1", b"2", b"3")
    ledger.acknowledge(2)
    assert ledger.size == 1
    ledger.acknowledge(1)
    assert ledger.size == 1, "an older one changes nothing"
    with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
        ledger.resume(1)
    assert ledger.take(ALL) == [], "a refused resume changes nothing"
    ledger.resume(2)
    assert ledger.take(ALL) == [b"3"]


def test_nobody_heard_more_than_was_said() -> None:
    ledger = kept(b"1", b"2")
    ledger.say(b"not written yet")
    with pytest.raises(ProtocolViolation):
        ledger.acknowledge(3)
    with pytest.raises(FailedPrecondition, match="RESUME_EXPIRED"):
        ledger.resume(3)
    ledger.acknowledge(2)


def test_a_fenced_wire_is_not_heard() -> None:
    ledger = kept()
    first = ledger.fence()
    assert ledger.hear(first, 1)
    second = ledger.fence()
    assert not ledger.hear(first, 1) and ledger.heard == 1
    assert ledger.hear(second, 1) and ledger.heard == 2


def test_an_ack_is_owed_after_so_many_frames_or_bytes() -> None:
    ledger = kept()
    for n in range(ACK_FRAMES):
        assert not ledger.owes_ack(), n
        ledger.hear(ledger.turn, 1)
    assert ledger.owes_ack() and ledger.told() == ACK_FRAMES and not ledger.owes_ack()
    ledger.hear(ledger.turn, ACK_BYTES)
    assert ledger.owes_ack() and ledger.told() == ACK_FRAMES + 1 and not ledger.owes_ack()


def test_an_ack_goes_first_and_over_one_wire_only() -> None:
    ledger = kept()
    ledger.say(b"1")
    ledger.say_loose([b"ack"])
    assert ledger.take(ALL) == [b"ack", b"1"] and ledger.size == 1
    ledger.say_loose([b"ack"])
    ledger.resume(0)
    assert ledger.take(ALL) == [b"1"] and ledger.size == 1
