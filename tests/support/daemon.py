"""A hub or a spoke as a process of its own, with settings that no command line offers.

python -m tests.support.daemon hub   '{"database_url": ..., "state": ..., "lease_seconds": 2}'
python -m tests.support.daemon spoke '{"state": ..., "term_ms": 200}'
"""

from __future__ import annotations

import asyncio
import sys

from coord.cli import hub as hub_command
from coord.cli import local_spoke
from coord.cli.daemon import log_to_stderr, run_fast
from hub.settings import HubSettings
from spoke import app
from spoke.settings import SpokeSettings


def main(kind: str, settings: str) -> int:
    log_to_stderr()
    if kind == "hub":
        return run_fast(hub_command._run(HubSettings.model_validate_json(settings)))
    told = SpokeSettings.model_validate_json(settings)
    return asyncio.run(local_spoke._until_stopped(app.run(told)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
