"""The tree in the docstring is the tree of classes, and every error survives the wire."""

from __future__ import annotations

import re

import pytest

from protocol import errors
from protocol.errors import BY_CODE, CallError, CoordError, Internal, LinkLost, Unavailable
from protocol.faults import error_body, error_of
from protocol.frames import CallId, Fault, read, write

CODES = sorted(BY_CODE)


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Class -> (its parent, its code), as the docstring draws them."""
    found: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^( *)\* (\w+)(?: +([A-Z_]+)(?::|$))?", line)
        if match is None:
            continue
        depth, name = len(match[1]), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        found[name] = (above[-1][1] if above else None, match[3])
        above.append((depth, name))
    return found


def descendants(kind: type[CoordError]) -> list[type[CoordError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in descendants(child))]


def test_the_docstring_draws_the_tree() -> None:
    ours = [kind for kind in descendants(CoordError) if kind.__module__ == errors.__name__]
    assert {kind.__name__ for kind in ours} == set(drawn())
    for kind in ours:
        parent, code = drawn()[kind.__name__]
        assert parent == (None if kind is CoordError else kind.__bases__[0].__name__)
        if issubclass(kind, CallError) and kind not in (CallError, LinkLost):
            assert code == kind.code


def test_every_call_error_has_its_own_code() -> None:
    kinds = {
        kind
        for kind in descendants(CallError)
        if kind.__module__ == errors.__name__ and kind not in (CallError, LinkLost)
    }
    assert kinds == set(BY_CODE.values())
    assert all(BY_CODE[kind.code] is kind for kind in BY_CODE.values())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("retryable", [None, True, False])
@pytest.mark.parametrize("after", [None, 250])
def test_an_error_survives_the_wire(code: str, retryable: bool | None, after: int | None) -> None:
    error = BY_CODE[code](
        "REASON",
        "what and why",
        advice="try this",
        details={"field": "x", "n": [1, None]},
        retryable=retryable,
        retry_after_ms=after,
    )
    for heard in (error_of(error_body(error)), of_frame(error)):
        assert type(heard) is type(error)
        assert vars(heard) | {"retryable": heard.retryable} == {
            **vars(error),
            "retryable": error.retryable,
        }
        assert str(heard) == str(error) == "REASON: what and why (try this)"


def of_frame(error: CallError) -> CallError:
    frame = read(write(Fault(CallId("c"), error)).decode())
    assert isinstance(frame, Fault)
    return frame.error


def test_a_lost_link_is_told_on_as_unavailable() -> None:
    heard = error_of(error_body(LinkLost("LINK_LOST", "gone")))
    assert type(heard) is Unavailable and heard.retryable


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": -1, "message": "?"},
        {"data": None, "message": "?"},
        {"data": {"code": "NEW_IN_V2", "retryable": 1}},
        {"data": {"code": 7, "details": [], "retryAfterMs": "soon"}},
    ],
)
def test_an_error_we_do_not_know_is_internal_and_not_retryable(body: dict[str, object]) -> None:
    heard = error_of(body)  # type: ignore[arg-type]  # what another version may send
    assert type(heard) is Internal and not heard.retryable
    assert heard.details == {} and heard.retry_after_ms is None


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("PARSE_ERROR", -32700),
        ("INVALID_REQUEST", -32600),
        ("UNIMPLEMENTED", -32601),
        ("INVALID_ARGUMENT", -32602),
        ("INTERNAL", -32603),
        ("CANCELLED", -32800),
        ("UNAVAILABLE", -32802),
        ("NOT_FOUND", -32803),
        ("CONFLICT", -32803),
    ],
)
def test_the_numbers_of_the_wire(code: str, number: int) -> None:
    assert BY_CODE[code].number == number
