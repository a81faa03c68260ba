"""Which names the page answers to. A browser that was led here under another name is refused."""

from __future__ import annotations

from collections.abc import Mapping

from hub.settings import HubSettings
from protocol.aio.dial import address

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
_DEFAULT_PORT: Mapping[str, int] = {"http": 80, "https": 443}


def allowed(settings: HubSettings, port: int) -> dict[str, str]:
    """The Host headers that are ours, each with the scheme that a browser sees there."""
    scheme = _scheme(settings)
    names = ["127.0.0.1", "localhost", "[::1]"]
    if settings.http_host not in _ANY:
        names.append(_bracketed(settings.http_host))
    ours = {text: scheme for name in names for text in _texts(name, scheme, port)}
    if settings.public_url is not None:
        public = address(settings.public_url)
        name, seen = _bracketed(public.host), "https" if public.secure else "http"
        ours |= dict.fromkeys((name, f"{name}:{public.port}", f"{name}:{port}"), seen)
    return {text.lower(): seen for text, seen in ours.items()}


def url(settings: HubSettings, port: int) -> str:
    """Where a person finds the page."""
    if settings.behind_proxy and settings.public_url is not None:
        public = address(settings.public_url)
        return f"{'https' if public.secure else 'http'}://{_bracketed(public.host)}"
    host = "127.0.0.1" if settings.http_host in _ANY else _bracketed(settings.http_host)
    return f"{_scheme(settings)}://{host}:{port}"


def _scheme(settings: HubSettings) -> str:
    return "http" if settings.tls_cert is None else "https"


def _texts(name: str, scheme: str, port: int) -> list[str]:
    """A browser leaves out the port that goes without saying."""
    whole = f"{name}:{port}"
    return [name, whole] if port == _DEFAULT_PORT[scheme] else [whole]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
