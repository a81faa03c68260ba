"""What the ops page says of the hub itself: its figures, and whether it is ready."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path

import httpx

from hub.app import RunningHub, serve
from hub.desk import Desk
from hub.embedded.binaries import find
from hub.embedded.cluster import Cluster
from hub.settings import HubSettings
from tests.integration.web.browsing import PATIENCE, overview, streaming, tasks
from tests.support import rows
from tests.support.seat import seat


async def test_figures(web: httpx.AsyncClient, desk: Desk, bearer: dict[str, str]) -> None:
    await seat(desk.store)
    waits = rows.new_session(requires={"with": "nobody"})  # or the hub finds it a place meanwhile
    await rows.spawn(desk.store, waits)
    said = (await web.get("/metrics", headers=bearer)).text
    for row in (
        'coord_sessions{state="running"} 1.0', 'coord_sessions{state="queued"} 1.0',
        'coord_spokes{state="online"} 1.0', "coord_links 0.0", "coord_calls_in_flight 0.0",
    ):  # fmt: skip
        assert row in said
    assert re.search(r'coord_info\{hub="hub_\w+",version="[^"]+"\} 1\.0', said)
    assert re.search(r"coord_uptime_seconds \d", said)


async def test_not_ready_without_its_loops(
    running_hub: RunningHub, web: httpx.AsyncClient, bearer: dict[str, str]
) -> None:
    assert (await web.get("/readyz", headers=bearer)).json() == {"ready": True}
    [loops] = [part for part in running_hub._parts if part.get_name() == "loops"]
    loops.cancel()
    await asyncio.wait([loops])
    answer = await web.get("/readyz", headers=bearer)
    assert answer.status_code == 503
    assert "the loops" in answer.json()["message"]
    assert (await web.get("/healthz", headers=bearer)).status_code == 200


async def test_without_its_database_it_says_so_until_it_is_back(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="coord-test-"))  # short enough for a socket in it
    cluster = Cluster(folder, find(), durable=False)
    endpoint = await cluster.start()
    try:
        settings = HubSettings(
            database_url=endpoint.dsn_of("postgres"), port=0, http_port=0, state=tmp_path
        )
        async with serve(settings) as hub, httpx.AsyncClient(base_url=hub.http_url) as web:
            bearer = {"Authorization": f"Bearer {await hub.admin_token('anna')}"}
            async with streaming(web, "/live", bearer) as stream:
                assert tasks(await overview(stream)) == []
                await cluster.stop()
                rest = [one.event async for one in stream]
                assert set(rest) <= {"overview", "beat"}, "and it ends"
            for path in ("/", "/readyz", "/live"):
                answer = await web.get(path, headers=bearer)
                assert answer.status_code == 503, answer.text
                assert answer.json()["reason"] == "DATABASE_UNREACHABLE"
            await cluster.start()
            async with asyncio.timeout(PATIENCE):
                while (await web.get("/readyz", headers=bearer)).status_code != 200:
                    await asyncio.sleep(0.05)
            async with streaming(web, "/live", bearer) as stream:
                assert tasks(await overview(stream)) == []
    finally:
        await cluster.stop()
        shutil.rmtree(folder)
