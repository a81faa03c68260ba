"""No credential leaves in plain text, or to whoever has not the pinned key."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import coord
from hub.app import serve
from hub.settings import HubSettings
from protocol import tokens
from protocol.errors import CallError, InvalidArgument, Unauthenticated, Unavailable
from protocol.tokens import Kind
from spoke import identity
from spoke.enrollment import enroll
from spoke.identity import Identity
from spoke.settings import Places, SpokeSettings
from tests.support.certificates import HOUR, certificate
from tests.support.world import COORDCTL


@asynccontextmanager
async def tls_server(folder: Path, **made: timedelta) -> AsyncGenerator[tuple[str, str, bytearray]]:
    """Somebody who shows a certificate and writes down what is said: address, pin, all of it."""
    cert, key, pin = certificate(folder, **made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            heard.extend(data)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}", pin, heard


def spoke_settings(folder: Path) -> SpokeSettings:
    folder.mkdir(exist_ok=True)
    return SpokeSettings(state=folder)


async def test_a10_over_tls_the_pin_is_all_that_is_needed(
    hub_database: str, tmp_path: Path
) -> None:
    cert, key, pin = certificate(tmp_path / "tls")
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, tls_cert=cert, tls_key=key
    )
    async with serve(settings) as hub:
        token = await hub.admin_token("anna")
        assert hub.url.startswith("wss://") and hub.url.endswith(f"#sha256={pin}")
        async with coord.connect(hub.url, token) as client:
            invited = await client.call("spoke.invite", {"name": "gpu-1"})
            assert isinstance(invited, dict)
            join = tokens.read_join(str(invited["join"]))
            assert join.pin == pin
            made = await enroll(spoke_settings(tmp_path / "spoke"), join, None)
            assert made.name == "gpu-1"
            mine = identity.load(Places(tmp_path / "spoke"))
            proof = await identity.authorization(mine, identity.own_key(Places(tmp_path / "spoke")))
            assert mine.pin == pin and proof.startswith("Coord-Spoke ")
            with pytest.raises(Unavailable):  # no authority knows it: without the pin, nothing
                await connects(hub.url.partition("#")[0], token)
            with pytest.raises(Unauthenticated) as caught:
                await connects(f"{hub.url.partition('#')[0]}#sha256={'0' * 64}", token)
            assert caught.value.reason == "PIN_MISMATCH"


async def connects(url: str, token: str) -> None:
    async with coord.connect(url, token):
        pass


async def test_a10_to_another_key_than_the_pinned_one_nothing_is_said(tmp_path: Path) -> None:
    token = tokens.new(Kind.USER)
    join = tokens.new(Kind.JOIN)
    async with tls_server(tmp_path / "fake") as (url, pin, heard):
        for wrong in ("0" * 64, pin[:-1] + ("0" if pin[-1] != "0" else "1"), "", "nonsense"):
            with pytest.raises(CallError) as caught:
                await connects(f"{url}#sha256={wrong}", token)
            if wrong:
                assert caught.value.reason == "PIN_MISMATCH"
        with pytest.raises(Unauthenticated) as caught:
            await enroll(spoke_settings(tmp_path / "s"), tokens.Join(url, join, "0" * 64), None)
        assert caught.value.reason == "PIN_MISMATCH"
        mine = Identity("sp_1", "hub_1", "gpu-1", url, "0" * 64)
        with pytest.raises(Unauthenticated) as caught:
            await identity.authorization(mine, identity.own_key(Places(tmp_path / "s")))
        assert caught.value.reason == "PIN_MISMATCH"
    assert bytes(heard) == b"", "not a byte behind the handshake"


async def test_a10_an_expired_certificate_is_none(tmp_path: Path) -> None:
    async with tls_server(tmp_path / "old", valid=-HOUR) as (url, pin, heard):
        with pytest.raises(Unavailable):
            await connects(f"{url}#sha256={pin}", tokens.new(Kind.USER))
    assert bytes(heard) == b""


@pytest.mark.parametrize(
    "url",
    [
        "ws://hub.example.org:7443", "ws://192.0.2.1:7443", "ws://localhost.example.org",
        "ws://127.0.0.1.example.org", "ws://0.0.0.0:1", "ws://[2001:db8::1]:1",
    ],
)  # fmt: skip
async def test_a10_no_token_in_plain_text_off_this_machine(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await connects(url, tokens.new(Kind.USER))
    assert caught.value.reason == "INSECURE_TRANSPORT"
    with pytest.raises(InvalidArgument) as caught:
        await enroll(spoke_settings(tmp_path), tokens.Join(url, tokens.new(Kind.JOIN)), None)
    assert caught.value.reason == "INSECURE_TRANSPORT"


async def test_a10_a_hub_speaks_nothing_older_than_tls_1_3(
    hub_database: str, tmp_path: Path
) -> None:
    cert, key, _ = certificate(tmp_path / "tls")
    settings = HubSettings(
        database_url=hub_database, port=0, http_port=0, state=tmp_path, tls_cert=cert, tls_key=key
    )
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serve(settings) as hub:
        for url in (hub.url, hub.http_url):
            parts = urlsplit(url)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(parts.hostname, parts.port, ssl=old)


@pytest.mark.parametrize(
    "open_to_all",
    [
        {"host": "0.0.0.0"}, {"host": "::"}, {"http_host": "0.0.0.0"}, {"host": "192.0.2.1"},
        {"host": "hub.example.org"},
    ],
)  # fmt: skip
def test_a11_plain_text_to_the_world_is_refused(open_to_all: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        HubSettings(database_url="postgresql:///x", state=Path("/x"), **open_to_all)
    assert caught.value.reason == "INSECURE_BIND"


@pytest.mark.parametrize("half", ["tls_cert", "tls_key"])
def test_a11_half_of_tls_is_none(half: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        HubSettings(database_url="postgresql:///x", state=Path("/x"), **{half: Path("/x.pem")})
    assert caught.value.reason == "BAD_TLS"


@pytest.mark.parametrize("command", [["up"], ["hub", "serve", "--database-url", "postgresql:///x"]])
async def test_a11_on_the_command_line(command: list[str], tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with socket.socket() as taken:  # whoever tried to listen there would say that it cannot
        taken.bind(("0.0.0.0", 0))
        process = await asyncio.create_subprocess_exec(
            COORDCTL, *command, "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]),
            env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, error = await asyncio.wait_for(process.communicate(), 60)
        finally:  # one that does listen goes on until it is told to end
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 2, error
    assert b"INSECURE_BIND" in error or b"no TLS" in error
