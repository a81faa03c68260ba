"""Websocket frames by the handful: whole text frames read and written without a generator each.

Only what nearly all traffic is made of: unfragmented text of up to 64 KiB, masked as it should be.
All else (parts, pings, closes, floods, what breaks a rule) is left to `websockets`, which knows
what to answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # it was built where there is no compiler
    from websockets.utils import apply_mask

_TEXT: Final = 0x81  # FIN and the opcode of text; no reserved bits
_MASKED: Final = 0x80
_TWO_BYTES: Final = 126  # the length is in the next two bytes
_EIGHT_BYTES: Final = 127
_SHORT: Final = 1 << 16


def opened(data: bytes, *, masked: bool) -> tuple[list[bytes], bytes, bool]:
    """The texts that ``data`` begins with, and the rest of it.

    Whether the rest is the beginning of one more such text; otherwise it is for others to read.
    """
    texts: list[bytes] = []
    at, end, flag = 0, len(data), _MASKED if masked else 0
    while end - at >= 2:
        size = data[at + 1] - flag
        if data[at] != _TEXT or not 0 <= size <= _TWO_BYTES:
            return texts, data[at:], False
        begin = at + 2
        if size == _TWO_BYTES:
            size = int.from_bytes(data[begin : begin + 2], "big")
            begin += 2
        if masked:
            begin += 4
        if begin + size > end:
            return texts, data[at:], True
        text = data[begin : begin + size]
        if masked:
            text = apply_mask(text, data[begin - 4 : begin])
        if not text.isascii() and not _is_utf8(text):
            return texts, data[at:], False
        texts.append(text)
        at = begin + size
    return texts, data[at:], data[at:] == b"\x81"


def sealed(texts: Sequence[bytes], *, masked: bool) -> bytes:
    """The frames of these texts."""
    pieces: list[bytes] = []
    flag = _MASKED if masked else 0
    masks = os.urandom(4 * len(texts)) if masked else b""
    for n, text in enumerate(texts):
        size = len(text)
        if size < _TWO_BYTES:
            pieces.append(bytes((_TEXT, flag | size)))
        elif size < _SHORT:
            pieces.append(bytes((_TEXT, flag | _TWO_BYTES, size >> 8, size & 255)))
        else:
            pieces.append(bytes((_TEXT, flag | _EIGHT_BYTES)) + size.to_bytes(8, "big"))
        if masked:
            mask = masks[4 * n : 4 * n + 4]
            pieces += (mask, apply_mask(text, mask))
        else:
            pieces.append(text)
    return b"".join(pieces)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
