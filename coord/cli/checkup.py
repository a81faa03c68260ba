"""The checks of `coordctl doctor`: each looks at one thing and says what it found."""

from __future__ import annotations

import platform
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, Literal

from coord import context
from coord.caller import our_version
from coord.cli.installed import strange_files
from coord.client import Hub, connect
from protocol.agents import ABILITIES, is_named
from protocol.errors import CallError, NotFound, PermissionDenied
from protocol.limits import PROTOCOL_VERSION
from protocol.ops.shapes import Shape
from protocol.ops.spokes import SpokeView

OLDEST_GIT: Final = (2, 37)

_LOGINS: Final = {
    "key": "key in its environment", "login": "logged in", "unseen": "no login seen",
}  # fmt: skip

Result = Literal["ok", "warn", "fail"]


class Check(Shape):
    check: str
    result: Result
    found: str
    advice: str = ""


def machine() -> Iterator[Check]:
    yield _python()
    yield _git()
    yield _postgres()
    yield _files()
    yield _context()


async def hub() -> list[Check]:
    """Whether the hub answers, speaks our version, and has spokes that take work."""
    try:
        async with connect(name="coordctl doctor") as link:
            return [_versions(link), *await _spokes(link)]
    except CallError as error:
        result: Result = "warn" if error.reason == "NO_HUB" else "fail"
        return [Check(check="hub", result=result, found=error.message, advice=error.advice)]


def _python() -> Check:
    good = sys.version_info >= (3, 11)
    return Check(
        check="python",
        result="ok" if good else "fail",
        found=f"{platform.python_version()} at {sys.executable}",
        advice="" if good else "install Python 3.11 or newer",
    )


def _git() -> Check:
    advice = f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer; agents work in its worktrees"
    git = shutil.which("git")
    if git is None:
        return Check(check="git", result="fail", found="not on PATH", advice=advice)
    said = subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.search(r"(\d+)\.(\d+)", said)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
        return Check(check="git", result="fail", found=said.strip(), advice=advice)
    return Check(check="git", result="ok", found=f"{said.strip()} at {git}")


def _postgres() -> Check:
    from hub.embedded import binaries  # what belongs to a hub is looked at only when asked for

    if context.database_url() is not None:
        return Check(check="postgresql", result="ok", found="DATABASE_URL names one")
    try:
        found = binaries.find()
    except CallError as error:
        return Check(check="postgresql", result="warn", found=error.message, advice=error.advice)
    return Check(
        check="postgresql",
        result="ok",
        found=f"{found.major} ({found.source}) at {found.bin}",
    )


def _files() -> Check:
    strange = strange_files()
    if not strange:
        return Check(check="installation", result="ok", found=f"coord {our_version()}, unaltered")
    return Check(
        check="installation",
        result="fail",
        found=f"not as installed: {', '.join(strange[:5])}"
        + (f" and {len(strange) - 5} more" if len(strange) > 5 else ""),
        advice="another package owns folders of these names; install coord in an environment of"
        " its own, then: pip install --force-reinstall coord",
    )


def _context() -> Check:
    file = context.path()
    try:
        found = context.read(file)
    except CallError as error:
        return Check(check="context", result="fail", found=error.message, advice=error.advice)
    if found is None:
        return Check(check="context", result="ok", found=f"there is no {file}")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return Check(
            check="context",
            result="fail",
            found=f"{file} can be read by others (mode {mode:04o})",
            advice=f"chmod 600 {file}; then make a new token: coordctl token create",
        )
    return Check(check="context", result="ok", found=f"{found.url} in {file}")


def _versions(link: Hub) -> Check:
    said = link.welcome
    found = (
        f"{link.url} is coord {said.hub_version}, protocol {said.protocol_version};"
        f" you are {said.principal} ({said.role})"
    )
    same = said.protocol_version == PROTOCOL_VERSION and said.hub_version == our_version()
    return Check(
        check="hub",
        result="ok" if same else "warn",
        found=found,
        advice="" if same else f"here is coord {our_version()}; upgrade the older side",
    )


async def _spokes(link: Hub) -> list[Check]:
    try:
        found = await link.spokes()
    except (PermissionDenied, NotFound):
        return []  # a session may not list them
    if not found:
        return [Check(check="spokes", result="warn", found="none", advice="coordctl spoke invite")]
    return [_spoke(one) for one in found if one.state != "revoked"]


def _spoke(one: SpokeView) -> Check:
    detail = one.detail
    known = ("killMethod", "sandbox", "sandboxFloor", "git")
    says = [f"{key} {detail[key]}" for key in known if key in detail]
    says += agents(one)
    good = one.state == "online"
    return Check(
        check=f"spoke {one.name}",
        result="ok" if good else "warn",
        found=", ".join([one.state, f"{one.live}/{one.slots} slots in use", *says]),
        advice="" if good else "on that machine: coordctl spoke run",
    )


def agents(one: SpokeView) -> list[str]:
    """Which it can start; of each, where that is known, its version, its speech and its login."""
    named = one.detail.get("agents")
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    said = [_agent(one, name) for name in names if not is_named(name)]
    return [f"agents: {', '.join(said)}"] if said else []


def _agent(one: SpokeView, name: str) -> str:
    version, login = (_of(one, what, name) for what in ("agentVersions", "agentLogins"))
    words: list[str] = [ABILITIES[name].speaks] if name in ABILITIES else []
    words += [_LOGINS[login]] if login in _LOGINS else []
    known = f"{name} {version}" if version else name
    return f"{known} ({'; '.join(words)})" if words else known


def _of(one: SpokeView, what: str, name: str) -> str:
    known = one.detail.get(what)
    said = known.get(name) if isinstance(known, dict) else None
    return said if isinstance(said, str) else ""
