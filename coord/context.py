"""Where the hub is and who we are: arguments, then the environment, then the context file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from protocol.errors import InvalidArgument, Unavailable

_URL: Final = "COORD_URL"
_TOKEN: Final = "COORD_TOKEN"  # noqa: S105 - the name of a variable
_TOKEN_FILE: Final = "COORD_TOKEN_FILE"  # noqa: S105 - the name of a variable
_REPO: Final = "COORD_REPO"
_SESSION: Final = "COORD_SESSION_ID"
_ROLES: Final = "COORD_ROLES"
_DATABASE_URL: Final = "DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Context:
    """A hub and a credential. ``url`` may carry `#sha256=<pin>`; ``source`` says who told us."""

    url: str
    token: str
    source: str = "arguments"

    def __repr__(self) -> str:
        return f"Context({self.url!r}, source={self.source!r})"  # never the token


def find(url: str | None = None, token: str | None = None) -> Context:
    """The hub to talk to. Raises Unavailable (NO_HUB) or InvalidArgument (NO_TOKEN, BAD_CONTEXT).

    A token goes with the URL it was found beside: the token in the context file is never sent to
    another hub than the one in the context file.
    """
    if url is None:
        url = os.environ.get(_URL) or None
        source = _URL
    else:
        source = "arguments"
    if token is None and url is not None:
        token = _token_from_environment()
    stored = None if url is not None and token is not None else read(path())
    if url is None:
        if stored is None:
            raise _no_hub()
        return Context(
            stored.url, token or _token_from_environment() or stored.token, stored.source
        )
    if token is None and stored is not None and stored.url == url:
        token = stored.token
    if token is None:
        raise InvalidArgument(
            "NO_TOKEN",
            f"no token for {url}",
            advice="set COORD_TOKEN_FILE, or run `coordctl login URL`",
        )
    return Context(url, token, source)


def path() -> Path:
    """The context file that `coordctl up` and `coordctl login` write."""
    return platformdirs.user_config_path("coord") / "context.json"


def state_path() -> Path:
    """Where `coordctl up` keeps its database and its spoke, unless told otherwise."""
    return platformdirs.user_data_path("coord")


def database_url() -> str | None:
    return os.environ.get(_DATABASE_URL) or None


def roles_file() -> Path | None:
    named = os.environ.get(_ROLES)
    return Path(named) if named else None


def session_repo() -> str | None:
    """Inside a session: the repository that it works on, as its spoke knows it."""
    return os.environ.get(_REPO) or None


def session_id() -> str | None:
    """Inside a session: which one."""
    return os.environ.get(_SESSION) or None


def wants_no_colour() -> bool:
    return bool(os.environ.get("NO_COLOR"))


def read(file: Path) -> Context | None:
    """What the file says; None where there is none. Raises InvalidArgument (BAD_CONTEXT)."""
    try:
        value: object = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _bad_context(file, str(error)) from error
    match value:
        case {"url": str(url), "token": str(token)}:
            return Context(url, token, str(file))
        case _:
            raise _bad_context(file, "it has no url and token")


def write(file: Path, url: str, token: str) -> None:
    """Replace the file at once, readable by its owner alone."""
    write_private(file, json.dumps({"url": url, "token": token}, indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Replace a file at once; nobody but its owner can ever read it."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _token_from_environment() -> str | None:
    token = os.environ.get(_TOKEN)
    if token:
        return token
    named = os.environ.get(_TOKEN_FILE)
    if not named:
        return None
    try:
        return Path(named).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            "NO_TOKEN",
            f"{_TOKEN_FILE} names {named}, which cannot be read: {error}",
            advice="check the path, or unset COORD_TOKEN_FILE",
        ) from error


def _no_hub() -> Unavailable:
    return Unavailable(
        "NO_HUB",
        f"no hub is known: COORD_URL is not set and there is no {path()}",
        advice="start one with `coordctl up`, or join one with `coordctl login URL`",
        retryable=False,
    )


def _bad_context(file: Path, why: str) -> InvalidArgument:
    return InvalidArgument(
        "BAD_CONTEXT", f"{file} cannot be used: {why}", advice="run `coordctl login URL` again"
    )
