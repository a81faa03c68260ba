"""The numbers of the wire. All are announced in the answer to `initialize`."""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 2
OLDEST_VERSION: Final = 1  #: still spoken: without resume, modes of an abort, and keys
SUBPROTOCOL: Final = "coord.v1"
RPC_PATH: Final = "/v1/rpc"
NONCE_PATH: Final = "/v1/nonce"
BEAT_PATH: Final = "/v1/beat"  #: a spoke whose loop is stuck says that it lives
EPOCH_HEADER: Final = "Coord-Epoch"  #: of the link that it says so for

MAX_FRAME_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_KEYS_PER_OBJECT: Final = 1_024
MAX_KEYS_PER_FRAME: Final = 40_000  #: an answer about 1,000 sessions has 27,000
MAX_METHOD_CHARS: Final = 128
MAX_ID_CHARS: Final = 128
MAX_KEY_CHARS: Final = 200  #: of an idempotency key
MAX_IN_FLIGHT: Final = 256  #: calls that one link may have asked for and not yet got answered
MAX_INTEGER: Final = (1 << 53) - 1  #: beyond it, JSON readers in other languages round

MAX_MILLISECONDS: Final = (
    10 * 365 * 86_400_000
)  #: ten years; no clock holds all that an integer can
MAX_ATTEMPT: Final = (1 << 31) - 1  #: of one session

INITIALIZE_SECONDS: Final = 10.0  #: the first frame must arrive within
PING_SECONDS: Final = 20.0
PING_TIMEOUT_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 5.0
#: A peer that takes no data is given up after this long (PROTOCOL trap 2: pings do not notice it).
STALLED_SECONDS: Final = 30.0
#: More than this is written at once, less when the loop has had its turn (so uvloop does it).
WRITE_BYTES: Final = 1 << 12
STREAM_HIGH_WATER_BYTES: Final = 1 << 20  #: a stream waits while this much is queued on its link

#: A connection is kept without a wire for this long,
GRACE_SECONDS: Final = 30.0
#: and while no more than this is kept of what its far side may not have heard.
MAX_KEPT_BYTES: Final = 64 << 20
ACK_FRAMES: Final = 32  #: what was heard is acknowledged at the latest after so many frames,
ACK_BYTES: Final = (
    1 << 16
)  #: or so many bytes; it must stay well below what a stream may have queued

HEARTBEAT_SECONDS: Final = 10.0
LEASE_SECONDS: Final = 45.0

CLOSE_GOING_AWAY: Final = 1001
CLOSE_BAD_DATA: Final = 1003
CLOSE_TOO_BIG: Final = 1009
CLOSE_RESTART: Final = 1012
CLOSE_VIOLATION: Final = 4400
CLOSE_UNAUTHENTICATED: Final = 4401
CLOSE_FORBIDDEN: Final = 4403
CLOSE_SLOW: Final = 4408
CLOSE_SUPERSEDED: Final = 4409
CLOSE_VERSION: Final = 4426
CLOSE_FLOOD: Final = 4429
