"""Standard output and error as they may be: closed from the start, on a full disk, or a pipe that nobody reads."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_WRITING: Final = frozenset({errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""What a write to an open stream fails with; other calls that fail so name a file."""


def open_closed() -> None:
    """Put something in the place of streams that were closed (`>&-`), so that no file of ours gets their number.

    Reports to a closed standard output fail when they are written; what is told to a closed standard error is lost.
    """
    if sys.stdin is None:
        sys.stdin = open(_nowhere(os.O_RDONLY), encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as we
    if sys.stdout is None:
        sys.stdout = open(_nowhere(os.O_RDONLY), "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(_nowhere(os.O_WRONLY), "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def settle() -> None:
    """Drop what could not be written: the interpreter would try again at its end, and say so with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = _nowhere(os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def about_output(error: OSError) -> bool:
    """Return whether this is a failure to write standard output or error."""
    return error.filename is None and error.errno in _WRITING


def _nowhere(flags: int) -> int:
    return os.open(os.devnull, flags)
