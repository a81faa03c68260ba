"""Every coordctl command line in deploy/, the compose file and the documents is one it reads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from coord.cli.parser import UsageError, read
from coord.cli.registry import COMMANDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DEPLOYED = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]

_FENCED = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`coordctl ([a-z]+)")
_ENDS = frozenset({"|", ">", ">>", "<", "<<", ";", "&", "&&", "||", "(", ")", ");", "|&"})


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _commands(shell: str) -> Iterator[list[str]]:
    """The arguments of each coordctl in a piece of shell."""
    for line in shell.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = "#"
        found = list(words)
        while "coordctl" in (names := [word.rpartition("/")[2] for word in found]):
            found = found[names.index("coordctl") + 1 :]
            end = next((n for n, word in enumerate(found) if word in _ENDS), len(found))
            yield found[:end]
            found = found[end:]


def _shell_of(path: Path) -> Iterator[str]:
    """What of a file is run by a shell, or is a command line."""
    text = path.read_text()
    match path.suffix:
        case ".md":
            yield from _FENCED.findall(text)
        case ".sh":
            yield text
        case ".service":
            yield "\n".join(re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE))
            yield "\n".join(re.findall(r"^# .*?(\S*coordctl .+)$", text, re.MULTILINE))
        case ".yaml" | ".yml":
            yield from _shell_in(yaml.safe_load(text))
        case _ if path.name == "Caddyfile":
            yield "\n".join(re.findall(r"^#\s+(coordctl .+)$", text, re.MULTILINE))
        case _ if path.suffix == ".Dockerfile":
            lists = re.findall(r"^\s*(?:CMD|ENTRYPOINT) (\[.+\])$", text, re.MULTILINE)
            yield "\n".join(shlex.join(yaml.safe_load(words)) for words in lists)
        case _:
            return


def _shell_in(value: object) -> Iterator[str]:
    """All texts of a YAML file that speak of coordctl; a list of words is one command."""
    match value:
        case str() if re.search(r"(?:^|[\s/])coordctl ", value) and "[Unit]" not in value:
            yield value
        case dict():
            for item in value.values():
                yield from _shell_in(item)
        case list():
            for item in value:
                yield from _shell_in(item)
        case _:
            return


def _all_commands() -> list[Any]:
    paths = [ROOT / "docker-compose.yml", *DEPLOYED, *DOCUMENTS]
    return [
        pytest.param(words, id=f"{_name(path)}: {shlex.join(words)[:60]}")
        for path in paths
        for shell in _shell_of(path)
        for words in _commands(shell)
    ]


@pytest.mark.parametrize("words", _all_commands())
def test_every_command_line_is_one_that_coordctl_reads(words: list[str]) -> None:
    try:
        read(words)
    except UsageError as error:
        pytest.fail(f"coordctl {shlex.join(words)}: {error}")


def test_command_lines_are_found_where_they_are_known_to_be() -> None:
    found = " ".join(str(param.id) for param in _all_commands())
    for place in (
        "docker-compose.yml: hub serve",
        "deploy/start-spoke.sh: spoke join",
        "deploy/systemd/coord-hub.service: hub serve",
        "deploy/systemd/coord-spoke.service: spoke run",
        "deploy/systemd/coord-spoke.service: spoke join",
        "deploy/cloud-init/spoke.yaml: spoke join",
        "deploy/caddy/Caddyfile: hub serve",
        "deploy/hub.Dockerfile: hub serve",
        "README.md: up",
        "docs/operating.md: hub serve",
    ):
        assert place in found


@pytest.mark.parametrize("path", [*DEPLOYED, *DOCUMENTS, ROOT / "CHANGELOG.md"], ids=_name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    named = set(_INLINE.findall(path.read_text()))
    assert named - COMMANDS.keys() == set()


def test_every_command_that_an_error_advises_exists() -> None:
    advised = re.compile(r"""(?<![\w.])coordctl ([a-z]+)""")
    packages = ("coord", "hub", "spoke", "protocol")
    sources = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    quoted = re.compile(r'"[^"\n]*"')
    for path in sources:
        for text in quoted.findall(path.read_text()):
            assert set(advised.findall(text)) <= COMMANDS.keys(), (path, text)
