"""The second way to say that we are alive: a thread of its own, for when the loop is stuck.

Nobody but its event loop may touch a websocket, so the thread does not try: it asks the hub's port
for one small page, signed as a knock is, with the epoch of the link that it speaks for. It costs
nothing while the loop lives.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.aio.dial import Address, pin_of
from protocol.errors import CoordError
from protocol.limits import BEAT_PATH, EPOCH_HEADER, NONCE_PATH
from spoke.contact import Contact
from spoke.identity import Identity, sign

_log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
STUCK_BEATS: Final = 1.5  #: heartbeats that the loop may be late before the thread speaks for it
ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Spoken:
    """The link that it speaks for."""

    to: Address
    epoch: int
    every: float  #: seconds between two heartbeats


class Pulse:
    def __init__(self, identity: Identity, key: Ed25519PrivateKey, contact: Contact) -> None:
        self._identity = identity
        self._key = key
        self._contact = contact
        self._link: Spoken | None = None
        self._ticked = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The thread may be waiting for an answer; nobody waits for the thread."""
        self._over.set()

    def tick(self) -> None:
        """The loop is alive."""
        self._ticked = time.monotonic()

    def speak_for(self, link: Spoken | None) -> None:
        """The newest link; None: the loop itself saw it end."""
        self._link = link

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            link = self._link
            if link is None or time.monotonic() - self._ticked < STUCK_BEATS * link.every:
                continue
            try:
                self._beat(link)
            except (OSError, http.client.HTTPException, ValueError, CoordError) as error:
                _log.warning("the loop is stuck, and the hub was not told: %s", error)
            self._over.wait(link.every - LOOK_S)

    def _beat(self, link: Spoken) -> None:
        number = self._contact.saying()
        said = json.loads(_get(link.to, NONCE_PATH, {})[1])
        headers = {
            "Authorization": sign(self._identity, self._key, str(said["nonce"])),
            EPOCH_HEADER: str(link.epoch),
        }
        status, body = _get(link.to, BEAT_PATH, headers)
        if status == http.client.OK:
            _log.warning("the loop is stuck; the hub was told that we live")
            self._contact.confirmed(number)
        else:
            _log.warning("the loop is stuck, and the hub does not care: %d %.200r", status, body)


def _get(to: Address, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = _connection(to)
    try:
        connection.connect()
        if to.pin is not None:
            _check_pin(connection, to.pin)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(65_536)
    finally:
        connection.close()


def _connection(to: Address) -> http.client.HTTPConnection:
    if not to.secure:
        return http.client.HTTPConnection(to.host, to.port, timeout=ANSWER_S)
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if to.pin is not None:  # the key is the identity; it is compared before anything is said
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(to.host, to.port, timeout=ANSWER_S, context=context)


def _check_pin(connection: http.client.HTTPConnection, pin: str) -> None:
    sock = connection.sock
    shown = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
    if shown is None or pin_of(shown) != pin:
        raise OSError("it shows another key than the one pinned")
