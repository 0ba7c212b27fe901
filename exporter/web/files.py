"""Reading of small files that the operator names: bounded, and never a pipe or a device that would hang us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.config import files

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
        return files.read(path, LIMIT).data
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None


def signature(paths: Iterable[Path]) -> Signature:
    """Return what changes when a file is replaced, rewritten or removed."""
    return tuple(_of(path) for path in paths)


def _of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
