"""Ports for processes that are told where to listen, and may go away and come back there."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_taken: Final[list[socket.socket]] = []


def free_port() -> int:
    """Nobody gets it before this process ends: the kernel gives it to no connection, which it does
    with a port that was bound and let go, and no other test process is told it."""
    for port in _in_any_order():
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0coord-test-port-{port}")
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            mark.close()
            continue
        _taken.append(mark)
        return port
    raise RuntimeError("no port is free")


def _in_any_order() -> Sequence[int]:
    first, last = (int(one) for one in _RANGE.read_text().split())
    never_given = [port for port in range(10_000, 65_536) if not first <= port <= last]
    return random.sample(never_given, len(never_given))
