"""Processes that are held on to: a signal reaches the one that was looked at, never one that got its number later."""

from __future__ import annotations

import asyncio
import math
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psutil

DESCRIPTORS: Final = 200
"""Processes that are held by a descriptor at once; further ones by their start, as elsewhere than on Linux."""
POLL: Final = 0.05
"""Seconds between two looks at a process whose end gives no event."""
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


class CannotEndError(Exception):
    """A process may not be signalled by this user; the message says which."""


@dataclass(frozen=True, slots=True)
class Held:
    """A process by its identity: its number and its start; on Linux by a pidfd, which never means another one.

    `user` is the number of the user that it runs as; None where that is not known.
    """

    process: psutil.Process
    descriptor: int | None = None
    user: int | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def began(self) -> float:
        """Return when it was started, in seconds since 1970; the end of time for one that has ended."""
        import psutil  # noqa: PLC0415 - a configuration without processes stays light

        try:
            return self.process.create_time()
        except psutil.NoSuchProcess:
            return math.inf

    def parent(self) -> int | None:
        """Return the number of the process that started it; None for one that has ended."""
        import psutil  # noqa: PLC0415 - as above

        try:
            return self.process.ppid()
        except psutil.NoSuchProcess:
            return None

    def has_ended(self) -> bool:
        """Return whether it runs no more: a zombie does not, whose parent has not taken its status yet."""
        import psutil  # noqa: PLC0415 - as above

        if self.descriptor is not None:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            return bool(poll.poll(0))
        try:
            return not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def send(self, number: int) -> None:
        """Send a signal, which is nothing to one that has ended; CannotEndError where this user may not."""
        import psutil  # noqa: PLC0415 - as above

        try:
            if self.descriptor is not None and sys.platform == "linux":
                signal.pidfd_send_signal(self.descriptor, number)
            else:
                self.process.send_signal(number)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return
        except (PermissionError, psutil.AccessDenied):
            raise CannotEndError(f"the process {self.pid} may not be ended by this user") from None

    async def end(self) -> None:
        """Wait until it has ended."""
        if self.descriptor is None:
            while not self.has_ended():  # noqa: ASYNC110 - its end gives no event
                await asyncio.sleep(POLL)
            return
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.descriptor, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.descriptor)

    def release(self) -> None:
        """Let go of it."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def held(pid: int, *, by_descriptor: bool = True) -> Held | None:
    """Return a process to hold on to; None when there is none of the number.

    What is read of it afterwards is its own where it has not ended by then: its number is not given to another one
    while it is there.
    """
    import psutil  # noqa: PLC0415 - as above

    descriptor = None
    if by_descriptor and sys.platform == "linux":
        try:
            descriptor = os.pidfd_open(pid)
        except (ProcessLookupError, OverflowError):
            return None
        except OSError:
            descriptor = None  # a kernel before 5.3, or one that is not allowed to
    try:
        process = psutil.Process(pid)
        return Held(process, descriptor, process.uids().real if sys.platform != "win32" else None)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        if descriptor is not None:
            os.close(descriptor)
        return None


def released(all_: Sequence[Held]) -> None:
    """Let go of processes."""
    for one in all_:
        one.release()


async def ended(leaders: Sequence[Held], patience: float, killing: float) -> str | None:
    """End processes with their groups, and return by which signal they ended; None where they still run.

    They get SIGTERM once each and, after `patience` seconds, SIGKILL, whose effect is awaited for `killing` seconds.
    """
    everybody = list(leaders)
    try:
        everybody += _members(leaders, everybody)
        if await _by(signal.SIGTERM, everybody, patience):
            return "SIGTERM"
        # A group whose leader has ended is not looked at again: its number may be another one's by now.
        everybody += _members([one for one in leaders if not one.has_ended()], everybody)
        return "SIGKILL" if await _by(_KILL, everybody, killing) else None
    finally:
        released(everybody[len(leaders) :])


async def _by(number: int, everybody: Sequence[Held], seconds: float) -> bool:
    """Send a signal to all that run, and return whether all of them end in time."""
    for one in everybody:
        if not one.has_ended():
            one.send(number)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for one in everybody:
                await one.end()
    return all(one.has_ended() for one in everybody)


def _members(leaders: Sequence[Held], known: Sequence[Held]) -> list[Held]:
    """Hold on to the other members of the groups that these processes lead, but for those that are known."""
    found: list[Held] = []
    seen = {one.pid for one in known}
    for leader in leaders:
        for pid in _numbers(leader):
            if pid in seen or (one := held(pid, by_descriptor=len(seen) < DESCRIPTORS)) is None:
                continue
            # Looked at again now that it is held: until then its number may have been another's.
            if pid in _numbers(leader) and not leader.has_ended() and not one.has_ended():
                found.append(one)
                seen.add(pid)
            else:
                one.release()
    return found


def _numbers(leader: Held) -> set[int]:
    """Return the numbers of the group that a process leads; of all that it started where there are no groups.

    None of a process that leads no group, and none of our own group.
    """
    import psutil  # noqa: PLC0415 - as above

    if sys.platform == "win32":
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return {child.pid for child in leader.process.children(recursive=True)}
        return set()
    if leader.pid == os.getpgrp() or _group(leader.pid) != leader.pid:
        return set()
    return {pid for pid in psutil.pids() if _group(pid) == leader.pid}


def _group(pid: int) -> int | None:
    """Return the number of the group that a process is in; None where there is none."""
    if sys.platform == "win32":
        return None
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None
