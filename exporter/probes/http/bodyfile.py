"""The file whose content a request carries."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LIMIT: Final = 1024 * 1024
"""Bytes of the largest body that is sent."""


def read(path: Path) -> bytes:
    """Return the content of a file; ValueError says why it cannot be sent."""
    try:
        # Opening a pipe would wait for its other end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"the body_file {path.name} is no regular file: name one")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise ValueError(f"the body_file {path.name} cannot be read ({told}): check its path and its rights") from None
    if len(content) > LIMIT:
        raise ValueError(f"the body_file {path.name} is larger than {LIMIT} bytes: send a smaller one")
    return content
