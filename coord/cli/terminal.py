"""Text that others wrote, made safe for a terminal: what could steer it is shown instead.

Character by character, so that a sequence cut in two by a chunk is as harmless as a whole one.
"""

from __future__ import annotations

import re
from typing import Final

#: C0, DEL and C1; direction marks, overrides and isolates; invisible and line separators;
#: tag characters; halves of surrogate pairs.
_STEERING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_DEL: Final = 0x7F


def lines(text: str) -> str:
    """Safe text; newlines and tabs stay what they are."""
    return _STEERING.sub(lambda found: found[0] if found[0] in "\n\t" else _shown(found[0]), text)


def cell(text: str) -> str:
    """Safe text on one line."""
    return _STEERING.sub(lambda found: _shown(found[0]), text)


def json_text(text: str) -> str:
    """JSON that is safe on a terminal and still the same JSON: such characters are in strings."""
    return _STEERING.sub(lambda found: found[0] if found[0] in "\n\t" else _escaped(found[0]), text)


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == _DEL else f"<U+{code:04X}>"


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
