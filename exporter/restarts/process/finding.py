"""Which processes are meant: those whose command line fits, word for word, or the one of a pid file where it does."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from exporter.restarts.process import ending, pidfile
from exporter.restarts.process.ending import held, released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporter.restarts.process.ending import Held
    from exporter.restarts.process.options import Options

    Fits = Callable[[Sequence[str]], bool]

FIRST_LINE: Final = 256
"""Bytes of a script in which Linux looks for its interpreter."""
DEEPEST: Final = 4
"""Interpreters of interpreters that Linux follows."""
QUOTED: Final = 120
TRIES: Final = 100
"""Looks at a command line that is empty: it is for the moment in which a process becomes another program."""


class CannotLookError(Exception):
    """What runs cannot be seen or not be ended, so that nothing may be started beside it; its message says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """The processes that are meant, held on to; `absent` says in words why there are none."""

    processes: tuple[Held, ...]
    absent: str


def found(options: Options) -> Found:
    """Return the processes that are meant and run: whoever asks releases them. It may take a while.

    Never among them: this process, those that it was started by, and the first one of the system.
    """
    try:
        whose, fits = options.whose(), _fitting(options)
        if options.pid_file is not None:
            return _by_file(options, options.pid_file, fits, whose)
        return Found(_all(fits, whose), f"there is no {options.meant}")
    except LookupError:
        raise CannotLookError(f"there is no user {options.user!r} on this host: correct `user`") from None
    except pidfile.PidFileError as error:
        raise CannotLookError(str(error)) from error
    except OSError as error:
        raise CannotLookError(f"the processes of this host cannot be read: {error.strerror or error}") from error


def _fitting(options: Options) -> Fits:
    """Return what says whether a command line is meant."""
    if options.match is not None:
        beginning = list(options.match)
        return lambda line: any(beginning) and list(line[: len(beginning)]) == beginning
    whole = command_lines(options.argv)
    return lambda line: tuple(line) in whole


def _all(fits: Fits, whose: int | None) -> tuple[Held, ...]:
    import psutil  # noqa: PLC0415 - a configuration without processes stays light

    ours = _ours()
    kept: list[Held] = []
    try:
        numbers = (pid for pid in psutil.pids() if pid not in ours and fits(_command_line(pid)))
        for pid in numbers:
            one = _kept(pid, fits, whose, by_descriptor=len(kept) < ending.DESCRIPTORS)
            kept += [] if one is None else [one]
    except BaseException:
        released(kept)
        raise
    return tuple(kept)


def _by_file(options: Options, path: Path, fits: Fits, whose: int | None) -> Found:
    """Return the process that a pid file names, where it fits.

    One that does not is another one that got the number later: then the file is stale. Where it was there when the file
    was written, it is hardly another one, but known wrongly: CannotLookError, or a second one would be started.
    """
    if (read := pidfile.read(path)) is None:
        return Found((), f"there is no {options.meant}, or nothing in it")
    pid, written = read
    if pid in _ours():
        raise CannotLookError(f"the pid file {str(path)!r} names Watchbridge itself, or what started it: correct it")
    if (one := _kept(pid, fits, whose)) is not None:
        return Found((one,), "")
    if (other := held(pid)) is None:
        return Found((), f"the process {pid} of {str(path)!r} does not run")
    try:
        is_over = other.has_ended()
        is_later = is_over or other.began() > written + pidfile.TOLERANCE
    finally:
        other.release()
    if is_over:
        return Found((), f"the process {pid} of {str(path)!r} does not run")
    if is_later:
        return Found((), f"the process {pid} of {str(path)!r} is another one, which began later")
    shown = shlex.join(_command_line(pid))[:QUOTED]
    raise CannotLookError(
        f"the process {pid} of {str(path)!r} has another command line or user than is configured: it was left alone, "
        f"and no second one started; write `match` as it begins: {shown!r}"
    )


def _ours() -> set[int]:
    import psutil  # noqa: PLC0415 - as above

    return {1, os.getpid(), *(parent.pid for parent in psutil.Process().parents())}


def _kept(pid: int, fits: Fits, whose: int | None, *, by_descriptor: bool = True) -> Held | None:
    """Hold on to a process that fits, which is looked at when it is held: until then its number may be another's."""
    if (one := held(pid, by_descriptor=by_descriptor)) is None:
        return None
    if fits(_command_line(pid)) and (whose is None or one.user in {None, whose}) and not one.has_ended():
        return one
    one.release()
    return None


def _command_line(pid: int) -> list[str]:
    """Return the words that a process was started with; none of one without, or that cannot be seen."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - as above

        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return psutil.Process(pid).cmdline()
        return []
    # psutil parts what is one word for the kernel: an argument with a space in it, or a title.
    try:
        for _ in range(TRIES):
            if data := Path(f"/proc/{pid}/cmdline").read_bytes():
                return [os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0")]
            Path(f"/proc/{pid}/exe").readlink()  # a thread of the kernel has none, nor has a zombie
            os.sched_yield()
    except OSError:
        pass
    return []


def command_lines(argv: Sequence[str]) -> set[tuple[str, ...]]:
    """Return what the command line of a program may be while it runs: a script's begins with its interpreter."""
    return {tuple(argv), *_interpreted(tuple(argv))}


def _interpreted(line: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for _ in range(DEEPEST):
        words = _interpreter(Path(line[0])) if line and sys.platform != "win32" else ()
        if not words:
            return
        # env becomes the program that it finds, under the name that it was asked for.
        if PurePath(words[0]).name == "env" and len(words) > 1:
            yield (*_of_env(words[1]), *line)
        line = (*words, *line)
        yield line


def _of_env(argument: str) -> list[str]:
    if not argument.startswith("-S"):
        return [argument]
    try:
        return shlex.split(argument.removeprefix("-S"))
    except ValueError:  # a quotation mark that is not closed
        return [argument]


def _interpreter(program: Path) -> tuple[str, ...]:
    """Return what the first line of a script names: the interpreter, and all behind it as one argument."""
    try:
        descriptor = os.open(program, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError):
        return ()
    try:
        data = os.read(descriptor, FIRST_LINE)
    except OSError:
        return ()
    finally:
        os.close(descriptor)
    if not data.startswith(b"#!"):
        return ()
    return tuple(os.fsdecode(word) for word in data[2:].split(b"\n")[0].strip(b" \t").split(None, 1))
