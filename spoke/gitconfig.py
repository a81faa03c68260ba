"""The configuration under which the daemon's git runs."""

from __future__ import annotations

from typing import Final

#: Also given by environment, which no repository's own configuration can outrank.
_FIRM: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
#: A file, because upload-pack and its like see neither -c nor the environment's configuration.
_OWNED: Final = _FIRM | {
    "safe.directory": "*",
    "safe.bareRepository": "explicit",
    "protocol.ext.allow": "never",
    "core.sshCommand": "ssh -o BatchMode=yes -o ControlMaster=no -o ControlPath=none",
    "core.filesRefLockTimeout": "2000",
    "core.packedRefsTimeout": "5000",
    "core.excludesFile": "/dev/null",
    "core.logAllRefUpdates": "true",
    "checkout.workers": "0",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "user.name": "coord",
    "user.email": "coord@localhost",
    "user.useConfigOnly": "true",
}


def firm() -> dict[str, str]:
    """Environment variables that carry what must hold against any repository's configuration."""
    variables = {"GIT_CONFIG_COUNT": str(len(_FIRM))}
    for n, (key, value) in enumerate(_FIRM.items()):
        variables |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return variables


def owned(credential_helper: str | None) -> str:
    """The text of the configuration file that stands in for the person's own."""
    lines = [_line(key, value) for key, value in _OWNED.items()]
    if credential_helper is not None:
        lines.append(_line("credential.helper", credential_helper))
    return "".join(lines)


def quoted(value: str) -> str:
    """A value of one line, as git's configuration has it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _line(key: str, value: str) -> str:
    section, _, name = key.rpartition(".")
    head, dot, rest = section.partition(".")
    return f"[{head}{f' {chr(34)}{rest}{chr(34)}' if dot else ''}]\n\t{name} = {quoted(value)}\n"
