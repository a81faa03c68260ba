"""The catalogue of operations: strict where strangers speak, camelCase throughout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from protocol.limits import MAX_INTEGER, MAX_KEYS_PER_FRAME, MAX_MILLISECONDS
from protocol.ops import CATALOGUE, LIVE, Kind, Op, Role
from protocol.ops.sessions import Ended, SessionView
from protocol.ops.shapes import Params, Shape
from protocol.ops.spawning import SwarmResult
from protocol.ops.wire import HeartbeatParams

OPS = {**CATALOGUE, **LIVE}


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            if field.annotation is not annotation:
                yield from models_in(field.annotation)
    elif get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from models_in(part)


ALL = {model for op in OPS.values() for kind in (op.params, op.result, op.item) if kind
       for model in models_in(kind)} | {HeartbeatParams}  # fmt: skip
PARAMS = sorted((model for model in ALL if issubclass(model, Params)), key=lambda m: m.__name__)
FIELDS = [
    pytest.param(model, field.alias, id=f"{model.__name__}.{field.alias}")
    for model in PARAMS
    for field in model.model_fields.values()
]


def refused(model: type[BaseModel], alias: str, value: object) -> list[str]:
    """The kinds of error that this one field answers a value with."""
    try:
        model.model_validate({alias: value})
    except ValidationError as error:
        return [found["type"] for found in error.errors() if found["loc"][0] == alias]
    return []


def takes(model: type[BaseModel], alias: str, *values: object) -> bool:
    return any(not refused(model, alias, value) for value in values)


def scalars_of(annotation: object) -> set[type]:
    """The scalar types that a field takes by itself, not inside a list or a map."""
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(scalars_of(part) for part in get_args(annotation)))
    if get_origin(annotation) is not None and hasattr(annotation, "__metadata__"):
        return scalars_of(get_args(annotation)[0])
    if get_origin(annotation) is not None and not isinstance(get_origin(annotation), type):
        return {type(choice) for choice in get_args(annotation)}  # Literal
    if annotation in (int, bool, str, float):
        return {annotation}  # type: ignore[arg-type]  # it was just compared
    return set()


@pytest.mark.parametrize(("model", "alias"), FIELDS)
def test_every_scalar_is_strict(model: type[BaseModel], alias: str) -> None:
    [field] = [field for field in model.model_fields.values() if field.alias == alias]
    found = scalars_of(field.annotation)
    assert float not in found, "no number of ours is a fraction"
    if found == {int}:
        assert takes(model, alias, 0, 1, 1_000), "it takes an integer"
    if int not in found and field.annotation is not None:
        assert not takes(model, alias, 1)
    for junk in ("12", 12.0, True, 1.5, float("nan"), float("inf"), 1 << 53, 1 << 63, 10**4_300):
        taken = {str: isinstance(junk, str), bool: junk is True}
        if not any(taken.get(kind, False) for kind in found):
            assert refused(model, alias, junk), f"{alias} takes {type(junk)}"
    if bool in found:
        assert not takes(model, alias, 0, 1, "true", "yes", "on")
    if str in found:
        assert not takes(model, alias, 12, 1.5, True)


@pytest.mark.parametrize(
    ("model", "alias", "value"),
    [
        (OPS["coord.spawn"].params, "priority", 100),
        (OPS["coord.spawn"].params, "grantDepth", 16),
        (OPS["coord.status"].params, "limit", 500),
        (OPS["coord.events"].params, "after", MAX_INTEGER),
        (OPS["coord.spawn"].params, "runTimeoutMs", MAX_MILLISECONDS),
        (OPS["token.create"].params, "ttlMs", MAX_MILLISECONDS),
    ],
)
def test_the_largest_number_is_the_last(model: type[BaseModel], alias: str, value: int) -> None:
    assert takes(model, alias, value)
    assert refused(model, alias, value + 1) == ["less_than_equal"]


@pytest.mark.parametrize("model", PARAMS, ids=lambda model: model.__name__)
def test_unknown_parameters_are_refused(model: type[BaseModel]) -> None:
    assert refused(model, "nonsense", 1) == ["extra_forbidden"]
    assert refused(model, "__class__", 1) == ["extra_forbidden"]


@pytest.mark.parametrize("model", sorted(ALL, key=lambda m: m.__name__), ids=lambda m: m.__name__)
def test_the_wire_speaks_camel_case(model: type[BaseModel]) -> None:
    assert issubclass(model, Shape)
    for name, field in model.model_fields.items():
        assert field.alias is not None and re.fullmatch(r"[a-z][a-zA-Z0-9]*", field.alias)
        assert field.alias.lower() == name.replace("_", "")
    schema = model.model_json_schema(by_alias=True)
    assert not [name for name in schema.get("properties", {}) if "_" in name]


TEXTS = [
    pytest.param(model, field.alias, id=f"{model.__name__}.{field.alias}")
    for model in PARAMS
    for field in model.model_fields.values()
    if str in scalars_of(field.annotation)
]


@pytest.mark.parametrize(("model", "alias"), TEXTS)
def test_text_is_bounded_and_has_no_nul(model: type[BaseModel], alias: str) -> None:
    assert refused(model, alias, "a\x00b"), "Postgres cannot keep NUL"
    assert refused(model, alias, "x" * (1 << 20)), "no text is without end"


def test_a_noncharacter_is_text_like_any_other() -> None:
    spawn = OPS["coord.spawn"].params
    for text in ("\uffff", "\ufdd0", "\U0010ffff", "e\u0301", "\u202e"):
        assert takes(spawn, "prompt", text)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_operation_is_whole(op: Op[Any, Any]) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+", op.name)
    assert op.summary.endswith(".") and len(op.summary) <= 100
    assert issubclass(op.params, Params), "unknown parameters are refused"
    assert (op.item is not None) == (op.kind is Kind.STREAM)
    assert op.detached == (op.kind is Kind.MUTATION)
    assert op.idempotent or op.kind is Kind.MUTATION, "asking twice changes nothing"


@pytest.mark.parametrize("op", CATALOGUE.values(), ids=lambda op: op.name)
def test_somebody_may_ask_it(op: Op[Any, Any]) -> None:
    assert op.roles and op.roles <= set(Role)


def test_only_the_hub_asks_what_a_spoke_answers() -> None:
    assert all(not op.roles for op in LIVE.values())
    assert not set(LIVE) & set(CATALOGUE)


def test_a_name_is_its_own_key() -> None:
    assert all(name == op.name for name, op in OPS.items())


def test_who_may_only_look_changes_nothing() -> None:
    viewer = {op.name for op in CATALOGUE.values() if Role.VIEWER in op.roles}
    changing = {name for name in viewer if CATALOGUE[name].kind is Kind.MUTATION}
    assert changing == {"hub.ticket"}, "a link to look at the page with"


def test_who_is_joining_may_only_join() -> None:
    assert [op.name for op in CATALOGUE.values() if Role.JOINING in op.roles] == ["spoke.enroll"]


def test_a_spoke_may_only_report() -> None:
    spoke = {op.name for op in CATALOGUE.values() if Role.SPOKE in op.roles}
    assert spoke == {"session.append", "session.saved", "rpc.discover"}


def test_an_agent_rules_over_sessions_only() -> None:
    session = {op.name for op in CATALOGUE.values() if Role.SESSION in op.roles}
    assert all(name.startswith(("coord.", "rpc.")) for name in session)
    assert "coord.cleanup" not in session


LONGEST = [(SessionView, 500), (SwarmResult, 1_000), (Ended, 1_000)]


@pytest.mark.parametrize(("shape", "many"), LONGEST)
def test_the_longest_answers_have_no_more_keys_than_a_frame_may_carry(
    shape: type[BaseModel], many: int
) -> None:
    """A page of sessions, a swarm, the receipt of a tree: with all that each may say."""
    keys = sum(len(model.model_fields) for model in models_in(shape))
    assert many * keys < MAX_KEYS_PER_FRAME
