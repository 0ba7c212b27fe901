"""Starting the program so that it outlives Watchbridge; what it needs for that is looked at before anything ends."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from exporter import processes, programs
from exporter.restarts.process.options import ROOT, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.restarts.process.options import Options

LOG_MODE: Final = 0o640


class CannotStartError(Exception):
    """The program could not be started now; the message says why."""


class NeverStartsError(Exception):
    """The process cannot be restarted as it is configured; the message says what to write."""


@contextmanager
def ready(options: Options) -> Iterator[Callable[[], int]]:
    """Give what starts the program and returns the number of its process.

    CannotStartError or NeverStartsError when it could not; ProcessNotStartedError when it then does not all the same.
    """
    if sentence := programs.problem(options.argv[0]):
        raise CannotStartError(f"the program cannot be started: {sentence}")
    if not options.directory.is_dir():
        raise CannotStartError(f"there is no folder {str(options.directory)!r} to start the program in")
    user = _other_user(options)
    output = None if options.log is None else _opened(options.log)
    try:
        yield lambda: processes.start_detached(
            options.argv,
            output=output,
            environment=dict(options.environment),
            directory=options.directory,
            user=user,
        )
    finally:
        if output is not None:
            os.close(output)


def _other_user(options: Options) -> str | None:
    """Return the user to change to; None where that is us already."""
    if options.user is None:
        return None
    if sys.platform == "win32":
        raise NeverStartsError("Windows starts no program as another user: leave `user` out")
    try:
        number = number_of(options.user)
    except LookupError:
        raise NeverStartsError(f"there is no user {options.user!r} on this host: correct `user`") from None
    if number == os.geteuid():
        return None
    if os.geteuid() != ROOT:
        raise NeverStartsError(f"only root can start a program as {options.user!r}: leave `user` out")
    return options.user


def _opened(path: Path) -> int:
    """Return a descriptor that appends to a regular file of that very name: no link of either kind, no pipe."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags, LOG_MODE)
    except OSError as error:
        raise CannotStartError(f"the log {str(path)!r} cannot be written: {error.strerror or error}") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise CannotStartError(f"the log {str(path)!r} is no regular file with one name: name another")
