"""Sends a saved state to the repository that the clone was made of, where it takes that."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import CallError
from spoke.clones import Clone
from spoke.git import GitFailed
from spoke.idle import NICEST

PUSH_SECONDS: Final = 30.0
_REASON: Final = 300  #: characters
_REFUSED: Final = re.compile(r"^ ! \[.+\] .+ \((?P<why>.+)\)$", re.MULTILINE)
_MOVED: Final = "stale info"  #: git's word for a ref that is not where we said that it is
#: On this machine the other side is a git of ours: it runs nothing that the repository brings.
_LOCAL: Final = (
    "--receive-pack=git -c core.hooksPath=/dev/null -c core.fsmonitor=false"
    " -c receive.autogc=false -c gc.auto=0 receive-pack"
)


async def push(clone: Clone, commit: str, ref: str) -> str:
    """Why it was not pushed; nothing where it was. Whatever goes wrong is a word, not an error."""
    return await _send(clone, f"+{commit}:{ref}")


async def push_over(clone: Clone, commit: str, ref: str, known: str | None) -> str:
    """As `push`, but only over what we put there ourselves; None: where there is nothing."""
    return await _send(clone, f"{commit}:{ref}", f"--force-with-lease={ref}:{known or ''}")


async def delete(clone: Clone, branch: str, tip: str) -> str:
    """Deletes a branch of the source if it is at `tip`; why not, as `push` says it."""
    ref = f"refs/heads/{branch}"
    return await _send(clone, f":{ref}", f"--force-with-lease={ref}:{tip}")


async def _send(clone: Clone, refspec: str, *more: str) -> str:
    options = ["--quiet", "--no-verify", "--no-recurse-submodules", "--no-signed", *more]
    if clone.url.startswith("/"):
        options.append(_LOCAL)
    argv = ["push", *options, "--", clone.url, refspec]
    try:
        await clone.run(argv, timeout=PUSH_SECONDS, niceness=NICEST)
    except GitFailed as failure:
        return _refused(failure)[:_REASON]
    except CallError as error:
        return error.message[:_REASON]
    except OSError as error:
        return str(error)[:_REASON]
    return ""


def _refused(failure: GitFailed) -> str:
    """What was wrong with the ref, where git says that: its last line never does."""
    said = _REFUSED.search(failure.stderr)
    if said is None:
        return failure.message
    if said["why"] == _MOVED:
        return "the repository has another state there by now, which was left alone"
    return f"the repository refused it: {said['why']}"
