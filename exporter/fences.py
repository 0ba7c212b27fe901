"""The fence of a service on this host: who restarts it here holds it alone, and nobody with an older number gets it.

The numbers are those of the store's leases: a process that was stopped while it held one, and goes on after another
has taken over, is refused here. That they do not act at once is what the lock is for, also between installations with
stores of their own. Both hold among processes that share the folder: of one user, or of one unit of systemd.

The file of a service is never removed: two processes could lock two files then. Where something else removes it, or
the folder ends with a boot, the numbers begin anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from exporter.errors import WatchbridgeError
from exporter.store.directory import try_lock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

STORES: Final = 64
"""Stores of which the file of a service keeps the number: the latest that were used."""

_POSIX: Final = os.name == "posix"
_AGAIN_SECONDS: Final = 0.05
_TRIES: Final = 20
_LARGEST: Final = 16 * 1024
_LONGEST_NAME: Final = 200
_ELSEWHERE: Final = ", or let RUNTIME_DIRECTORY name a folder of its own"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# Without O_NONBLOCK the opening of a pipe would hang.
_FILE: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class FenceError(WatchbridgeError):
    """The fence of the service {service!r} on this host cannot be used: {reason}."""

    exit_code: ClassVar[int] = 3


class FenceBusyError(FenceError):
    """The service {service!r} is being restarted on this host by another process{holder}: wait until that has ended."""


class StaleFenceError(FenceError):
    """Another took the service {service!r} over ({highest} came after {fence}); if the store is new, remove {where}."""

    exit_code: ClassVar[int] = 1


@contextlib.asynccontextmanager
async def held(
    service: str, fence: int, *, store: str, seconds: float, folder: Path | None = None
) -> AsyncIterator[bool]:
    """Hold the fence of a service for the block; gives whether there is one: False on Windows, where nothing is held.

    `store` is what makes numbers comparable: only one who names the same one is refused for an older number than the
    highest seen. Waits up to `seconds` for another holder: then FenceBusyError. StaleFenceError: a newer number was
    here. FenceError: folder or file cannot be trusted or used. What is held is not inherited by programs, and is free
    when this process is gone.
    """
    if not _POSIX:
        yield False
        return
    where = (folder or _folder_here(service)) / _name(service)
    with _opened(service, where.parent) as directory:
        descriptor = await _locked(service, directory, where, seconds)
        try:
            _noted(service, descriptor, store, fence, where)
            yield True
        finally:
            _released(descriptor)


def _folder_here(service: str) -> Path:
    try:
        return folder_of(os.environ, os.geteuid())
    except OSError as error:  # there is no folder for temporary files
        raise FenceError(service=service, reason=f"its folder {_said(error)}{_ELSEWHERE}") from error


def _name(service: str) -> str:
    return sha256(service.encode(errors="surrogatepass")).hexdigest()[:32] + ".fence"


def folder_of(environ: Mapping[str, str], user: int) -> Path:
    """Return the folder of a user's fences: in that of systemd's unit, else in the one for what is running.

    What the environment names is taken only where it is a folder: `su` leaves that of another user there.
    """
    unit = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if unit.startswith("/"):
        return Path(os.path.realpath(unit)) / "fences"
    session = environ.get("XDG_RUNTIME_DIR", "")
    if user == 0 and _is_folder_of("/run", user):
        base = Path("/run/watchbridge")
    elif user != 0 and session.startswith("/") and _is_folder_of(session, user):
        base = Path(session) / "watchbridge"
    else:
        base = Path(tempfile.gettempdir()) / f"watchbridge-{user}"
    return base / "fences"


def _is_folder_of(path: str, user: int) -> bool:
    try:
        found = Path(path).stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user


@contextlib.contextmanager
def _opened(service: str, folder: Path) -> Iterator[int]:
    """Give the open folder, which is our user's alone."""
    with contextlib.ExitStack() as ends:
        try:
            parent = _folder(folder.parent, None, ends, _OTHERS_WRITE, {0, os.geteuid()})
            directory = _folder(Path(folder.name), parent, ends, _OTHERS, {os.geteuid()})
        except OSError as error:
            raise FenceError(service=service, reason=f"its folder {folder} {_said(error)}{_ELSEWHERE}") from error
        yield directory


def _folder(path: Path, parent: int | None, ends: contextlib.ExitStack, forbidden: int, owners: set[int]) -> int:
    """Open a folder, made with 0700 where there is none; OSError where another may change what is in it.

    What was opened is judged, and files are opened in it: nobody can put another in its place in between.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=parent)
    descriptor = os.open(path, _FOLDER, dir_fd=parent)
    ends.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    if found.st_uid not in owners:
        raise OSError(0, f"belongs to another user (uid {found.st_uid}): run as that one, or remove {path.name}")
    if found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise OSError(0, f"is open to others (mode {mode:04o} of {path.name}): run chmod 0700 on it")
    return descriptor


async def _locked(service: str, directory: int, where: Path, seconds: float) -> int:
    """Return the open file, locked; FenceBusyError where another has it for longer than `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    for _ in range(_TRIES):
        try:
            descriptor = _file(directory, where.name)
        except OSError as error:
            raise FenceError(service=service, reason=f"its file {where} {_said(error)}") from error
        try:
            await _lock(service, descriptor, deadline)
            if _is_still(descriptor, directory, where.name):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # A cleaner of old files removed it while we waited: what others lock is another.
        os.close(descriptor)
    raise FenceError(service=service, reason=f"its file {where} is removed again and again: find out by whom")


async def _lock(service: str, descriptor: int, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    while not try_lock(descriptor):
        if loop.time() >= deadline:
            raise FenceBusyError(service=service, holder=_holder(descriptor))
        await asyncio.sleep(min(_AGAIN_SECONDS, max(0.0, deadline - loop.time())))


def _file(directory: int, name: str) -> int:
    """Open our own regular file only: a planted link would have us write into its target."""
    descriptor = os.open(name, _FILE, 0o600, dir_fd=directory)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and found.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise OSError(0, "is a link, no regular file, or another user's: remove it")


def _is_still(descriptor: int, directory: int, name: str) -> bool:
    ours = os.fstat(descriptor)
    try:
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


def _noted(service: str, descriptor: int, store: str, fence: int, where: Path) -> None:
    """Write the number down; StaleFenceError where a higher one of the store was here."""
    key = sha256(store.encode(errors="surrogatepass")).hexdigest()[:32]  # a URL may hold a password
    try:
        numbers = _numbers(descriptor)
        highest = numbers.pop(key, fence)
        if fence < highest:
            raise StaleFenceError(service=service, fence=fence, highest=highest, where=where)
        latest = dict([*numbers.items(), (key, fence)][-STORES:])
        content = {"service": service[:_LONGEST_NAME], "process": os.getpid(), "numbers": latest}
        _write(descriptor, json.dumps(content).encode() + b"\n")
    except OSError as error:
        raise FenceError(service=service, reason=f"its file {where} {_said(error)}") from error


def _write(descriptor: int, line: bytes) -> None:
    """Write the one line that counts: until the rest is cut off, what follows its end is left out by who reads."""
    if os.pwrite(descriptor, line, 0) != len(line):
        raise OSError(0, "could not be written to its end: make room")
    os.ftruncate(descriptor, len(line))


def _numbers(descriptor: int) -> dict[str, int]:
    """Return the numbers by store, the latest used at last; OSError where the file holds something else."""
    found = _content(descriptor)
    numbers = {} if found is None else found.get("numbers")
    if not isinstance(numbers, dict) or not all(type(one) is int for one in numbers.values()):
        raise OSError(0, "holds something else than numbers: remove it while nothing is being restarted")
    return numbers


def _content(descriptor: int) -> dict[str, Any] | None:
    """Return what the file says; None for an empty one, as one also is that was not written before the power went."""
    line = os.pread(descriptor, _LARGEST, 0).partition(b"\n")[0].strip(b"\0")
    if not line:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _holder(descriptor: int) -> str:
    """Return which process has the lock, as far as it has said so."""
    number = (_content(descriptor) or {}).get("process")
    return f" (process {number})" if type(number) is int else ""


def _released(descriptor: int) -> None:
    """Give the fence back: a child that was forked, and has not become a program yet, must not keep it."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _said(error: OSError) -> str:
    """Say what went wrong in words that follow a name."""
    if not error.errno:
        return error.strerror or str(error)
    return (
        f"cannot be opened or written ({(error.strerror or str(error)).lower()}): remove it, or check rights and room"
    )
