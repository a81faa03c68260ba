"""The words that reach git: branches, bases, repositories, ids and the slugs made from them.

One allow-list for each, used by hub and spoke alike, so that nothing typed by a person or an agent
can be read by git as an option, a second command or a path. Pure: what only a repository can know
(does the base exist, is the branch free) is asked on the spoke.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from protocol.errors import InvalidArgument

BRANCH_MAX: Final = 200  #: bytes; refs/heads/ + a lock suffix must still fit a file name
URL_MAX: Final = 2048
SLUG_MAX: Final = 40

_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*\Z")
_OBJECT_ID: Final = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z", re.IGNORECASE)
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_HOST: Final = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_PATH: Final = r"[A-Za-z0-9._~/+%@,=-]+"
_PORT: Final = r"(?::[0-9]{1,5})?"
_USER: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_URLS: Final = (
    re.compile(rf"https://{_HOST}{_PORT}/(?P<path>{_PATH})\Z"),
    re.compile(rf"ssh://(?:{_USER}@)?{_HOST}{_PORT}/(?P<path>{_PATH})\Z"),
    re.compile(rf"{_USER}@{_HOST}:(?P<path>{_PATH})\Z"),
)
_CREDENTIALS: Final = re.compile(r"[a-z+]+://[^/]*@", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")


def check_branch(name: str) -> str:
    """The name itself, if a session may have this branch; raises `InvalidArgument` BAD_REF."""
    fault = _ref_fault(name)
    if fault is None and _OBJECT_ID.match(name):
        fault = "it reads like a commit id"
    if fault is not None:
        raise _bad_ref("branch", name, fault)
    return name


def check_base(name: str) -> str:
    """The name itself, if it can name a commit: a branch, a tag or a commit id, full or short.

    Raises `InvalidArgument` BAD_REF. Whether it exists is for the clone to say.
    """
    fault = _ref_fault(name)
    if fault is not None:
        raise _bad_ref("base", name, fault)
    return name


def check_repo(url: str, *, allow_local: bool) -> str:
    """The URL itself, if git may be given it; raises `InvalidArgument` BAD_REPO_URL.

    https, ssh, user@host:path, and an absolute local path where `allow_local`. Credentials inside
    a URL are refused: they would be stored, logged and shown.
    """
    fault = _local_fault(url, allow_local) if url.startswith("/") else _url_fault(url)
    if fault is not None:
        raise InvalidArgument(
            "BAD_REPO_URL",
            f"the repository {_shown(url)} cannot be used: {fault}",
            advice="give https://host/path, ssh://user@host/path or user@host:path",
            details={"field": "repo"},
        )
    return url


def check_id(text: str) -> str:
    """The id itself, if it can be a file name everywhere; raises `InvalidArgument` BAD_ID."""
    if not is_id(text):
        raise InvalidArgument("BAD_ID", f"{_shown(text)} is not an id", details={"field": "id"})
    return text


def is_id(text: str) -> bool:
    """Letters, digits, - and _, at most 64, the first one a letter or digit."""
    return _ID.match(text) is not None


def slug(text: str, *, most: int = SLUG_MAX) -> str:
    """Lower-case letters, digits and single dashes; at most `most` of them, never none."""
    return _NOT_SLUG.sub("-", text.lower()).strip("-")[:most].strip("-") or "x"


def repo_slug(url: str) -> str:
    """A directory name for a repository: its last word, and a digest to tell equal ones apart."""
    name = url.rstrip("/").removesuffix(".git").rpartition("/")[2].rpartition(":")[2]
    return f"{slug(name)}-{hashlib.sha256(url.encode()).hexdigest()[:10]}"


def branch_for(task: str, session_id: str) -> str:
    """The branch of a session that was not given one: readable, and no other session's."""
    # No check: a slug is a legal part of a name, and no other part comes from outside.
    return f"coord/{slug(task)}-{session_id.rpartition('_')[2][:10]}"


def _ref_fault(name: str) -> str | None:
    """Why git, or a person reading the name later, would be misled by it; None if nobody would."""
    parts = name.split("/")
    rules = (
        (not name, "it is empty"),
        (len(name.encode(errors="replace")) > BRANCH_MAX, f"it is over {BRANCH_MAX} bytes"),
        (not _REF.match(name), "only letters, digits and . _ / - are allowed, - and . not first"),
        (".." in name, "it contains two dots in a row"),
        (not all(parts), "it has an empty part between slashes"),
        (any(part.startswith((".", "-")) for part in parts), "a part starts with a dot or a dash"),
        (any(part.endswith((".lock", ".")) for part in parts), "a part ends with .lock or a dot"),
        (parts[-1].upper() == "HEAD", "HEAD is git's own word"),
        (parts[0] == "refs", "it is given without refs/..."),
    )
    return next((fault for broken, fault in rules if broken), None)


def _url_fault(url: str) -> str | None:
    if len(url) > URL_MAX:
        return f"it is over {URL_MAX} characters"
    found = next((match for form in _URLS if (match := form.match(url))), None)
    if found is not None:
        path = found["path"].lstrip("/")
        return "its path is not one" if path.startswith("-") or ".." in path.split("/") else None
    if _CREDENTIALS.match(url):
        return "it carries credentials; leave them to ssh or a credential helper"
    return "only https, ssh and user@host:path are allowed"


def _local_fault(path: str, allowed: bool) -> str | None:
    parts = path.split("/")[1:]
    rules = (
        (not allowed, "this spoke does not allow local paths"),
        (len(path) > URL_MAX, f"it is over {URL_MAX} characters"),
        (_UNPRINTABLE.search(path) is not None, "it contains unprintable characters"),
        (".." in parts or "." in parts, "it contains . or .. as a part"),
        (not any(parts), "it is the root directory"),
    )
    return next((fault for broken, fault in rules if broken), None)


def _bad_ref(field: str, name: str, fault: str) -> InvalidArgument:
    return InvalidArgument(
        "BAD_REF",
        f"{_shown(name)} cannot be a {field}: {fault}",
        advice="use letters, digits and . _ / - only",
        details={"field": field},
    )


def _shown(text: str) -> str:
    """The text, safe on a terminal and in JSON, short, and without credentials."""
    short = text[:URL_MAX]
    bare = _CREDENTIALS.sub(lambda match: match[0].partition("//")[0] + "//...@", short)
    return ascii(bare if len(bare) <= 80 else bare[:77] + "...")
