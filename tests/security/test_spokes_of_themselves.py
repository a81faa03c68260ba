"""What a spoke says of itself is bounded, and its invitation has the last word."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.app import RunningHub
from protocol.tokens import read_join
from tests.security import people
from tests.security.people import Watch
from tests.security.raw import VALUE, entered, nested, said

SPOKES: dict[str, dict[str, Any]] = {
    "a billion slots": {"slots": 1_000_000_000},
    "slots below zero": {"slots": -1},
    "10,000 labels": {"labels": {f"l{n}": "" for n in range(1_000)}},
    "65 labels": {"labels": {f"l{n}": "" for n in range(65)}},
    "a label with a newline": {"labels": {"a\nb": "x"}},
    "a label's value with a newline": {"labels": {"a": "x\nlevel=error"}},
    "a label's value with ESC": {"labels": {"a": "\x1b[31m"}},
    "a label that is a number": {"labels": {"a": 1}},
    "a label without an end": {"labels": {"a": "x" * 2_001}},
    "a deep detail": {"detail": nested(9)},
    "a long detail": {"detail": {"a": "x" * 5_000}},
    "orders of the future": {"lastSeq": 1 << 53},
    "an inventory of text": {"inventory": ["x"]},
    "an attempt that is text": {
        "inventory": [{"sessionId": "s", "attempt": "1", "state": "running", "lastRecord": 1}]
    },
    "a record that is true": {
        "inventory": [{"sessionId": "s", "attempt": 1, "state": "running", "lastRecord": True}]
    },
    "5,000 attempts": {
        "inventory": [{"sessionId": "s", "attempt": 1, "state": "running", "lastRecord": 1}] * 4_097
    },
    "an incarnation with NUL": {"incarnation": "a\0"},
}


async def test_z8_what_a_spoke_says_of_itself_is_bounded(
    running_hub: RunningHub, watch: Watch
) -> None:
    one = await people.spoke(running_hub)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        for name, more in SPOKES.items():
            refused = await link.initialize(**one.hello(**more))
            assert "error" in refused, name
            assert said(refused) in (VALUE, ("PARSE_ERROR", "TOO_MANY_KEYS")), (name, refused)
        html = {"labels": {"a": "<script>alert(1)</script>"}, "detail": nested(8)}
        assert "result" in await link.initialize(**one.hello(**html))
        [shown] = await watch.client.spokes()
        assert shown.labels["a"] == "<script>alert(1)</script>", "text stays text"


async def test_z8_an_invitation_caps_the_slots(running_hub: RunningHub, watch: Watch) -> None:
    join = read_join(await running_hub.join_string("small", slots=2))
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    async with entered(running_hub.url, f"Bearer {join.token}") as raw:
        given = {"host": "h", "publicKey": public, "slots": 10_000}
        made = (await raw.ask("spoke.enroll", given))["result"]
    one = people.Spoke(made["spokeId"], "small", key)
    async with entered(running_hub.url, await one.proof(running_hub), greet=False) as link:
        assert "result" in await link.initialize(**one.hello(slots=10_000))
        assert [(s.name, s.slots) for s in await watch.client.spokes()] == [("small", 2)]
