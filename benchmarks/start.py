"""Measure how long commands take to start, and what `watchbridge serve` takes while it has nothing to do.

    python benchmarks/start.py [--runs 15] [--serves 5] [--seconds 20] [--json FILE]

- Commands run in turn beside `python -c pass`; wall time and CPU of each process, the first round not counted.
- serve is ready when /-/healthy first answers 200 after the process was started; one source on SQLite, the store too.
- Idle is what the process takes over a while: asked nothing, then asked once a second as Prometheus asks.

Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from server_contenders import cpu_seconds
from servers.program import Program
from servers.programs import HOST, free_port, short_folder, until

BARE = "python -c pass"
SETTLE_SECONDS = 3.0
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}

Times = dict[str, list[float]]


def program() -> list[str]:
    """Return the command as it is installed beside this interpreter."""
    script = Path(sys.executable).parent / "watchbridge"
    return [str(script)] if script.exists() else [sys.executable, "-m", "exporter"]


def commands() -> dict[str, list[str]]:
    """Return what is started, by name."""
    ours = program()
    return {
        BARE: [sys.executable, "-c", "pass"],
        "watchbridge --version": [*ours, "--version"],
        "watchbridge --help": [*ours, "--help"],
        "watchbridge packages --output csv": [*ours, "packages", "--output", "csv"],
    }


def one_run(argv: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run to the end and return wall time and CPU in ms."""
    path = folder / "output"
    with path.open("wb") as output:
        begun = time.perf_counter()
        child = subprocess.Popen(
            argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(argv)} ended with {child.returncode}:\n{path.read_text(encoding='utf-8')}")
    return 1000 * wall, 1000 * (usage.ru_utime + usage.ru_stime)


def started(folder: Path, environment: dict[str, str], runs: int) -> tuple[Times, Times]:
    """Return the wall times and the CPU of each command."""
    wall: Times = {name: [] for name in commands()}
    cpu: Times = {name: [] for name in commands()}
    for number in range(-1, runs):
        for name, argv in commands().items():
            spent = one_run(argv, folder, environment)
            if number >= 0:
                wall[name].append(spent[0])
                cpu[name].append(spent[1])
    return wall, cpu


def is_healthy(port: int) -> bool:
    """Say whether /-/healthy answers 200."""
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=1)) as connection:
        try:
            connection.request("GET", "/-/healthy")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False


@contextlib.contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Any:
    """Start `serve` with one source; yield the process, its port and the ms from start to the first good answer."""
    port = free_port()
    configuration = {
        "listen": [{"address": f"{HOST}:{port}"}],
        "store": f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "databases": {"main": {"url": environment["DATABASE_URL"]}},
        "packages": {"npm": {"database": "main"}},
    }
    path = folder / "watchbridge.yml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    path.chmod(0o600)
    begun = time.perf_counter()
    server = Program([*program(), "serve", "--config", str(path)], folder, environment)
    try:
        until(lambda: is_healthy(port) or server.exit_code is not None, 60, "watchbridge becoming ready")
        ready = 1000 * (time.perf_counter() - begun)
        if server.exit_code is not None:
            sys.exit(f"serve ended with {server.exit_code}:\n{server.output()}")
        yield server, port, ready
    finally:
        server.kill()


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def idle(pid: int, port: int, seconds: int) -> dict[str, float]:
    """Return memory in MiB and CPU in ms a second: asked nothing, then asked once a second."""
    time.sleep(SETTLE_SECONDS)
    found = {"memory, never asked": resident_mib(pid)}
    before = cpu_seconds(pid)
    time.sleep(seconds)
    found["CPU a second, asked nothing"] = 1000 * (cpu_seconds(pid) - before) / seconds
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
        _scrape(connection)
        begun, before = time.monotonic(), cpu_seconds(pid)
        for number in range(1, seconds + 1):
            _scrape(connection)
            time.sleep(max(0.0, begun + number - time.monotonic()))
        found["CPU a second, one scrape a second"] = 1000 * (cpu_seconds(pid) - before) / seconds
    found["memory, after the scrapes"] = resident_mib(pid)
    return found


def _scrape(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/metrics", headers=HEADERS)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.HTTPStatus.OK


def served(
    folder: Path, environment: dict[str, str], serves: int, seconds: int
) -> tuple[list[float], dict[str, float]]:
    """Return how long `serve` takes to be ready in ms, the first start not counted, and what it takes idle."""
    ready = []
    for number in range(serves + 1):
        with serving(folder, environment) as (server, port, took):
            if number:
                ready.append(took)
            if number == serves:
                return ready, idle(server.pid, port, seconds)
    raise AssertionError("the last start returns")


def described(values: list[float]) -> str:
    """Return minimum, median and maximum."""
    return f"{min(values):8.1f} {median(values):8.1f} {max(values):8.1f}"


def show(wall: Times, cpu: Times, ready: list[float], found: dict[str, float]) -> None:
    """Print the tables."""
    print(f"{'ms':36}{'wall min   median      max':>26}{'CPU min   median      max':>29}   wall / bare")
    for name in wall:
        ratio = median(wall[name]) / median(wall[BARE])
        print(f"{name:36}{described(wall[name])}   {described(cpu[name])}   {ratio:11.1f}")
    print(f"{'serve, ready after':36}{described(ready)}")
    for what, value in found.items():
        print(f"serve, {what}: {value:.2f} {'MiB' if 'memory' in what else 'ms'}")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--runs", type=int, default=15)
    arguments.add_argument("--serves", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with short_folder() as folder:
        database = folder / "packages.db"
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        environment = {**kept, "HOME": str(folder), "LANG": "C.UTF-8", "DATABASE_URL": f"sqlite:///{database}"}
        one_run([*program(), "demo", "--write", str(database)], folder, environment)
        wall, cpu = started(folder, environment, given.runs)
        ready, found = served(folder, environment, given.serves, given.seconds)
    show(wall, cpu, ready, found)
    if given.json:
        result = {"wall_ms": wall, "cpu_ms": cpu, "ready_ms": ready, "idle": found}
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
