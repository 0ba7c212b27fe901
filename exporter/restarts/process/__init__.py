"""A process of this host that nothing else looks after: ended, and started again so that it outlives Watchbridge."""

from __future__ import annotations

import asyncio
import shlex
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from exporter.errors import ProcessNotStartedError
from exporter.model import Done, GiveUp, Outcome, Plan, Reading, Retry
from exporter.restarts.process import finding
from exporter.restarts.process.ending import CannotEndError, ended, held, released
from exporter.restarts.process.finding import CannotLookError, Found
from exporter.restarts.process.options import Options
from exporter.restarts.process.starting import CannotStartError, NeverStartsError, ready

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import Item, RestartParts
    from exporter.restarts.process.ending import Held

__all__ = ["ON_HOST", "VERIFIES", "Options", "plan", "restart", "verify"]

ON_HOST: Final = True
VERIFIES: Final = True

THREADS: Final = 2
"""Looks at the process list that run at once: reading the command line of a process in trouble can hang."""
MOST: Final = 100
"""Processes that one restart may end, without what they have started: more are hardly those of one service."""
TOLD: Final = 10
"""Numbers of processes that a sentence tells."""
KILLED_WITHIN: Final = 3.0
"""Seconds that the end of a killed process is awaited: one in uninterruptible sleep cannot be killed yet."""


def plan(options: Options) -> Plan:
    """Return what is ended, and the argument list that is started."""
    details = {
        "ends": options.meant,
        "stop_timeout": options.stop_timeout,
        "argv": list(options.argv),
        "directory": options.directory.as_posix(),
        "log": None if options.log is None else options.log.as_posix(),
        "user": options.user,
    }
    return Plan(f"end the {options.meant}, then start: {shlex.join(options.argv)}", details)


async def restart(options: Options, item: Item, parts: RestartParts, timeout: float) -> Outcome:
    """End what runs, which is nothing else than what the options name, and start the program.

    What could not be started is not ended either, and nothing is started beside a process that does not end.
    """
    del item
    until = parts.clock.monotonic() + timeout
    try:
        with ready(options) as start:
            async with asyncio.timeout(timeout):
                found = _with_ours(options, await _looked(options))
                try:
                    how = await _ended(options, found, until - parts.clock.monotonic())
                finally:
                    released(found.processes)
            return Done(f"{how}; started as the process {_noted(options, start())}")
    except TimeoutError:
        return Retry(f"did not end within {timeout:g} s: nothing was started")
    except NeverStartsError as error:
        return GiveUp(str(error))
    except (CannotLookError, CannotEndError, CannotStartError, ProcessNotStartedError) as error:
        return Retry(str(error))


def _with_ours(options: Options, found: Found) -> Found:
    """Add the process that we started ourselves the last time, where its pid file does not say that it runs.

    A program that does not write that file would be started once more by each attempt.
    """
    pid, began = _started.get(_key(options), (0, 0.0))
    if options.pid_file is None or not pid or pid in {one.pid for one in found.processes}:
        return found
    if (one := held(pid)) is None:
        return found
    if one.has_ended() or one.began() != began:
        one.release()
        return found
    return Found((*found.processes, one), found.absent)


def _noted(options: Options, pid: int) -> int:
    """Remember what was started, for as long as this process lives; return its number."""
    if (one := held(pid)) is not None:
        _started[_key(options)] = pid, one.began()
        one.release()
    return pid


def _key(options: Options) -> tuple[str, ...]:
    return (str(options.pid_file), *options.argv)


_started: Final[dict[tuple[str, ...], tuple[int, float]]] = {}
"""By pid file and argument list: the number and the start of the process that was started last."""


async def _ended(options: Options, found: Found, left: float) -> str:
    """End them within the seconds that are left and return how; CannotLookError where not all of them ended."""
    if not found.processes:
        return found.absent
    numbers = _numbers(found.processes)
    if len(found.processes) > MOST:
        raise NeverStartsError(
            f"{len(found.processes)} processes fit, more than one service has: write a longer `match`"
        )
    if other := options.foreign(_users(found.processes)):
        raise NeverStartsError(other)
    patience = min(options.stop_timeout, max(left - KILLED_WITHIN, left / 2))
    how = await ended(found.processes, patience, KILLED_WITHIN)
    if how is None:
        raise CannotLookError(f"the process {numbers} does not end, not even by SIGKILL: nothing was started beside it")
    return f"ended the process {numbers} by {how}"


def _numbers(processes: Sequence[Held]) -> str:
    told = ", ".join(str(one.pid) for one in processes[:TOLD])
    return told if len(processes) <= TOLD else f"{told} and {len(processes) - TOLD} more"


def _users(processes: Sequence[Held]) -> set[int | None]:
    """Return whose the processes are that none of the others started: those may have given rights away."""
    numbers = {one.pid for one in processes}
    return {one.user for one in processes if one.parent() not in numbers}


async def verify(options: Options, parts: RestartParts, timeout: float) -> Reading:
    """Look once whether such a process runs."""
    began = parts.clock.monotonic()
    try:
        async with asyncio.timeout(timeout):
            found = await _looked(options)
    except TimeoutError:
        reason = f"the processes of this host could not be read within {timeout:g} s"
        return Reading("unknown", reason, parts.clock.monotonic() - began, "system")
    except CannotLookError as error:
        return Reading("unknown", str(error), parts.clock.monotonic() - began, "system")
    duration = parts.clock.monotonic() - began
    released(found.processes)
    if not found.processes:
        return Reading("down", found.absent, duration, "absent")
    return Reading("up", f"the process {_numbers(found.processes)} runs", duration)


async def _looked(options: Options) -> Found:
    """Look in a thread: the files of the kernel can make their reader wait."""
    looking = asyncio.wrap_future(_threads().submit(finding.found, options))
    try:
        return await asyncio.shield(looking)
    except asyncio.CancelledError:
        looking.add_done_callback(_dropped)
        raise


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "restarts")


def _dropped(looking: asyncio.Future[Any]) -> None:
    """Let go of what a look found that nobody waits for any more."""
    if not looking.cancelled() and looking.exception() is None:
        released(looking.result().processes)
