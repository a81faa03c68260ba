"""What can never work is refused at once, with the next thing to do."""

from __future__ import annotations

import pytest

import coord
from hub.store import Store
from protocol.errors import FailedPrecondition, NotFound
from tests.support import rows


async def test_a_spawn_for_a_spoke_that_is_not_there_does_not_wait(client: coord.Hub) -> None:
    with pytest.raises(NotFound) as refused:
        await client.spawn("t", repo="/r", command="true", spoke="nosuch")
    assert refused.value.reason == "SPOKE_NOT_FOUND"
    assert refused.value.advice
    assert (await client.status()).sessions == [], "nothing is left in the queue"


async def test_nor_does_one_for_a_spoke_that_was_revoked(client: coord.Hub, store: Store) -> None:
    id, _ = await rows.spoke(store)
    name = (await store.exchange.spoke(id)).name
    await store.exchange.revoke(id)
    for which in (id, name):
        with pytest.raises(NotFound) as refused:
            await client.spawn("t", repo="/r", command="true", spoke=which)
        assert refused.value.reason == "SPOKE_NOT_FOUND"


async def test_a_revoked_spoke_is_not_given_work_again(client: coord.Hub, store: Store) -> None:
    id, _ = await rows.spoke(store)
    await store.exchange.revoke(id)
    with pytest.raises(FailedPrecondition) as refused:
        await client.call("spoke.cordon", {"spoke": id, "cordoned": False})
    assert refused.value.reason == "SPOKE_REVOKED"
    assert refused.value.advice
