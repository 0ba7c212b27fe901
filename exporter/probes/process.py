"""Processes of this host: how many there are of a name, a command line or a pid file, what they use, since when."""

from __future__ import annotations

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from exporter import patterns
from exporter.config.options import option
from exporter.model import Family, Reading, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import psutil

    from exporter.model import ProbeParts

THREADS: Final = 2
"""Looks at the process list that run at once: reading the command line of a process in trouble can hang."""
PID_FILE_SIZE: Final = 64
"""Bytes of a pid file: a number and a line end need a dozen."""
TOLERANCE: Final = 5.0
"""Seconds by which a process may seem younger than its pid file: start times are kept in ticks since the boot."""
SLOW_AFTER: Final = None

COUNT: Final = Family("probe_processes", "gauge", "Number of processes found")
MEMORY: Final = Family(
    "probe_process_resident_memory_bytes", "gauge", "Resident memory of the processes found, together"
)
START: Final = Family(
    "probe_process_start_timestamp_seconds", "gauge", "When the oldest of the processes found was started"
)
FAMILIES: Final = (COUNT, MEMORY, START)

_KEPT_OF_NAME: Final = 15
"""Characters that Linux keeps of a name (TASK_COMM_LEN without its NUL)."""
_WAYS: Final = ("name", "match", "pid_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Processes of this host: up when there are as many as wanted. One of `name`, `match` and `pid_file` names them."""

    name: str | None = option(None, help="The name of the program, as ps shows it.", example="nginx", minimum=1)
    match: str | None = option(
        None, help="A regular expression (RE2) that is found in the command line.", example="gunicorn .*shop"
    )
    pid_file: Path | None = option(None, help="A file that holds the number of the process.", example="/run/nginx.pid")
    user: str | None = option(None, help="Only processes of this user.", example="www-data")
    min_count: int = option(1, help="Down when there are fewer.", minimum=0, maximum=1_000_000)
    max_count: int | None = option(None, help="Down when there are more.", minimum=0, maximum=1_000_000)

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what no process can be found by."""
        del configuration
        given = [key for key in _WAYS if getattr(self, key) is not None]
        if len(given) != 1:
            yield (given[1],) if given else (), f"found {len(given)} of name, match and pid_file: give exactly one"
        if self.match is not None and (sentence := patterns.problem(self.match)):
            yield ("match",), sentence
        if self.max_count is not None and self.max_count < self.min_count:
            yield ("max_count",), "is less than min_count: no number of processes can be right"
        if self.pid_file is not None and self.min_count > 1:
            yield ("min_count",), "a pid file names one process: leave min_count out"


@dataclass(frozen=True, slots=True)
class Found:
    """The processes found: how many, the bytes of their resident memory, the start of the oldest since 1970."""

    count: int
    memory: int = 0
    start: float | None = None


class _CannotLookError(Exception):
    """The system does not let us see; its message says what."""


def target(options: Options) -> str:
    """Return how the processes are found."""
    if options.pid_file is not None:
        return f"process of {options.pid_file}"
    return f"process {options.name}" if options.name is not None else f"processes matching {options.match}"


def aimed(options: Options, target: str) -> NoReturn:
    """Refuse: which processes a host has is nobody's business outside."""
    del options, target
    raise ValueError("a process probe takes no target: name a service that is configured with it instead")


def samples(reading: Reading) -> Samples:
    """Return what was found; 0 processes where there are none, and no start."""
    if reading.facts is None:
        return {}
    found: Found = reading.facts
    shown: Samples = {COUNT: {(): float(found.count)}, MEMORY: {(): float(found.memory)}}
    return shown if found.start is None else {**shown, START: {(): found.start}}


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Look at the processes once, in a thread: the files of the kernel can make their reader wait."""
    began = parts.clock.monotonic()
    parts.explain(f"look for the {target(options)}")
    looking = asyncio.wrap_future(_threads().submit(_look, options))
    looking.add_done_callback(_noticed)
    try:
        done, _ = await asyncio.wait({looking}, timeout=timeout)
    finally:
        looking.cancel()
    duration = parts.clock.monotonic() - began
    if not done:
        reason = f"the processes of this host could not be read within {timeout:g} s"
        return Reading("unknown", reason, duration, "system")
    try:
        found, words = looking.result()
    except _CannotLookError as error:
        return Reading("unknown", str(error), duration, "system")
    return _judged(options, found, words, duration)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "processes")


def _noticed(future: asyncio.Future[Any]) -> None:
    """Take its error from a look that nobody waits for any more, or asyncio would complain of it."""
    if not future.cancelled():
        future.exception()


def _judged(options: Options, found: Found, words: str, duration: float) -> Reading:
    if found.count < options.min_count:
        wanted = f", wanted at least {options.min_count}" if options.min_count > 1 else ""
        return Reading("down", words + wanted, duration, "value" if found.count else "absent", facts=found)
    if options.max_count is not None and found.count > options.max_count:
        return Reading("down", f"{words}, wanted at most {options.max_count}", duration, "value", facts=found)
    return Reading("up", words, duration, facts=found)


def _look(options: Options) -> tuple[Found, str]:
    """Return what was found and a sentence about it."""
    if options.pid_file is not None:
        return _by_file(options.pid_file, options.user)
    matches = list(_matching(options))
    count = len(matches)
    words = f"there {'is' if count == 1 else 'are'} {count or 'no'} {'process' if count == 1 else 'processes'}"
    return _summed(matches), f"{words} {_wording(options)}"


def _wording(options: Options) -> str:
    by = f"named {options.name!r}" if options.name is not None else f"whose command line matches {options.match!r}"
    return by + _of(options.user)


def _matching(options: Options) -> Iterator[psutil.Process]:
    """Yield the processes that are meant: never this one, which may well be started with the same words."""
    import psutil  # noqa: PLC0415 - a configuration without processes stays light

    ours = os.getpid()
    pattern = patterns.compiled(options.match) if options.match is not None else None
    try:
        for process in psutil.process_iter():
            try:
                if process.pid == ours or (options.name is not None and not _is_named(process, options.name)):
                    continue
                if pattern is not None and pattern.search(" ".join(process.cmdline()).encode(errors="replace")) is None:
                    continue
                if _is_live(process, options.user):
                    # Made anew: psutil keeps those of its iteration, with their start, when a number is used again.
                    yield psutil.Process(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    except OSError as error:
        raise _CannotLookError(f"the processes of this host cannot be read: {error.strerror or error}") from error


def _is_named(process: psutil.Process, name: str) -> bool:
    """Return whether a process has a name; Linux keeps 15 characters of it, and the rest is in the command line."""
    found = process.name()
    if found == name or len(found) != _KEPT_OF_NAME or not name.startswith(found):
        return found == name
    return any(word.rpartition("/")[2] == name for word in process.cmdline()[:2])


def _is_live(process: psutil.Process, user: str | None) -> bool:
    """Return whether a process still runs, which a zombie does not, and belongs to the user."""
    import psutil  # noqa: PLC0415 - as above

    return process.status() != psutil.STATUS_ZOMBIE and (user is None or process.username() == user)


def _summed(processes: Iterable[psutil.Process]) -> Found:
    import psutil  # noqa: PLC0415 - as above

    count, memory, start = 0, 0, None
    for process in processes:
        count += 1
        try:
            began = process.create_time()
            start = began if start is None else min(start, began)
            memory += process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return Found(count, memory, start)


def _by_file(path: Path, user: str | None) -> tuple[Found, str]:
    import psutil  # noqa: PLC0415 - as above

    try:
        pid, written = _pid(path)
        process = psutil.Process(pid)
        if not _is_live(process, user):
            return Found(0), f"the process {pid} of {str(path)!r} does not run{_of(user)}"
        if process.create_time() > written + TOLERANCE:
            return Found(0), f"the process {pid} began after {str(path)!r} was written: it is another one"
        return _summed([process]), f"the process {pid} of {str(path)!r} runs"
    except ValueError as error:
        return Found(0), f"the pid file {str(path)!r} {error}"
    except psutil.AccessDenied:
        raise _CannotLookError(f"the process of {str(path)!r} may not be looked at by this user") from None
    except psutil.NoSuchProcess:
        return Found(0), f"the process {pid} of {str(path)!r} does not run"


def _of(user: str | None) -> str:
    return "" if user is None else f" as the user {user!r}"


def _pid(path: Path) -> tuple[int, float]:
    """Return the number in a pid file and when it was written; ValueError says why there is none to be had."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except OSError as error:
        raise _CannotLookError(f"the pid file {str(path)!r} cannot be read: {error.strerror or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is no regular file")
        data = os.read(descriptor, PID_FILE_SIZE + 1)
    finally:
        os.close(descriptor)
    number = data.strip()
    if len(data) > PID_FILE_SIZE or not number.isdigit() or not 0 < int(number) < 1 << 31:
        raise ValueError("does not hold the number of a process and nothing else")
    return int(number), status.st_mtime
