"""What the probe benchmarks start: the targets, blackbox_exporter, `watchbridge serve`, a Prometheus; and their CPU."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.program import CHECKOUT, Program
from servers.programs import HOST, Child, find, free_port, listening, run, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PORTS = 8
SECONDS_TO_ANSWER = 60.0
START_SECONDS = 120.0
DESCRIPTORS = 8192
BENCHMARKS = CHECKOUT / "benchmarks"


def cpu_seconds(pid: int) -> float:
    """Return the CPU of a process to the nanosecond, threads that have ended included."""
    # clock_getcpuclockid(3) on Linux: ~pid, then 3 bits of which clock; 2 is the scheduler's own count.
    return time.clock_gettime((~pid << 3) | 2)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the body of an answer; the program ends when it is none of 200."""
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=SECONDS_TO_ANSWER)) as connection:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"{path} answered {answer.status}: {body[:300]!r}")
    return body


@dataclass(frozen=True)
class Targets:
    """The started targets: the ports that answer, the one that hangs, and where what was served is counted."""

    scheme: str
    ports: Sequence[int]
    hung: int
    counter: int

    def urls(self, count: int) -> list[str]:
        """Return so many URLs, in turn over the ports."""
        return [f"{self.scheme}://{HOST}:{self.ports[n % len(self.ports)]}/{n}" for n in range(count)]

    def served(self) -> int:
        """Return how many requests were answered so far."""
        return int(get(self.counter, "/"))


@contextlib.contextmanager
def targets(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Targets]:
    """Start the targets, in TLS where there is a certificate with its key."""
    log = folder / ("targets-tls" if certificate else "targets")
    argv = [sys.executable, str(BENCHMARKS / "probe_target.py"), str(PORTS), *map(str, certificate or ())]
    child = Child(argv, log)
    try:
        child.wait_ready(lambda: child.tail().endswith("\n"))
        places: dict[str, Any] = json.loads(child.tail())
        yield Targets("https" if certificate else "http", places["ports"], places["hung"], places["counter"])
    finally:
        child.end(signal.SIGKILL)


@contextlib.contextmanager
def blackbox(folder: Path, authority: Path | None = None) -> Iterator[tuple[int, int]]:
    """Start Debian's blackbox_exporter with one module `bench`, and yield its process and port."""
    port = free_port()
    tls = {"tls_config": {"ca_file": str(authority)}} if authority else {}
    http_options = {"method": "GET", "follow_redirects": False, "preferred_ip_protocol": "ip4", **tls}
    modules = {"bench": {"prober": "http", "timeout": "5s", "http": http_options}}
    path = folder / f"blackbox-{port}.yml"
    path.write_text(json.dumps({"modules": modules}), encoding="utf-8")
    program = find("prometheus-blackbox-exporter", "prometheus-blackbox-exporter 0.23")
    argv = [program, f"--config.file={path}", f"--web.listen-address={HOST}:{port}", "--log.level=error"]
    child = Child(argv, folder / f"blackbox-{port}.log")
    try:
        child.wait_ready(lambda: listening(port))
        yield child.pid, port
    finally:
        child.end(signal.SIGKILL)


def ask_blackbox(port: int, urls: Sequence[str], at_once: int) -> None:
    """Have blackbox_exporter probe each URL once, over kept connections as Prometheus has them."""
    failures: list[str] = []

    def ask(part: Sequence[str]) -> None:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=SECONDS_TO_ANSWER)) as connection:
            for url in part:
                connection.request("GET", f"/probe?module=bench&target={url}")
                if b"\nprobe_success 1\n" not in connection.getresponse().read():
                    failures.append(url)

    threads = [threading.Thread(target=ask, args=(urls[n::at_once],)) for n in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"blackbox_exporter failed at {failures[:3]}.")


def compiled_limit(folder: Path) -> Path | None:
    """Return the program in C, compiled into the folder; None, with a sentence, where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("There is no cc: the limit in C is left out.")
        return None
    program = folder / "probe_limit"
    run([compiler, "-O2", str(BENCHMARKS / "probe_limit.c"), "-o", str(program)])
    return program


def raise_descriptors() -> None:
    """Let the children have as many files as they ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@contextlib.contextmanager
def watchbridge(folder: Path, services: Mapping[str, Any], **more: Any) -> Iterator[tuple[Program, int]]:
    """Start the installed program with these services and a store on SQLite; yield it and its port once it listens."""
    port = free_port()
    configuration = {
        "listen": [{"address": f"{HOST}:{port}"}],
        "store": f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "scrape": {"max_series": 100_000},
        "services": services,
        **more,
    }
    path = folder / "watchbridge.yml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    path.chmod(0o600)
    script = Path(sys.executable).parent / "watchbridge"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "exporter"]
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = {**kept, "HOME": str(folder), "LANG": "C.UTF-8"}
    program = Program([*command, "serve", "--config", str(path)], folder, environment)
    try:
        until(lambda: listening(port) or program.exit_code is not None, START_SECONDS, "watchbridge listening")
        if program.exit_code is not None:
            sys.exit(f"watchbridge ended with {program.exit_code}:\n{program.output()}")
        yield program, port
    finally:
        program.kill()


@contextlib.contextmanager
def prometheus(folder: Path, job: Mapping[str, Any], every: float) -> Iterator[tuple[int, int]]:
    """Start a Prometheus with one job; yield its process and its port."""
    port = free_port()
    pace = {"scrape_interval": f"{every:g}s", "scrape_timeout": f"{min(every, 10):g}s"}
    path = folder / "prometheus.yml"
    path.write_text(json.dumps({"global": pace, "scrape_configs": [job]}), encoding="utf-8")
    argv = [
        find("prometheus", "Prometheus 2.42 or newer"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
        "--log.level=warn",
    ]
    child = Child(argv, folder / "prometheus.log")
    try:
        child.wait_ready(lambda: listening(port))
        yield child.pid, port
    finally:
        child.end(signal.SIGKILL)


def described(values: Sequence[float], digits: int = 0) -> str:
    """Return minimum, median and maximum."""
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return " ".join(f"{value:10,.{digits}f}" for value in (ordered[0], middle, ordered[-1]))
