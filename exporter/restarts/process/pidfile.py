"""A file in which a program has written the number of its process: read with bounds, and believed in nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SIZE: Final = 64
"""Bytes: a number and a line end need a dozen."""
TOLERANCE: Final = 2.0
"""Seconds by which a process may seem younger than its file: when the system started is known to the second."""
_NUMBERS: Final = 1 << 31


class PidFileError(Exception):
    """The file names no process, though it is there: nobody can say what runs. The message says why."""


def read(path: Path) -> tuple[int, float] | None:
    """Return the number and when it was written (seconds since 1970); None where the file is missing or empty.

    A symbolic link is followed, as /var/run is one; what is no regular file (a pipe, a device) is not read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PidFileError(f"the pid file {str(path)!r} cannot be read: {reason}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PidFileError(f"the pid file {str(path)!r} is no regular file: name the one that the program writes")
        data = os.read(descriptor, SIZE + 1)
    except OSError as error:
        raise PidFileError(f"the pid file {str(path)!r} cannot be read: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    return _number(path, data, status.st_mtime)


def _number(path: Path, data: bytes, written: float) -> tuple[int, float] | None:
    if len(data) <= SIZE and not data.strip():
        return None
    text = data.strip()
    if len(data) > SIZE or not text.isdigit() or not 0 < int(text) < _NUMBERS:
        raise PidFileError(
            f"the pid file {str(path)!r} does not hold the number of a process and nothing else: remove it where it is "
            "spoilt, or name the one that the program writes"
        )
    return int(text), written
