"""What every answer carries, and errors as answers: JSON for programs, a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from hub.web.pages import Pages
from protocol.errors import CallError, Unauthenticated

JSON: Final = "application/json"

#: The server itself writes these, so that no answer can lack them, not even to a broken request.
HEADERS: Final = [
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]

_BY_REASON: Final = {
    "WRONG_HOST": 421,
    "BAD_METHOD": 405,
    "TOO_LARGE": 413,
    "TOO_SLOW": 408,
    "NOT_JSON": 415,
    "BAD_VALUE": 422,
}
_BY_CODE: Final = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}


def refusal(
    pages: Pages, request: Request, error: CallError, more: Mapping[str, str] | None = None
) -> Response:
    """An error as an answer."""
    status = _BY_REASON.get(error.reason) or _BY_CODE.get(error.code, 500)
    headers = dict(more or {})
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_ms is not None:
        headers["Retry-After"] = f"{-(-error.retry_after_ms // 1_000)}"
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.refused(status, error), status, headers)
    said = {"reason": error.reason, "message": error.message, "advice": error.advice}
    return JSONResponse(said, status, headers)
