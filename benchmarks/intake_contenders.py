"""What `webhook_intake.py` starts: servers, a PostgreSQL that is as durable as in earnest, and the sender."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe_contenders import cpu_seconds
from servers import postgresql
from servers.program import CHECKOUT, Program
from servers.programs import HOST, Child, find, free_port, listening, short_folder, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BENCHMARKS = CHECKOUT / "benchmarks"
CONNECTIONS = 64
SLOW_MICROSECONDS = 10_000
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
EARNEST = ("fsync", "full_page_writes", "autovacuum")
"""Settings that the tests' servers have off."""


@dataclass
class Contender:
    """A server that takes deliveries: its process, the sender that talks to it, and what each round showed."""

    name: str
    pid: int
    sender: subprocess.Popen[str]
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def ask(self, what: str, seconds: float) -> dict[str, float]:
        """Let the sender send, and return what that took, with the CPU of the server."""
        assert self.sender.stdin
        assert self.sender.stdout
        before = cpu_seconds(self.pid)
        print(what, seconds, file=self.sender.stdin, flush=True)
        line = self.sender.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: the sender has ended.")
        found: dict[str, float] = json.loads(line)
        found["server"] = cpu_seconds(self.pid) - before
        return found

    def round(self, what: str, seconds: float) -> None:
        """Measure one round of a workload."""
        self.rounds.setdefault(what, []).append(self.ask(what, seconds))

    def figures(self, what: str, figure: str) -> list[float]:
        """Return a figure of each round: `rate`, `cpu` (ms a request), or seconds of p50, p99 and the longest."""
        found = self.rounds[what]
        if figure == "rate":
            return [one["requests"] / one["seconds"] for one in found]
        if figure == "cpu":
            return [1000 * one["server"] / one["requests"] for one in found]
        return [one[figure] for one in found]


@contextlib.contextmanager
def _sent_to(name: str, pid: int, port: int, token: str) -> Iterator[Contender]:
    argv = [sys.executable, str(BENCHMARKS / "intake_load.py"), str(port), token, str(CONNECTIONS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        try:
            yield Contender(name, pid, sender)
        finally:
            assert sender.stdin
            sender.stdin.close()
            sender.wait(30)


@contextlib.contextmanager
def nothing(folder: Path) -> Iterator[Contender]:
    """Start the server that does nothing."""
    port = free_port()
    argv = [sys.executable, str(BENCHMARKS / "intake_servers.py"), "nothing", str(port)]
    child = Child(argv, folder / "nothing")
    try:
        child.wait_ready(lambda: listening(port))
        with _sent_to("does nothing", child.pid, port, "none") as contender:
            yield contender
    finally:
        child.end(signal.SIGKILL)


@contextlib.contextmanager
def watchbridge(name: str, folder: Path, store: str, *, group: bool, slow: bool = False) -> Iterator[Contender]:
    """Start `watchbridge serve` on a store; without `group` each delivery has a commit of its own.

    `slow` lets each fsync of its process take 10 ms more.
    """
    place = folder / name.replace(" ", "-").replace(",", "")
    place.mkdir()
    token, port = secrets.token_hex(16), free_port()
    path = place / "watchbridge.yml"
    path.write_text(json.dumps(_configuration(port, store, token)), encoding="utf-8")
    path.chmod(0o600)
    program = ["-m", "exporter", "serve"] if group else [str(BENCHMARKS / "intake_servers.py"), "one-by-one"]
    argv = [sys.executable, *program, "--config", str(path)]
    if slow:
        argv = [*slowed(), *argv]
    started = Program(argv, place, {**os.environ, "HOME": str(place), "PYTHONPATH": str(CHECKOUT)})
    try:
        started.wait_ready()
        with _sent_to(name, _server(started.pid, slow=slow), port, token) as contender:
            yield contender
    finally:
        # Killed, strace would leave what it traces.
        os.kill(_server(started.pid, slow=slow), signal.SIGKILL)
        started.wait()


def slowed() -> list[str]:
    """Return what stands before a command so that its fsyncs take 10 ms more, and no other system call anything."""
    calls = "fsync,fdatasync"
    return [
        *(find("strace", "strace"), "-f", "--seccomp-bpf", "-o", os.devnull),
        *("-e", f"trace={calls}", "-e", f"inject={calls}:delay_exit={SLOW_MICROSECONDS}"),
    ]


def _server(pid: int, *, slow: bool) -> int:
    if not slow:
        return pid
    (traced,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(traced)


def _configuration(port: int, store: str, token: str) -> Mapping[str, Any]:
    return {
        "listen": [{"address": f"{HOST}:{port}", "serve": ["metrics", "webhook"]}],
        "store": store,
        "alertmanager": {"bearer_token": token},
        "queues": {"user-sync": {}},
        "rules": [
            {
                "name": "user-sync",
                "matchers": ['alertname="UserSyncFailed"', 'severity=~"critical|page"'],
                "action": "enqueue",
                "queue": "user-sync",
                "key": "{user_id}",
            }
        ],
    }


@contextlib.contextmanager
def durable_postgresql(options: Sequence[str] = ()) -> Iterator[postgresql.PostgreSQL]:
    """Start a PostgreSQL that writes to the disk and cleans up as a real one does."""
    with short_folder() as template, short_folder() as folder:
        server = postgresql.PostgreSQL(folder, postgresql.initialise(template))
        try:
            server.start()
            for name in EARNEST:
                server.execute(f"ALTER SYSTEM SET {name} = on")
            for option in options:
                server.execute(f"ALTER SYSTEM SET {option}")
            server.execute("SELECT pg_reload_conf()")
            until(lambda: server.execute("SHOW fsync") == [("on",)], 10, "PostgreSQL taking its settings")
            yield server
        finally:
            server.stop("immediate")


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """Give a folder whose fsync costs nothing, so that what is added to it is what it takes."""
    if not MEMORY.is_dir():
        sys.exit(f"There is no {MEMORY}: leave the slow disk out with --no-slow.")
    folder = Path(tempfile.mkdtemp(prefix="wb-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
