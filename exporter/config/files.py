"""Small regular files: read whole, bounded, without ever waiting for a pipe or reading a device."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

# Opening a pipe without O_NONBLOCK waits for its writer for ever; Windows knows neither word.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Content(NamedTuple):
    """The bytes of a file, and whether others may read it (always False on Windows)."""

    data: bytes
    others_read: bool


def read(path: Path, limit: int) -> Content:
    """Return a regular file of at most `limit` bytes, through symbolic links; ValueError says why it cannot."""
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise ValueError(_reason(error)) from error
    try:
        status = os.fstat(descriptor)
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"is {_kind(mode)}, not a regular file: name a file")
        data = _bytes(descriptor, limit + 1)
    except OSError as error:
        raise ValueError(_reason(error)) from error
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise ValueError(f"is larger than {limit // 1024} KiB: make it smaller or name another file")
    return Content(data, os.name == "posix" and _others_read(status))


def _others_read(status: os.stat_result) -> bool:
    """Say whether more than this process was let in.

    A file of another owner that only our group may read is how Kubernetes and Docker hand secrets to a user that is
    not root: the group is there for us.
    """
    ours = status.st_uid == os.geteuid()
    return bool(status.st_mode & (stat.S_IROTH | (stat.S_IRGRP if ours else 0)))


def _bytes(descriptor: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := os.read(descriptor, count - len(data))):
        data += piece
    return bytes(data)


def text(data: bytes) -> str:
    """Return UTF-8 as text, without a byte order mark; ValueError names the line of the first bad byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 (byte 0x{data[error.start]:02x} on line {line}): save it as UTF-8") from error


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist: check the path"
    if isinstance(error, PermissionError):
        return "may not be read by this user: change its owner or its mode"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return "is no path that this system can open: check it"


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
