"""The smallest program: one agent in one worktree, watched to its end."""

import asyncio
from pathlib import Path

import coord


async def main() -> None:
    async with coord.connect() as hub:
        session = await hub.spawn(
            task="hello",
            repo=str(Path.cwd()),
            command="sh",
            args=["-c", "echo hello from $COORD_BRANCH; git log --oneline -1"],
        )
        async for event in hub.events(session.session_id):
            print(event.seq, event.kind, event.body.get("text", ""))


asyncio.run(main())
