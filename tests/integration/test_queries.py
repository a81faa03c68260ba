"""Postgres itself proves the queries: each one plans, and returns the row that we say."""

from __future__ import annotations

import types
import typing
from datetime import date, datetime

import pytest
from pydantic import JsonValue

import sql
from hub.store import Postgres, queries
from protocol.session import State

DECLARED = [value for value in vars(queries).values() if isinstance(value, queries.Query)]
PYTHON = {
    "text": str,
    "text[]": list[str],
    "int2": int,
    "int4": int,
    "int8": int,
    "float8": float,
    "bool": bool,
    "bytea": bytes,
    "date": date,
    "timestamptz": datetime,
    "session_state": State,
    "jsonb": JsonValue,
}


def _alternatives(hint: object) -> set[object]:
    """What a field may be, None aside."""
    if hint == JsonValue:
        return {hint}
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return set(typing.get_args(hint)) - {type(None)}
    return {hint}


async def test_postgres_returns_the_rows_we_declare(connections: Postgres) -> None:
    async with connections.pool.acquire() as connection:
        for query in DECLARED:
            columns = (await connection.prepare(query.text)).get_attributes()
            promised = typing.get_type_hints(query.row)
            assert [c.name for c in columns] == list(promised), f"{query.name}: names, in order"
            for column in columns:
                kind = PYTHON[column.type.name]
                assert kind in _alternatives(promised[column.name]), (query.name, column.name)


def test_no_query_is_forgotten() -> None:
    assert {query.name for query in DECLARED} == sql.queries().keys()


def test_a_query_defined_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        sql.parse("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n")
