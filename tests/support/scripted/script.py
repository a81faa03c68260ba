"""The script, which stands in the prompt itself: what the model says, calls, and how it fails.

Lines of the last thing that the user said::

    model: say I write the file.
    model: sh echo hello > hello.txt      the agent's shell tool; ends an answer
    model: fail rate_limited 1 3          this answer's first request only, Retry-After: 3
    model: stall                          this answer begins and never ends
    model: tokens 190000 20               of this answer

Which answer is due follows from the conversation alone (how many tool calls were answered since),
so that retries, resumed and parallel sessions need no set-up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

FAULTS: Final = (
    "rate_limited", "quota_exhausted", "overloaded", "server_error", "context_exhausted",
    "auth_failed", "drop",
)  # fmt: skip

_LINE: Final = re.compile(r"^model: (say|sh|fail|stall|tokens)(?: (.*))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    times: int | None = None  #: None: for ever
    retry_after: int | None = None  #: seconds


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of the model."""

    say: str = ""
    shell: str | None = None
    fault: Fault | None = None
    stall: bool = False
    tokens_in: int = 1_000
    tokens_out: int = 10


def is_script(text: str) -> bool:
    return _LINE.search(text) is not None


def words_of(text: str) -> str:
    """The script alone, whatever it is said with."""
    return "\n".join(" ".join(line) for line in _LINE.findall(text))


def steps(text: str) -> list[Step]:
    """The answers, in order; the last one calls no tool."""
    found: list[Step] = []
    step = Step()
    for word, rest in _LINE.findall(text):
        step = _with(step, word, rest)
        if step.shell is not None:
            found.append(step)
            step = Step()
    return [*found, step]


def step_at(text: str, calls: int) -> Step:
    all = steps(text)
    return all[calls] if calls < len(all) else Step(say="The script is over.")


def _with(step: Step, word: str, rest: str) -> Step:
    match word, rest.split():
        case "say", _:
            return replace(step, say=f"{step.say}\n{rest}".strip())
        case "sh", _:
            return replace(step, shell=rest)
        case "stall", _:
            return replace(step, stall=True)
        case "tokens", [tokens_in, tokens_out]:
            return replace(step, tokens_in=int(tokens_in), tokens_out=int(tokens_out))
        case "fail", [kind, *numbers] if kind in FAULTS:
            return replace(step, fault=Fault(kind, *map(int, numbers)))
        case _:
            raise ValueError(f"no such line in a script: model: {word} {rest}")
