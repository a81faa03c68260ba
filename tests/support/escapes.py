"""An agent that tries to get out of its sandbox, and says how each try ended.

Run as a program: its prompt is JSON, the targets by name. It prints one line of JSON: what became
of each try, the name of the error or an empty text.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

_PTRACE_ATTACH = 16
_LIBC = ctypes.CDLL(None, use_errno=True)

Try = Callable[[], object]


def _append(path: str) -> Try:
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def _create(path: str) -> Try:
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _read(path: str) -> Try:
    return lambda: Path(path).read_bytes()


def _git(*argv: str) -> Try:
    def run() -> None:
        done = subprocess.run(["git", *argv], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(errno.EACCES, done.stderr)

    return run


def _call(name: str, *arguments: object) -> Try:
    def run() -> None:
        if getattr(_LIBC, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), name)

    return run


def _through(link: str, target: str) -> Try:
    def run() -> None:
        Path(link).symlink_to(target)
        _append(target if link == target else link)()

    return run


def _connect(address: str) -> Try:
    def run() -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(address)

    return run


def _order(folder: str, *, own: bool) -> Try:
    """A word to supervisors: to its own, which is the newest, or to all others."""

    def run() -> None:
        doors = _doors(folder)
        said = [_said(door) for door in (doors[-1:] if own else doors[:-1])]
        heard = [text for text in said if text is not None]
        for text in heard:
            if b'"ok":true' not in text:
                raise OSError(errno.EACCES, text.decode())
        if not heard:
            raise OSError(errno.ENOENT, "nobody was there")

    return run


def _doors(folder: str) -> list[Path]:
    """Of all supervisors, the newest last; that of one which has ended may go meanwhile."""
    found: dict[Path, int] = {}
    for one in Path(folder).iterdir():
        with suppress(FileNotFoundError):
            if one.is_socket() and not one.name.startswith("spare-"):  # nobody is in there yet
                found[one] = one.stat().st_mtime_ns
    return sorted(found, key=found.__getitem__)


def _said(door: Path) -> bytes | None:
    """What its supervisor answers; None: it has ended, or ends just now."""
    heard = b""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(door))
            line.sendall(b'{"id":1,"op":"status"}\n')
            while b'"id"' not in heard:
                if not (more := line.recv(4096)):
                    return None
                heard += more
        except (ConnectionError, FileNotFoundError):
            return None
    return heard


def _moved(place: str, target: str) -> None:
    """Made where links may be made, and taken there."""
    link = Path("moved-link")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    link.rename(place)


def _admin() -> str:
    return subprocess.check_output(["git", "rev-parse", "--absolute-git-dir"], text=True).strip()


def _datagram(port: str) -> Try:
    def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(b"out", ("127.0.0.1", int(port)))

    return run


def _commit() -> None:
    Path("work.txt").write_text("work\n")
    _git("add", "work.txt")()
    _git("commit", "-qm", "Work")()


def tries(at: Mapping[str, str]) -> dict[str, Try]:
    """In order: some need what those before have made."""
    own, temp, state = os.environ["COORD_WORKTREE"], os.environ["TMPDIR"], at["state"]
    view = subprocess.check_output(["git", "rev-parse", "--git-common-dir"], text=True).strip()
    above, heads = os.getppid(), f"{at['clone']}/refs/heads"
    return {
        # What it is for.
        "commit": _commit,
        "stash": lambda: (Path("work.txt").write_text("more\n"), _git("stash")()),
        "stash pop": _git("stash", "pop"),
        "branch": _git("branch", "mine"),
        "delete the branch": _git("branch", "-D", "mine"),
        "fetch": _git("fetch", "origin"),
        "rebase": lambda: (_git("checkout", "--", ".")(), _git("rebase", "--force", "HEAD~1")()),
        "temporary file": _create(f"{temp}/x"),
        "read the system": _read("/etc/passwd"),
        "read its token": _read(os.environ["COORD_TOKEN_FILE"]),
        "write to /dev/null": _append("/dev/null"),
        # Out of the worktree.
        "write beside the worktree": _create(f"{own}/../beside"),
        "write to the home": _create(f"{at['home']}/new"),
        "change a file of the home": _append(at["file"]),
        "shorten a file of the home": lambda: os.truncate(at["file"], 0),
        "remove a file of the home": Path(at["file"]).unlink,
        "write to /tmp": _create(f"/tmp/{Path(own).name}"),
        "through a link": _through("link", at["file"]),
        "hard link in": lambda: os.link(at["file"], "linked"),
        "hard link out": lambda: os.link("file0.txt", f"{at['home']}/linked"),
        "rename in": lambda: Path(at["file"]).rename("taken"),
        "rename out": lambda: Path("file0.txt").rename(f"{at['home']}/moved"),
        "write to the repository": _create(f"{at['repo']}/new"),
        # Into what others run.
        "git config": _git("config", "core.fsmonitor", "false"),
        "write its git configuration": _append(f"{view}/config"),
        "write a hook": _create(f"{view}/hooks/post-commit"),
        "write its attributes": _create(f"{view}/info/attributes"),
        "write the daemon's git configuration": _append(f"{at['clone']}/control/config"),
        "write a hook of the daemon": _create(f"{at['clone']}/control/hooks/post-index-change"),
        "write what all refs are packed in": _create(f"{at['clone']}/packed-refs.lock"),
        "write the agent's settings": _append(at["settings"]),
        # To other sessions.
        "write to another worktree": _append(f"{at['worktree']}/file0.txt"),
        "read another worktree": _read(f"{at['worktree']}/file0.txt"),
        "write to another's admin directory": _append(f"{at['admin']}/HEAD"),
        "write to another's view": _append(f"{at['view']}/config"),
        "forge what another has saved": _create(f"{at['clone']}/refs/coord/wip/forged"),
        "link among the branches": lambda: Path(f"{heads}/out").symlink_to(at["home"]),
        "move a link among the branches": lambda: _moved(f"{heads}/out", at["home"]),
        "link its index": lambda: _moved(f"{_admin()}/index", at["file"]),
        "read another's token": _read(f"{at['attempt']}/credential"),
        # To what is above it.
        "read the spoke's key": _read(f"{state}/key"),
        "read the spoke's journal": _read(f"{state}/journal"),
        "read the person's way in": _read(at["context"]),
        "write its spool": _append(f"{Path(os.environ['COORD_TOKEN_FILE']).parent}/spool"),
        "write another's spool": _append(f"{at['attempt']}/spool"),
        "signal its supervisor": lambda: os.kill(above, 0),
        "signal the daemon": lambda: os.kill(int(at["daemon"]), 0),
        "signal another's agent": lambda: os.kill(int(at["agent"]), 0),
        "trace its supervisor": _call("ptrace", _PTRACE_ATTACH, above, None, None),
        "read its supervisor's environment": _read(f"/proc/{above}/environ"),
        "read its supervisor's memory": _read(f"/proc/{above}/mem"),
        "read the daemon's environment": _read(f"/proc/{at['daemon']}/environ"),
        "read another's environment": _read(f"/proc/{at['agent']}/environ"),
        "connect to an abstract socket": _connect(f"\0{at['abstract']}"),
        "order something of its supervisor": _order(at["run"], own=True),
        "order something of another supervisor": _order(at["run"], own=False),
        # As root.
        "mount": _call("mount", b"none", os.fsencode(own), b"tmpfs", 0, None),
        "change the root": lambda: os.chroot(own),
        "leave its control group": _create("/sys/fs/cgroup/coord-escape"),
        "make a device": lambda: os.mknod("device", 0o020600, os.makedev(1, 3)),
        # What it is known not to stop.
        "chmod outside": lambda: Path(at["file"]).chmod(0o600),
        "connect to a socket that is a file": _connect(at["socket"]),
        "send a datagram": _datagram(at["port"]),
        "list another's folder": lambda: [*Path(at["attempt"]).iterdir()],
        "move another's branch": _git("update-ref", f"refs/heads/{at['branch']}", "HEAD"),
    }


def outcome(attempt: Try) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


if __name__ == "__main__":
    targets: dict[str, str] = json.loads(Path(os.environ["COORD_PROMPT_FILE"]).read_text())
    said = {name: outcome(attempt) for name, attempt in tries(targets).items()}
    sys.stdout.write(json.dumps(said) + "\n")
