"""The one module that starts processes: an argument list, a clean environment, a deadline, bounded output; no shell."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from exporter.errors import ProcessNotStartedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OUTPUT_LIMIT = 64 * 1024
"""Bytes of output that are kept; the rest is read and dropped, so that the process never blocks on a full pipe."""
DRAIN_SECONDS = 1.0
"""How long output is still awaited after the end of the process: what it left behind may hold the pipe open forever."""
REAP_SECONDS = 5.0
"""How long the end of a killed process is awaited: one in uninterruptible sleep cannot be killed yet."""
_KILLED = -9
"""The status of a process whose end was not seen: it was sent SIGKILL, which Windows has no name for."""
_DETACHED_UMASK = 0o022
"""What a program that goes on for itself may expect; `run` lets nobody else read what a program writes."""
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = 0, 1, 2
_INHERITED = ("PATH", "LANG", "HOME")
# Windows programs do not start, or find no place for their files, without these.
_INHERITED_ON_WINDOWS = ("SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended: its status (negative: the signal), the first bytes of its output with standard error.

    `errors` are the first bytes of standard error where it was asked for apart from the output.
    """

    code: int
    output: bytes
    timed_out: bool
    errors: bytes = b""


def clean_environment() -> dict[str, str]:
    """Return what a child gets unless told otherwise: none of the secrets that this process may hold."""
    names = _INHERITED + (_INHERITED_ON_WINDOWS if sys.platform == "win32" else ())
    return {name: os.environ[name] for name in names if name in os.environ}


async def run(  # noqa: PLR0913 -- what a process is started with; all but the first by name
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout: float,
    environment: Mapping[str, str] | None = None,
    output_limit: int = OUTPUT_LIMIT,
    errors_apart: bool = False,
    dies_with_us: bool = False,
) -> Finished:
    """Run a program to its end, or to the deadline (seconds): then it and all that it started are killed.

    `output_limit` holds for standard error on its own where it is asked for apart.

    With `dies_with_us` the kernel kills the program when this process is killed, where it can (Linux): a deed that
    nobody watches any more must not overlap with the next one. Where this process is only stopped (SIGSTOP), the
    program's own alarm ends it soon after the deadline. What it has started in turn is reached by neither.

    What the program leaves running after a normal end lives on (`mail` delivers in the background). Cancelling this
    call kills the group too. Raises ProcessNotStartedError when there is no such program, or it may not be run.
    """
    watched = _Watched(output_limit, errors_apart=errors_apart)
    life = math.ceil(timeout + REAP_SECONDS) if dies_with_us else None
    transport = await _start(argv, clean_environment() if environment is None else environment, watched, life)
    timed_out = False
    try:
        _feed(transport, stdin)
        async with asyncio.timeout(timeout):
            await watched.exited.wait()
    except TimeoutError:
        timed_out = True
    finally:
        if transport.get_returncode() is None:
            _kill_group(transport.get_pid())
            await _within(REAP_SECONDS, watched.exited)
        await _within(DRAIN_SECONDS, watched.output_ended)
        transport.close()
    code = transport.get_returncode()
    output, errors = map(bytes, (watched.output, watched.errors))
    return Finished(code=_KILLED if code is None else code, output=output, timed_out=timed_out, errors=errors)


def start_detached(
    argv: Sequence[str],
    *,
    output: int | None = None,
    environment: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] = "/",
    user: str | None = None,
) -> int:
    """Start a program that outlives this process, and return the number of its process.

    It leads a session of its own, reads nothing, and holds nothing that is open here; both its outputs go to the
    descriptor `output`, or nowhere. `environment` is added to the clean one. Where this process is root it may be
    started as another `user`, with that one's groups and home. Its end is taken notice of for as long as this process
    runs, so that it leaves no zombie. Raises ProcessNotStartedError.
    """
    variables = clean_environment()
    settings: dict[str, Any] = {}
    try:
        if sys.platform == "win32":
            settings = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
        else:
            settings = {"start_new_session": True, "umask": _DETACHED_UMASK, **_rights(user, variables)}
        process = subprocess.Popen(  # noqa: S603 -- an argument list of the configuration, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if output is None else output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=variables | dict(environment or {}),
            **settings,
        )
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ProcessNotStartedError(program=argv[0], reason=reason) from error
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return process.pid


def _rights(user: str | None, variables: dict[str, str]) -> dict[str, Any]:
    """Return what starts a process as a user, and put the user's home into the variables; LookupError for nobody."""
    if user is None or sys.platform == "win32":
        return {}
    import pwd  # noqa: PLC0415 - Windows has none

    entry = pwd.getpwnam(user)
    variables["HOME"] = entry.pw_dir
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


class _Watched(asyncio.SubprocessProtocol):
    """Keeps the head of the output and notes the two ends: of the process, and of its output."""

    def __init__(self, limit: int, *, errors_apart: bool) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self.errors_apart = errors_apart
        self.exited = asyncio.Event()
        self.output_ended = asyncio.Event()
        self._open = {_STANDARD_OUTPUT, _STANDARD_ERROR} if errors_apart else {_STANDARD_OUTPUT}
        self._limit = limit

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept = self.errors if fd == _STANDARD_ERROR else self.output
        kept += data[: self._limit - len(kept)]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol of asyncio
        self._open.discard(fd)
        if not self._open:
            self.output_ended.set()

    def process_exited(self) -> None:
        self.exited.set()


async def _start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    watched: _Watched,
    life: int | None,
) -> asyncio.SubprocessTransport:
    """Start in a session of its own, so that one signal reaches all that it starts; in no directory of ours.

    With a `life` in seconds it dies with us, and at the latest then.
    """
    settings: dict[str, Any] = {}
    if sys.platform != "win32":
        settings = {"start_new_session": True, "umask": 0o077, "cwd": "/"}
    if life is not None and (bind := _binding(life)) is not None:
        settings["preexec_fn"] = bind
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: watched,
            *argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if watched.errors_apart else subprocess.STDOUT,
            env=dict(environment),
            **settings,
        )
    )
    try:
        transport, _ = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _abandoned(starting)
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument or a variable
        reason = getattr(error, "strerror", None) or str(error)
        raise ProcessNotStartedError(program=argv[0], reason=reason) from error
    return transport


@lru_cache(maxsize=128)
def _binding(seconds: int) -> Callable[[], None] | None:
    """Return what a child calls before it becomes the program, so that it dies with us; None where nothing does that.

    Where we are stopped and not killed (SIGSTOP), its own alarm ends it after so many seconds. It calls functions of
    the C library and nothing else of Python: that is what may be done between fork and exec while other threads run.
    """
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - only actions need it

    try:
        library = ctypes.PyDLL(None)
        prctl, alarm = library.prctl, library.alarm
    except (OSError, AttributeError):  # a C library without it
        return None
    us = os.getpid()
    # Python 3.12 and later warn of any fork beside threads.
    warnings.filterwarnings("ignore", r"This process \(pid=\d+\) is multi-threaded", DeprecationWarning)

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        alarm(seconds)
        if os.getppid() != us:
            os._exit(_ORPHANED)  # we were killed before the kernel knew

    return bind


_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""
_ORPHANED: Final = 137


async def _abandoned(starting: asyncio.Future[Any]) -> None:
    """End what was started when nobody wants it any more.

    Cancelling the start itself would kill the leader alone, and then wait for the output that its children hold.
    """
    await asyncio.wait({starting}, timeout=REAP_SECONDS)
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        transport, watched = starting.result()
        _kill_group(transport.get_pid())
        await _within(REAP_SECONDS, watched.exited)
        transport.close()


def _feed(transport: asyncio.SubprocessTransport, data: bytes) -> None:
    """Write in the background; a program that does not read its input only ends the pipe."""
    pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(_STANDARD_INPUT))
    pipe.write(data)
    pipe.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _kill_group(pid: int) -> None:
    """Kill the process and its descendants; its process group has its own number, since it leads its session."""
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _kill_tree(pid: int) -> None:
    """Kill by the tree of parents: Windows has no process groups to kill."""
    import psutil  # noqa: PLC0415 - only needed where there are no process groups

    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for process in [*leader.children(recursive=True), leader]:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
