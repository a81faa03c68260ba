"""What deploy/ describes: whole, without a secret in its text, and agents outlive a restart."""

from __future__ import annotations

import configparser
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import coord
from hub.app import serve
from hub.settings import HubSettings
from protocol import tokens
from protocol.aio.dial import address
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
DEPLOYED = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]

_SECRETS = (
    re.compile(r"ck[jsul]_[0-9A-Za-z]{20}"),
    re.compile(r"PRIVATE KEY"),
    re.compile(r"postgres(?:ql)?://[^\s/:@]+:[^\s/@]+@"),
    re.compile(r"^\s*\w*(?:PASSWORD|SECRET|TOKEN)\w*\s*[:=]\s*(?!/|\$\{\w+:\?)\S", re.MULTILINE),
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Secrets and users.


@pytest.mark.parametrize("path", [ROOT / "docker-compose.yml", *DEPLOYED, *DOCUMENTS], ids=_name)
def test_no_secret_stands_in_the_text(path: Path) -> None:
    text = path.read_text()
    assert [found.group() for rule in _SECRETS for found in rule.finditer(text)] == []


def test_the_rule_about_secrets_finds_some() -> None:
    samples = (
        tokens.new(tokens.Kind.USER),
        "DATABASE_URL=postgresql://coord:hunter2@db/coord",
        "      POSTGRES_PASSWORD: hunter2",
        "COORD_TOKEN=abc",
    )
    assert all(any(rule.search(sample) for rule in _SECRETS) for sample in samples)
    kept = ("POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?say it}", "COORD_TOKEN_FILE: /run/secrets/t")
    assert not any(rule.search(sample) for rule in _SECRETS for sample in kept)


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_images_run_as_nobody_in_particular(path: Path) -> None:
    text = path.read_text()
    last = text[text.rindex("\nFROM ") :]
    [user] = re.findall(r"^USER (\d+):\d+$", last, re.MULTILINE)
    assert int(user) > 0
    assert "--require-hashes -r requirements/run.lock" in text
    assert "--no-deps ." in text
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.11-slim-bookworm"}
    for needed in ("\nSTOPSIGNAL SIGTERM\n", "\nHEALTHCHECK ", '\nENTRYPOINT ["tini", "--"]\n'):
        assert needed in last


def _copied(path: Path) -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", path.read_text(), re.MULTILINE)
    return {word for line in lines for word in line.split()}


@pytest.mark.parametrize("path", DOCKERFILES, ids=_name)
def test_images_copy_what_is_there_and_all_packages(path: Path) -> None:
    copied = _copied(path)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"coord", "hub", "protocol", "spoke", "sql"} <= copied


# Compose.


def _compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_names_nothing_that_it_does_not_have() -> None:
    whole = _compose()
    services = whole["services"]
    assert {"postgres", "hub", "spoke"} <= services.keys()
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        assert set(service.get("networks", [])) <= whole["networks"].keys()
        assert set(service.get("secrets", [])) <= whole["secrets"].keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= whole["volumes"].keys()
        build = service.get("build")
        assert build is None or (ROOT / build["dockerfile"]).is_file()
        assert service.get("user", "10001") not in ("root", "0", "0:0")
        assert not service.get("privileged")


def test_nothing_of_compose_is_open_to_other_machines() -> None:
    for service in _compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_only_the_hub_reaches_the_database() -> None:
    whole = _compose()
    assert whole["networks"]["database"] == {"internal": True}
    near = {
        name for name, one in whole["services"].items() if "database" in one.get("networks", [])
    }
    assert near == {"postgres", "hub"}


@pytest.mark.openssl
async def test_the_keys_of_compose_let_spokes_and_clients_in(
    tmp_path: Path, hub_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, postgres = tmp_path / "keys", tmp_path / "postgres-keys"
    for folder in (keys, postgres):
        folder.mkdir(mode=0o700)
    make = [str(DEPLOY / "make-keys.sh"), str(keys), str(postgres), "hub", "localhost"]
    subprocess.run(make, check=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    subprocess.run(make, check=True)
    assert {path: path.read_bytes() for path in before} == before, "made once"

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in before}
    assert modes["tls.key"] == modes["pgpass"] == 0o600
    password = (postgres / "password").read_text().strip()
    assert (keys / "pgpass").read_text() == f"postgres:5432:coord:coord:{password}\n"

    pin = (keys / "pin").read_text().strip()
    port = free_port()
    settings = HubSettings(
        database_url=hub_database, host="0.0.0.0", port=port, http_host="0.0.0.0", http_port=0,
        state=tmp_path, tls_cert=keys / "tls.crt", tls_key=keys / "tls.key",
        public_url=f"wss://hub:7443#sha256={pin}",
    )  # fmt: skip
    async with serve(settings) as hub:
        assert address(hub.url).pin == pin
        join = tokens.read_join(await hub.join_string("spoke"))
        assert (join.url, join.pin) == ("wss://hub:7443", pin), "what the spoke is told"
        token = await hub.admin_token("test")
        async with coord.connect(f"wss://127.0.0.1:{port}#sha256={pin}", token) as client:
            assert client.welcome.role == "admin"
        with pytest.raises(coord.Unauthenticated, match="PIN_MISMATCH"):
            async with coord.connect(f"wss://127.0.0.1:{port}#sha256={'0' * 64}", token):
                pass
        monkeypatch.setenv("SSL_CERT_FILE", str(keys / "tls.crt"))
        async with coord.connect(f"wss://localhost:{port}", token) as client:
            assert client.welcome.role == "admin", "as `docker compose exec hub coordctl` does"


# systemd and cloud-init.


def _unit(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(path)
    return unit


@pytest.mark.parametrize("path", UNITS, ids=_name)
def test_units_have_a_user_and_start_again(path: Path) -> None:
    service = _unit(path)["Service"]
    assert service["User"] not in ("", "root")
    assert service["Restart"] == "always"
    assert service["NoNewPrivileges"] == "yes"
    assert _unit(path)["Install"]["WantedBy"] == "multi-user.target"


def test_a_restart_of_the_spoke_leaves_agents_alone() -> None:
    service = _unit(DEPLOY / "systemd/coord-spoke.service")["Service"]
    assert service["KillMode"] == "process"
    assert service["Delegate"] == "yes"
    assert service["OOMPolicy"] == "continue"
    for harmful in ("PrivateTmp", "RestrictNamespaces", "SystemCallFilter", "RuntimeDirectory"):
        assert harmful not in service


def test_a_new_machine_gets_the_unit_that_is_here() -> None:
    text = (DEPLOY / "cloud-init/spoke.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    whole = yaml.safe_load(text)
    files = {file["path"]: file for file in whole["write_files"]}
    unit = files["/etc/systemd/system/coord-spoke.service"]["content"]
    assert unit == (DEPLOY / "systemd/coord-spoke.service").read_text()
    assert files["/etc/coord/join"]["permissions"] == "0600"
    assert files["/etc/coord/join"]["content"] == "<JOIN>\n"
    [user] = [one for one in whole["users"] if isinstance(one, dict)]
    assert user["name"] == _unit(DEPLOY / "systemd/coord-spoke.service")["Service"]["User"]


def test_what_a_shell_runs_is_shell() -> None:
    for path in (*DEPLOY.glob("*.sh"), ROOT / ".ci/run"):
        assert path.stat().st_mode & stat.S_IXUSR, path
        shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
        subprocess.run([shell, "-n", str(path)], check=True)
