"""What the parameters and answers of operations are made of.

On the wire and in JSON the keys are camelCase. Parameters refuse unknown fields, so that a typing
mistake is not a silent default; answers ignore them, so that a newer hub may say more. Scalars
are strict: `"12"`, `1.0` and `true` are not integers.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SkipValidation,
    StrictBool,
    StrictInt,
)
from pydantic.alias_generators import to_camel

from protocol.limits import MAX_ATTEMPT, MAX_INTEGER, MAX_MILLISECONDS

_NO_NUL = r"^[^\x00]*$"  # Postgres text cannot hold NUL

#: What a frame was read from is JSON already; looking again takes longer than all else of it.
Json = Annotated[JsonValue, SkipValidation]
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)]
Milliseconds = Annotated[StrictInt, Field(ge=0, le=MAX_MILLISECONDS)]
#: ms since 1970, up to the year 9999: what every calendar can hold.
Moment = Annotated[StrictInt, Field(ge=0, le=253_402_300_799_999)]
Attempt = Annotated[StrictInt, Field(ge=0, le=MAX_ATTEMPT)]
Limit = Annotated[StrictInt, Field(ge=1, le=500)]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Line = Annotated[str, Field(max_length=2_000, pattern=_NO_NUL)]
Label = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(max_length=256 * 1024, pattern=_NO_NUL)]
Path = Annotated[str, Field(min_length=1, max_length=4_096, pattern=_NO_NUL)]
Labels = Annotated[dict[Word, Label], Field(max_length=64)]
Environment = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")], Text],
    Field(max_length=256),
]


class Shape(BaseModel):
    """Root of all answers: camelCase on the wire, frozen, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class Params(Shape):
    """Root of all parameters: unknown fields refused."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Params):
    """No parameters."""
