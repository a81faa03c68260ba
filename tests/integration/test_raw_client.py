"""A client written from the document alone speaks with a real hub."""

from __future__ import annotations

import ast
import asyncio
import os
import sys
from pathlib import Path

from hub.app import RunningHub

CLIENT = Path(__file__).parents[2] / "examples" / "raw_client.py"


async def test_the_document_suffices(running_hub: RunningHub) -> None:
    token = await running_hub.admin_token("raw")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CLIENT), running_hub.url,
        env={"PATH": os.environ["PATH"], "COORD_TOKEN": token},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    lines = said.decode().splitlines()
    assert process.returncode == 0, said.decode()
    assert lines[:2] == ["welcome raw", "event 1 queued"]
    assert lines[-1] == "ended aborted"
    assert "aborted 1" in lines
    seqs = [int(line.split()[1]) for line in lines if line.startswith("event ")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_it_is_short_and_needs_no_library_of_ours() -> None:
    text = CLIENT.read_text()
    assert len(text.splitlines()) < 80
    named = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else name.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert named - sys.stdlib_module_names == {"websockets"}
