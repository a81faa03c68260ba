"""What the driver raises, in our words; its messages may quote values and are not passed on."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

import asyncpg

from protocol.errors import InvalidArgument, Unavailable

logger = logging.getLogger(__name__)

#: The database is away, or went away under a statement. asyncpg raises InternalClientError when
#: a connection is closed while it is in use.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # "not currently accepting connections"
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # its disk is full, or its memory, or its connections
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not promoted yet
)
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.QueryCanceledError)


@contextmanager
def translated() -> Generator[None]:
    """Raises Unavailable or InvalidArgument for what the caller can do something about."""
    try:
        yield
    except _AGAIN as error:
        logger.warning("Postgres wants a statement again: %s", type(error).__name__)
        raise Unavailable(
            "DATABASE_BUSY", "the database asked to try again", retry_after_ms=50
        ) from error
    except asyncpg.DataError as error:
        raise _bad_value(error) from error
    except _AWAY as error:
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
            raise _bad_value(error) from error  # the driver could not write a parameter
        raise Unavailable(
            "DATABASE_UNREACHABLE",
            f"Postgres does not answer ({type(error).__name__})",
            advice="nothing was lost; try again when `coordctl doctor` shows the database",
            retry_after_ms=1_000,
        ) from error


def _bad_value(error: Exception) -> InvalidArgument:
    logger.info("a value that the database cannot hold: %s", type(error).__name__)
    return InvalidArgument("BAD_VALUE", "a value that the database cannot hold")
