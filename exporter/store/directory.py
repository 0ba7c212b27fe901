"""The data directory of an SQLite store: who may look into it, and which process it belongs to."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import sys
import time
from typing import TYPE_CHECKING, Self

from exporter.errors import DataDirectoryError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "watchbridge.lock"
LOCK_SECONDS = 1.0
"""How long to ask for the lock: another command may hold it for the moment of a check."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
_POSIX = os.name == "posix"
_PID_BYTES = 32
_LOCKED_BYTE = 1 << 30  # Windows forbids others to read locked bytes, so the lock lies far behind the number


def prepare(database: Path) -> str | None:
    """Make the folder and the file of an SQLite store, for our user alone; return a warning or None.

    DataDirectoryError says why a folder or a file that is already there cannot be trusted.
    """
    folder = database.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        warning = _guard_folder(folder, database) if _POSIX else None
        _make_file(database)
    except OSError as error:
        raise DataDirectoryError(where=folder, reason=_said(error)) from error
    _switch_to_wal(database)
    return warning


def identity(path: Path) -> tuple[int, int]:
    """Return what tells this file from another of the same name; OSError when it is gone."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _guard_folder(folder: Path, database: Path) -> str | None:
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & (_OTHERS_WRITE | _OTHERS_READ) and _is_ours(folder, database, found):
        folder.chmod(0o700)
        return None
    if mode & _OTHERS_WRITE:
        reason = f"others can write into it (mode {mode:04o}); name a folder of its own, which is then made with 0700"
        raise DataDirectoryError(where=folder, reason=reason)
    if mode & _OTHERS_READ:
        return f"the data directory {folder} can be read by others (mode {mode:04o}): run chmod 0700 {folder}"
    return None


def _is_ours(folder: Path, database: Path, found: os.stat_result) -> bool:
    """Tell whether the folder serves the store alone; a top-level or sticky one (/mnt, /tmp) serves everybody."""
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX or len(folder.resolve().parts) <= 2:  # noqa: PLR2004
        return False
    ours = {LOCK_NAME, *(database.name + end for end in ("", "-wal", "-shm", "-journal"))}
    return all(entry.name in ours for entry in folder.iterdir())


def _make_file(database: Path) -> None:
    """Make the empty file with 0600, so that it never has another mode; SQLite's other files inherit it."""
    try:
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # Not opened: closing any descriptor of the file would drop the locks SQLite holds in this process
        # (https://sqlite.org/howtocorrupt.html, 2.2).
        found = database.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            reason = f"{database.name} in it is a link or no regular file; remove it, or name another"
            raise DataDirectoryError(where=database.parent, reason=reason) from None
        if _POSIX and stat.S_IMODE(found.st_mode) & (_OTHERS_WRITE | _OTHERS_READ):
            database.chmod(0o600)


def _switch_to_wal(database: Path) -> None:
    """Put the file into WAL mode, which stays with it; two processes that do so at once must take turns."""
    deadline = time.monotonic() + LOCK_SECONDS * 5
    while True:
        try:
            with contextlib.closing(
                sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise StoreError(where=database, reason=f"SQLite says {error}") from error
            time.sleep(0.05)
        else:
            return


class DirectoryLock:
    """The data directory is this process's until `release`, or until the process is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path, *, seconds: float = LOCK_SECONDS) -> Self:
        """Take the lock within `seconds`; StoreBusyError names the process that has it."""
        try:
            descriptor = _open_lock(folder / LOCK_NAME)
        except OSError as error:
            reason = f"{LOCK_NAME} in it cannot be opened: {_said(error)}; remove it"
            raise DataDirectoryError(where=folder, reason=reason) from error
        deadline = time.monotonic() + seconds
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, _PID_BYTES, 0) if _POSIX else b""
                os.close(descriptor)
                number = holder.decode("ascii", "replace").strip()
                raise StoreBusyError(where=folder, holder=f" (process {number})" if number.isdigit() else "")
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(descriptor)

    @property
    def held(self) -> bool:
        """Whether the lock is still ours."""
        return self._descriptor is not None

    def release(self) -> None:
        """Give the directory back. The file stays: removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _open_lock(path: Path) -> int:
    """Open our own regular file only: a planted link would have us write into its target, a pipe would hang."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(0, "it is a link or no regular file")
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone, without waiting; return whether nobody else has it."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl  # noqa: PLC0415

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
