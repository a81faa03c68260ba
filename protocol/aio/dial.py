"""Dial a hub: transport security, credentials and deadlines of one connection."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import JsonValue
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from protocol.codec import decode
from protocol.errors import (
    BadFrame,
    CallError,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from protocol.limits import (
    CLOSE_SECONDS,
    MAX_FRAME_BYTES,
    PING_SECONDS,
    PING_TIMEOUT_SECONDS,
    RPC_PATH,
    STALLED_SECONDS,
    SUBPROTOCOL,
    WRITE_BYTES,
)

OPEN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a hub is. ``pin``: SHA-256 (hex) of its public key; then no authority is asked."""

    secure: bool
    host: str
    port: int
    pin: str | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.secure else 'ws'}://{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.url}#sha256={self.pin}" if self.pin else self.url


def address(text: str) -> Address:
    """Read `ws://host:port` or `wss://host:port`, with `#sha256=<pin>` where there is one.

    Raises InvalidArgument (BAD_HUB_URL, INSECURE_TRANSPORT: plain text off this machine).
    """
    parts = urlsplit(text)
    pin = parts.fragment.removeprefix("sha256=") or None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username or parts.query:
        raise InvalidArgument(
            "BAD_HUB_URL",
            "a hub is ws://host:port or wss://host:port",
            advice="set COORD_URL, or run `coordctl login URL`",
        )
    secure = parts.scheme == "wss"
    if not secure and not is_loopback(parts.hostname):
        raise InvalidArgument(
            "INSECURE_TRANSPORT",
            f"{parts.hostname} is not this machine; tokens are not sent in plain text",
            advice="use wss:// (coordctl hub serve --tls-cert, or a proxy that speaks TLS)",
        )
    return Address(secure, parts.hostname, parts.port or (443 if secure else 80), pin)


def addresses(text: str) -> list[Address]:
    """Read one or more, separated by commas: hubs of the same database, in the order of trying.

    Raises InvalidArgument as `address` does.
    """
    return [address(part.strip()) for part in text.split(",")]


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def dial(
    to: Address, authorization: str, *, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[ClientConnection]:
    """An open websocket, as `connected` makes it, and closed."""
    websocket = await connected(to, authorization, headers=headers)
    try:
        yield websocket
    finally:
        await websocket.close()


async def connected(
    to: Address, authorization: str, *, headers: Mapping[str, str] | None = None
) -> ClientConnection:
    """An open websocket to a hub that accepted ``authorization``.

    Raises Unavailable (nobody there), Unauthenticated, PermissionDenied, FailedPrecondition
    (version), ResourceExhausted (try later); Unauthenticated PIN_MISMATCH before any token is sent.
    """
    tls = await _tls(to)
    sock = await _socket(to)
    try:
        return await connect(
            to.url + RPC_PATH,
            sock=sock,
            ssl=tls,
            server_hostname=to.host if tls is not None else None,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": authorization, **(headers or {})},
            compression=None,
            write_limit=WRITE_BYTES,
            proxy=None,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_TIMEOUT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_FRAME_BYTES,
        )
    except InvalidStatus as refused:
        raise _refused(refused) from None
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        raise _unreachable(to, error) from error


async def fetch_json(to: Address, path: str) -> JsonValue:
    """One small GET on the protocol's own port, before there is a websocket."""
    tls = await _tls(to)
    sock = await _socket(to)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=tls, server_hostname=to.host if tls is not None else None
            )
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {to.host}\r\n\r\n".encode())
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(65_536)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise _unreachable(to, error) from error
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise Unavailable("HUB_REFUSED", f"{to.url}{path} answered {status}")
    return decode(body.decode(errors="replace"))


def keep_noticing(sock: socket.socket) -> None:
    """Notice a dead far side while data is unacknowledged; TCP keepalive alone does not."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(STALLED_SECONDS * 1_000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def pin_of(certificate_der: bytes) -> str:
    """SHA-256 (hex) of the public key in a certificate."""
    # Imported where it is used: most connections pin nothing, and it takes a tenth of a second.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate_der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


async def _socket(to: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            found = await loop.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
            for family, kind, proto, _, where in found:
                sock = socket.socket(family, kind, proto)
                sock.setblocking(False)
                try:
                    await loop.sock_connect(sock, where)
                except OSError as refused:
                    sock.close()
                    error = refused
                    continue
                except BaseException:
                    sock.close()
                    raise
                keep_noticing(sock)
                return sock
    except (OSError, TimeoutError) as failed:
        raise _unreachable(to, failed) from failed
    raise _unreachable(to, error or OSError("no address"))


async def _tls(to: Address) -> ssl.SSLContext | None:
    """A context that trusts the system's authorities, or the pinned key and nothing else."""
    if not to.secure:
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if to.pin is None:
        return context
    certificate = await _certificate(to)
    if pin_of(certificate) != to.pin:
        raise Unauthenticated(
            "PIN_MISMATCH",
            f"{to.url} shows another key than the one pinned; nothing was sent to it",
            advice="get a fresh join string or login from the hub's operator",
        )
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.minimum_version = ssl.TLSVersion.TLSv1_3
    pinned.check_hostname = False  # the key is the identity
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pinned.load_verify_locations(cadata=certificate)
    return pinned


async def _certificate(to: Address) -> bytes:
    """What the far side shows, without trusting it with anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sock = await _socket(to)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            _, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=to.host
            )
    except (OSError, TimeoutError) as error:
        raise _unreachable(to, error) from error
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert(binary_form=True)
    writer.close()
    if certificate is None:
        raise Unauthenticated("PIN_MISMATCH", f"{to.url} shows no certificate")
    return certificate


def _unreachable(to: Address, error: BaseException) -> Unavailable:
    why = str(error) or type(error).__name__
    return Unavailable(
        "HUB_UNREACHABLE",
        f"no hub answers at {to.url}: {why}",
        advice="start one with `coordctl up`, or check COORD_URL",
    )


def _refused(refused: InvalidStatus) -> CallError:
    """The hub's answer before the upgrade, as an error. Its body is `{reason, message, advice}`."""
    status = refused.response.status_code
    said = _body(refused.response.body)
    kinds: Mapping[int, type[CallError]] = {
        400: InvalidArgument,
        401: Unauthenticated,
        403: PermissionDenied,
        409: FailedPrecondition,
        426: FailedPrecondition,
        429: ResourceExhausted,
    }
    after = refused.response.headers.get("Retry-After")
    return kinds.get(status, Unavailable)(
        said.get("reason", f"HTTP_{status}"),
        said.get("message", f"the hub answered {status}"),
        advice=said.get("advice", ""),
        retry_after_ms=int(after) * 1_000 if after is not None and after.isdigit() else None,
    )


def _body(body: bytes | bytearray | None) -> dict[str, str]:
    try:
        value = decode(bytes(body or b"{}").decode(errors="replace"))
    except BadFrame:
        return {}
    return {key: str(text) for key, text in value.items()} if isinstance(value, dict) else {}
