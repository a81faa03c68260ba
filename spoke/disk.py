"""What a disk that does not take something means to whoever asked for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from protocol.errors import FailedPrecondition


@contextmanager
def faults_told() -> Generator[None]:
    """Turns OSError into `FailedPrecondition` NO_DISK."""
    try:
        yield
    except OSError as error:
        raise FailedPrecondition(
            "NO_DISK", f"the worktree could not be written: {error.strerror or error}"
        ) from error
