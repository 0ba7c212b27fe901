"""The servers that `server.py` measures, each as a process, and what the kernel and a client see of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server_collector import FAMILIES, ring
from servers.program import CHECKOUT, Program
from servers.programs import HOST, Child, find, free_port, listening

from exporter.exposition import Exposition, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BENCHMARKS = CHECKOUT / "benchmarks"
POLL_SECONDS = 0.002
SETTLE_SECONDS = 0.05
GROUP = 250


@dataclass(frozen=True)
class Way:
    """One way to ask: the form and whether it may be compressed."""

    name: str
    media_type: str
    gzip: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the request."""
        version = "1.0.0" if "openmetrics" in self.media_type else "0.0.4"
        coding = "gzip" if self.gzip else "identity"
        return {
            "Accept": f"{self.media_type};version={version},*/*;q=0.1",
            "Accept-Encoding": coding,
            "X-Prometheus-Scrape-Timeout-Seconds": "60",
        }


def cpu_seconds(pid: int) -> float:
    """Return the CPU of a process to the nanosecond, threads that have ended included."""
    # clock_getcpuclockid(3) on Linux: ~pid, then 3 bits of which clock; 2 is the scheduler's own count.
    return time.clock_gettime((~pid << 3) | 2)


@dataclass
class Contender:
    """A server: its process, its port, and for each way what a scrape took of CPU and of the client's time, in ms."""

    name: str
    pid: int
    port: int
    cpu: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)

    def ask(self, connection: http.client.HTTPConnection, way: Way) -> tuple[str, bytes]:
        """Scrape once and return the content type and the body."""
        connection.request("GET", "/metrics", headers=way.headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            sys.exit(f"{self.name} answered {answer.status}: {body[:300]!r}")
        assert (answer.getheader("Content-Encoding") == "gzip") == way.gzip
        return answer.getheader("Content-Type", ""), body

    def connection(self) -> contextlib.closing[http.client.HTTPConnection]:
        """Return a connection, which is kept where the server keeps it."""
        return contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=60))

    def knows(self, way: Way) -> bool:
        """Say whether the server has the form; this scrape is not measured."""
        with self.connection() as connection:
            content_type, body = self.ask(connection, way)
        self.size[way.name] = len(body)
        return content_type.startswith(way.media_type)

    def round(self, way: Way, scrapes: int) -> None:
        """Scrape a few times over one connection and note the mean."""
        with self.connection() as connection:
            connection.connect()
            cpu, spent = cpu_seconds(self.pid), 0.0
            for _ in range(scrapes):
                before = time.perf_counter()
                self.ask(connection, way)
                spent += time.perf_counter() - before
            time.sleep(SETTLE_SECONDS)  # what the server does after the last byte belongs to the scrape
            self.cpu.setdefault(way.name, []).append(1000 * (cpu_seconds(self.pid) - cpu) / scrapes)
            self.wall.setdefault(way.name, []).append(1000 * spent / scrapes)

    def gap(self, way: Way | None) -> float:
        """Return how long /-/healthy took at most, asked every 2 ms during a scrape or, without one, for 0.2 s."""
        done = threading.Event()

        def scrape() -> None:
            with self.connection() as connection:
                if way:
                    self.ask(connection, way)
                else:
                    time.sleep(0.2)
            done.set()

        longest = 0.0
        with self.connection() as connection:
            scraper = threading.Thread(target=scrape)
            scraper.start()
            while not done.is_set() or not longest:
                before = time.perf_counter()
                connection.request("GET", "/-/healthy")
                connection.getresponse().read()
                longest = max(longest, time.perf_counter() - before)
                time.sleep(POLL_SECONDS)
            scraper.join()
        return 1000 * longest


@contextlib.contextmanager
def ours(series: int, folder: Path, data_label: str = "") -> Iterator[Contender]:
    """Start `watchbridge serve` with the collector installed by an entry point."""
    installed = folder / "installed"
    metadata = installed / "many-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(BENCHMARKS / "server_collector.py", installed)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: many\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[watchbridge.collectors]\nmany = server_collector\n", encoding="utf-8")
    port = free_port()
    configuration = {
        "listen": [{"address": f"{HOST}:{port}", "serve": ["metrics"]}],
        "store": f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "scrape": {"max_series": 100_000},
    }
    path = folder / "watchbridge.yml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    path.chmod(0o600)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PYTHONPATH": str(installed),
        "BENCHMARK_SERIES": str(series),
        "BENCHMARK_DATA_LABEL": data_label,
    }
    program = Program([sys.executable, "-m", "exporter", "serve", "--config", str(path)], folder, environment)
    try:
        program.wait_ready()
        yield Contender("watchbridge, capped" if data_label else "watchbridge", program.pid, port)
    finally:
        program.kill()


@contextlib.contextmanager
def started(name: str, argv: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[Contender]:
    """Start a peer and wait until it takes connections."""
    child = Child(argv, folder / "log", environment=environment)
    try:
        child.wait_ready(lambda: listening(port))
        yield Contender(name, child.pid, port)
    finally:
        child.end(signal.SIGKILL)


def prometheus_client(series: int, folder: Path) -> contextlib.AbstractContextManager[Contender]:
    """Start prometheus_client's own server."""
    port = free_port()
    argv = [sys.executable, str(BENCHMARKS / "server_peer.py"), str(port)]
    return started("prometheus_client", argv, port, folder, {**os.environ, "BENCHMARK_SERIES": str(series)})


@contextlib.contextmanager
def pushgateway(series: int, folder: Path) -> Iterator[Contender]:
    """Start Debian's Pushgateway, which shows by client_golang what is pushed to it."""
    port = free_port()
    program = find("prometheus-pushgateway", "prometheus-pushgateway 1.5")
    # The check of each push against all others would take minutes; a scrape is the same without it.
    argv = [program, f"--web.listen-address={HOST}:{port}", "--push.disable-consistency-check", "--log.level=error"]
    with started("Pushgateway (Go)", argv, port, folder, dict(os.environ)) as contender:
        push(contender, series)
        yield contender


def push(contender: Contender, series: int) -> None:
    """Push the first read in groups of 1,000 series and wait until all of them are shown."""
    (first, *_) = ring(series)
    count = series // len(FAMILIES)
    with contender.connection() as connection:
        for start in range(0, count, GROUP):
            part = {family: dict(list(first[family].items())[start : start + GROUP]) for family in FAMILIES}
            body = Exposition(FAMILIES).render([part], Form.TEXT_0_0_4)
            connection.request("PUT", f"/metrics/job/{start // GROUP}", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                sys.exit(f"The Pushgateway answered {answer.status}.")


OTHERS: tuple[Callable[[int, Path], contextlib.AbstractContextManager[Contender]], ...] = (
    prometheus_client,
    pushgateway,
)
