"""The two exporters that `sql.py` measures, each as a process, and what the kernel says they used."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers.program import CHECKOUT, Program
from servers.programs import HOST, Child, find, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.postgresql import PostgreSQL

FLAT_OUT_SECONDS = 4.0
COUNT_SECONDS = 30.0
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


@dataclass(frozen=True)
class Case:
    """One query on one table: what it is called, how it is made, how often it is read in a round."""

    name: str
    make: str
    query: str
    values: tuple[str, ...]
    period: float
    scrapes: int


def cpu_seconds(pid: int) -> float:
    """Return the CPU that the threads of a process have used."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def server_seconds(postmaster: int) -> float:
    """Return the CPU of PostgreSQL's processes: those that run, and those that have ended."""
    # proc(5): the 16th and 17th field are the CPU of children that were waited for; the name may hold blanks.
    after_name = Path(f"/proc/{postmaster}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ended = (int(after_name[13]) + int(after_name[14])) / os.sysconf("SC_CLK_TCK")
    running = 0.0
    for pid in children(postmaster):
        with contextlib.suppress(FileNotFoundError):
            running += cpu_seconds(pid)
    return ended + running


@dataclass
class Contender:
    """One of the two: its process, the port to ask (none where it only reads), what was measured."""

    name: str
    pid: int
    port: int | None
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def round(self, case: Case, postmaster: int) -> None:
        """Let it run alone for one round and note milliseconds per period."""
        os.kill(self.pid, signal.SIGCONT)
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port or 0, timeout=30)) as connection:
            self._paced(connection, case.period, 2)  # what piled up while it was stopped
            client, server = cpu_seconds(self.pid), server_seconds(postmaster)
            waits = self._paced(connection, case.period, case.scrapes)
            self.client.append(1000 * (cpu_seconds(self.pid) - client) / case.scrapes)
            self.server.append(1000 * (server_seconds(postmaster) - server) / case.scrapes)
            self.wall.append(1000 * statistics.median(waits))
        os.kill(self.pid, signal.SIGSTOP)

    def flat_out_round(self, server: PostgreSQL, database: str) -> None:
        """Let it read alone without a pause for a few seconds and note milliseconds per transaction."""
        os.kill(self.pid, signal.SIGCONT)
        begun, reads = self._when_counted(server, database), 0
        enough = time.monotonic() + FLAT_OUT_SECONDS
        while time.monotonic() < enough or not reads:
            ended = self._when_counted(server, database)
            reads = ended[0] - begun[0]
        os.kill(self.pid, signal.SIGSTOP)
        self.client.append(1000 * (ended[1] - begun[1]) / reads)
        self.server.append(1000 * (ended[2] - begun[2]) / reads)

    def _when_counted(self, server: PostgreSQL, database: str) -> tuple[int, float, float]:
        """Return transactions, client and server CPU at a moment when PostgreSQL, once a second, has just counted."""
        question = f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'"  # noqa: S608 - our own name
        before = now = server.execute(question)
        deadline = time.monotonic() + COUNT_SECONDS
        while now == before:
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} read nothing for {COUNT_SECONDS:g} s.")
            now = server.execute(question)
        return int(now[0][0]), cpu_seconds(self.pid), server_seconds(server.pid)

    def _paced(self, connection: http.client.HTTPConnection, period: float, scrapes: int) -> list[float]:
        waits = []
        begun = time.monotonic()
        for number in range(scrapes):
            time.sleep(max(0.0, begun + number * period - time.monotonic()))
            waits.append(_scrape(connection)[0] if self.port else 0.0)
        time.sleep(max(0.0, begun + scrapes * period - time.monotonic()))
        return waits


def _scrape(connection: http.client.HTTPConnection) -> tuple[float, bytes]:
    before = time.monotonic()
    connection.request("GET", "/metrics", headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"The answer was {answer.status}: {body[:300]!r}")
    return time.monotonic() - before, body


@contextlib.contextmanager
def ours(case: Case, url: str, folder: Path) -> Iterator[Contender]:
    """Start `watchbridge serve` with the case's query."""
    port = free_port()
    configuration = {
        "listen": [{"address": f"{HOST}:{port}", "serve": ["metrics"]}],
        "store": f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "scrape": {"max_series": 20_000},
        "databases": {"main": {"url": url, "row_limit": 20_000}},
        "packages": {"bench": {"database": "main", "query": case.query, "statuses": []}},
    }
    path = folder / "watchbridge.yml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    path.chmod(0o600)
    argv = [sys.executable, "-m", "exporter", "serve", "--config", str(path)]
    program = Program(argv, folder, {**os.environ, "HOME": str(folder)})
    try:
        program.wait_ready()
        yield Contender("watchbridge", program.pid, port)
    finally:
        program.kill()


@contextlib.contextmanager
def peer(case: Case, url: str, folder: Path, interval: float) -> Iterator[Contender]:
    """Start prometheus-sql-exporter with the case's query, read every `interval` seconds."""
    port = free_port()
    query = {"name": "bench", "help": "Bench.", "labels": ["status"], "values": list(case.values), "query": case.query}
    connection = urlsplit(url)._replace(scheme="postgres", query="sslmode=disable").geturl()
    job = {"name": "bench", "interval": f"{interval * 1000:.0f}ms", "connections": [connection], "queries": [query]}
    path = folder / "sql-exporter.yml"
    path.write_text(json.dumps({"jobs": [job]}), encoding="utf-8")
    program = find("prometheus-sql-exporter", "prometheus-sql-exporter 0.4.5")
    child = Child(
        [program, "-config.file", str(path), "-web.listen-address", f"{HOST}:{port}"],
        folder / "sql-exporter.log",
        environment={**os.environ, "LOGLEVEL": "error"},
    )
    try:
        child.wait_ready(lambda: listening(port))
        yield Contender("sql-exporter", child.pid, port)
    finally:
        child.end(signal.SIGKILL)


@contextlib.contextmanager
def our_reads(case: Case, url: str, folder: Path) -> Iterator[Contender]:
    """Start a process that does nothing but read the case's query once a period, as the scrape does."""
    environment = {**os.environ, "BENCHMARK_URL": url, "BENCHMARK_QUERY": case.query}
    argv = [sys.executable, str(CHECKOUT / "benchmarks" / "sql_reading.py"), str(case.period)]
    child = Child(argv, folder / "reading.log", environment=environment)
    try:
        child.wait_ready(lambda: "reading" in child.tail())
        yield Contender("watchbridge", child.pid, None)
    finally:
        child.end(signal.SIGKILL)
