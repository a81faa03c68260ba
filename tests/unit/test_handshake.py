"""The first words: which version, and what a hello may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from protocol.errors import FailedPrecondition
from protocol.handshake import Hello, Limits, Verdict, Welcome, agree, check_spoken
from protocol.limits import MAX_FRAME_BYTES, MAX_IN_FLIGHT, OLDEST_VERSION, PROTOCOL_VERSION

SPOKE: dict[str, Any] = {
    "spokeId": "sp_1",
    "incarnation": "i1",
    "bootId": "b1",
    "slots": 4,
    "lastSeq": 12,
    "inventory": [{"sessionId": "ses_1", "attempt": 1, "state": "running", "lastRecord": 9}],
}
HELLO: dict[str, Any] = {"protocolVersion": 1, "role": "spoke", "name": "gpu1", "spoke": SPOKE}


@pytest.mark.parametrize("offered", [OLDEST_VERSION, PROTOCOL_VERSION])
def test_a_version_we_speak_is_agreed(offered: int) -> None:
    assert agree(offered) == offered


@pytest.mark.parametrize("offered", [PROTOCOL_VERSION + 1, 999])
def test_a_newer_one_is_offered_our_newest(offered: int) -> None:
    assert agree(offered) == PROTOCOL_VERSION


@pytest.mark.parametrize("offered", [OLDEST_VERSION - 1, -1])
def test_one_that_is_too_old_is_refused_with_what_is_spoken(offered: int) -> None:
    with pytest.raises(FailedPrecondition, match="VERSION") as error:
        agree(offered)
    assert error.value.reason == "VERSION" and error.value.advice
    assert error.value.details["supported"] == list(range(OLDEST_VERSION, PROTOCOL_VERSION + 1))


def test_one_behind_is_spoken_both_ways() -> None:
    """An old client with a new hub, and a new client with an old hub."""
    behind = PROTOCOL_VERSION - 1
    assert agree(behind) == agree(behind, behind) == behind
    assert agree(PROTOCOL_VERSION, OLDEST_VERSION) == PROTOCOL_VERSION
    check_spoken(behind)
    check_spoken(PROTOCOL_VERSION)


def test_ranges_that_do_not_meet_are_refused() -> None:
    with pytest.raises(FailedPrecondition, match="VERSION"):
        agree(PROTOCOL_VERSION + 3, PROTOCOL_VERSION + 1)
    for unspoken in (OLDEST_VERSION - 1, PROTOCOL_VERSION + 1):
        with pytest.raises(FailedPrecondition, match="VERSION"):
            check_spoken(unspoken)


def test_a_hello_is_read_as_it_is_written() -> None:
    hello = Hello.model_validate(HELLO)
    assert hello.spoke is not None and hello.spoke.inventory[0].last_record == 9
    again = hello.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert again == HELLO


def test_a_newer_hello_may_say_more() -> None:
    hello = Hello.model_validate({**HELLO, "mood": "fine", "spoke": {**SPOKE, "moons": 2}})
    assert hello == Hello.model_validate(HELLO)


@pytest.mark.parametrize("field", ["protocolVersion", "role"])
def test_a_hello_needs(field: str) -> None:
    with pytest.raises(ValidationError):
        Hello.model_validate({key: value for key, value in HELLO.items() if key != field})


@pytest.mark.parametrize(
    ("field", "junk"),
    [
        ("slots", "4"), ("slots", 4.0), ("slots", True), ("slots", -1), ("slots", 10_001),
        ("lastSeq", "1"), ("lastSeq", -1), ("lastSeq", 1 << 53), ("spokeId", ""),
        ("spokeId", "a\x00b"), ("bootId", 7), ("inventory", [{}]), ("inventory", [{}] * 5_000),
        ("labels", {"a": 1}), ("labels", {str(n): "" for n in range(65)}),
    ],
)  # fmt: skip
def test_a_spoke_is_not_believed_everything(field: str, junk: object) -> None:
    with pytest.raises(ValidationError) as error:
        Hello.model_validate({**HELLO, "spoke": {**SPOKE, field: junk}})
    assert error.value.errors()[0]["loc"][:2] == ("spoke", field)


@pytest.mark.parametrize("version", ["1", 1.0, True, None])
def test_a_version_is_an_integer(version: object) -> None:
    with pytest.raises(ValidationError):
        Hello.model_validate({**HELLO, "protocolVersion": version})


def test_a_welcome_speaks_camel_case_and_may_grow() -> None:
    welcome = Welcome(
        protocol_version=1, hub_id="hub_1", hub_version="0.1.0", connection_id="cn_1",
        principal="sp_1", role="spoke", heartbeat_ms=10_000, lease_ms=45_000, epoch=7,
        limits=Limits(max_message_bytes=MAX_FRAME_BYTES, max_in_flight=MAX_IN_FLIGHT),
        verdicts=[Verdict(session_id="ses_1", attempt=1, verdict="continue", stored=9)],
    )  # fmt: skip
    said = welcome.model_dump(mode="json", by_alias=True)
    assert said["limits"] == {
        "maxMessageBytes": 1 << 20, "maxInFlight": 256, "ackFrames": 32, "ackBytes": 65_536,
    }  # fmt: skip
    assert said["verdicts"][0]["sessionId"] == "ses_1"
    assert Welcome.model_validate({**said, "newInV2": {}}) == welcome
