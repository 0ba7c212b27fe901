"""Find the programs of the real servers, start them as children, end them by their process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")
HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class MissingProgramError(Exception):
    """A server program is not installed; the message says what to install."""


class ServerError(Exception):
    """A server ended, refused a statement or did not answer in time; the message holds the end of its log."""


def find(program: str, package: str, *folders: Path) -> str:
    """Return the path of a program, from PATH and the places for daemons, or else from `folders` in their order."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *map(str, folders)]
    found = shutil.which(program, path=os.pathsep.join(places))
    if found is None:
        raise MissingProgramError(
            f"{program} is not installed: run tests/install-servers on Debian or Ubuntu, elsewhere install {package} "
            f"so that {program} is on the PATH, or leave these tests out with WATCHBRIDGE_TESTS_SKIP_SERVERS=1."
        )
    return found


def free_port() -> int:
    """Return a loopback port that nobody listens on; another process may still take it, so starters try again."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a temporary folder that other users may pass through, and remove it with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix="wb-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def until(probe: Callable[[], T | None], seconds: float, what: str) -> T:
    """Ask `probe` until it gives something true and return that; ServerError names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise ServerError(f"{what} did not happen within {seconds:g} s.")
        time.sleep(0.02)
    return found


def listening(port: int) -> bool:
    """Say whether a loopback port takes connections."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0


class Child:
    """A started process that writes to one log file; in a session of its own, so that Ctrl-C reaches only pytest."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        owner: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd or log.parent,
                env=environment,
                start_new_session=True,
                **owner,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._process.poll()

    def tail(self, characters: int = 2000) -> str:
        """Return the end of the log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:]

    def wait_ready(self, ready: Callable[[], T | None], seconds: float = START_SECONDS) -> T:
        """Wait until `ready` gives something true; ServerError with the log's end when the process ends instead."""

        def probe() -> tuple[T] | None:
            if self.exit_code is not None:
                raise ServerError(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")
            found = ready()
            return (found,) if found else None

        try:
            return until(probe, seconds, f"{self.name} becoming ready")[0]
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def send(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end and return the exit status; TimeoutError after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} still runs after {seconds:g} s:\n{self.tail()}") from error

    def end(self, number: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """Send a signal and wait; kill what does not end in time. Return the exit status."""
        self.send(number)
        try:
            return self.wait(seconds)
        except TimeoutError:
            self._process.kill()
            return self._process.wait()


def run(argv: Sequence[str], *, stdin: str = "", user: str | None = None, seconds: float = START_SECONDS) -> str:
    """Run a program to its end and return what it printed; ServerError with its errors when it fails."""
    owner: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False, cwd="/", **owner
    )
    if done.returncode:
        raise ServerError(f"{Path(argv[0]).name} ended with {done.returncode}: {done.stderr[-2000:].strip()}")
    return done.stdout
