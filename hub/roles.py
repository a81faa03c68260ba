"""The file with the roles of a hub."""

from __future__ import annotations

from pathlib import Path

from hub.core import roles
from protocol.errors import InvalidArgument


def read(file: Path | None) -> roles.Roles:
    """Without a file, the built-in ones. Raises InvalidArgument (BAD_ROLES)."""
    if file is None:
        return roles.BUILT_IN
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            "BAD_ROLES", f"{file} cannot be read: {error}", details={"file": str(file)}
        ) from error
    return roles.read(text, str(file))
