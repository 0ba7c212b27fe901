"""Reading of small files that the operator names: bounded, and never a pipe or a device that would hang us."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LIMIT = 1024 * 1024
"""Bytes: no certificate bundle or web configuration comes near."""

Signature = tuple[tuple[int, int, int] | None, ...]
"""For each file its inode, size and time of change (ns): equal as long as nothing was replaced or written."""


def read_bounded(path: Path) -> bytes:
    """Return the content of a regular file (symlinks are followed); ValueError says what is wrong with it."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer before anything can be checked.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise ValueError(f"{path} is larger than {LIMIT} bytes")
    return content


def signature(paths: Iterable[Path]) -> Signature:
    """Return what changes when a file is replaced, rewritten or removed."""
    return tuple(_of(path) for path in paths)


def _of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
