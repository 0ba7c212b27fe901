"""Measure a restart: from the sending of an alert until the program that restarts runs, and what it costs.

    python benchmarks/restart_latency.py [--rounds 5] [--services 40] [--json FILE]

In turn, one alert after the other: a server that runs the program inside the request (as prometheus-am-executor does:
nothing is stored, nothing is asked, nothing is verified), and `watchbridge serve` on SQLite (synchronous=FULL) and on
PostgreSQL: it stores the alert, takes the lease of the service under circuit, order, budget and fleet breaker, asks the
service's probe, starts the program, and verifies the service by its probe. The probe looks for the file that the
program makes. CPU is user plus system time of the server with its children, until the restart is verified; without
PostgreSQL's own. Needs Linux, and what `tests/install-servers` installs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from intake_contenders import durable_postgresql
from servers.program import CHECKOUT, Program
from servers.programs import HOST, Child, free_port, listening, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Contender:
    """A server that restarts: where alerts are sent to, and what each restart showed."""

    name: str
    pid: int
    port: int
    token: str
    folder: Path
    log: Path | None = None
    latencies: list[list[float]] = field(default_factory=list)
    costs: list[list[float]] = field(default_factory=list)

    def round(self, services: int, number: int) -> None:
        """Let each service be restarted once, one after the other."""
        latencies, costs = [], []
        for index in range(services):
            target = self.folder / f"s{index}"
            target.unlink(missing_ok=True)
            before, began = self.spent(), time.time()
            self.send(f"s{index}", f"{number}")
            latencies.append(wait_for(target) - began)
            if self.log is not None:
                self.wait_verified(number * services + index + 1)
            costs.append(self.spent() - before)
        self.latencies.append(latencies)
        self.costs.append(costs)

    def send(self, service: str, turn: str) -> None:
        """Send one alert that nobody has seen."""
        alert = {
            "status": "firing",
            "labels": {"alertname": "Down", "service": service, "turn": turn},
            "annotations": {},
            "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
        }
        body = {"version": "4", "groupKey": turn, "status": "firing", "receiver": "r", "alerts": [alert]}
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        url = f"http://{HOST}:{self.port}/api/v1/alerts"
        request = urllib.request.Request(url, json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 -- as above
            answer.read()

    def wait_verified(self, count: int) -> None:
        """Wait until so many restarts have been verified, as the log says."""
        until = time.monotonic() + PATIENCE
        assert self.log is not None
        while self.log.read_bytes().count(b"Successfully restarted and verified") < count:
            if time.monotonic() > until:
                sys.exit(f"{self.name}: a restart was not verified within {PATIENCE:g} s.")
            time.sleep(0.005)

    def spent(self) -> float:
        """Return the CPU seconds of the server and of its children that have ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS


def wait_for(path: Path) -> float:
    """Return when a file was there, in seconds since 1970."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if path.exists():  # the time of the file is that of the kernel's last tick, some milliseconds ago
            return time.time()
        time.sleep(0.0005)
    sys.exit(f"{path.name} was not restarted within {PATIENCE:g} s.")


@contextlib.contextmanager
def in_the_request(folder: Path) -> Iterator[Contender]:
    """Start the server that runs the program inside the request."""
    place, port = folder / "request", free_port()
    place.mkdir()
    child = Child([sys.executable, __file__, "serve", str(port), str(place)], folder / "request.log")
    try:
        child.wait_ready(lambda: listening(port))
        yield Contender("in the request", child.pid, port, "none", place)
    finally:
        child.end(signal.SIGKILL)


def serve(port: int, folder: str) -> None:
    """Run `touch` for the service of each alert, then answer."""
    import asyncio  # noqa: PLC0415 -- only the peer needs it

    from aiohttp import web  # noqa: PLC0415 -- as above

    async def take(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            argv = ("/usr/bin/touch", f"{folder}/{alert['labels']['service']}")
            await (await asyncio.create_subprocess_exec(*argv)).wait()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/api/v1/alerts", take)
    web.run_app(app, host=HOST, port=port, access_log=None, print=None)


@contextlib.contextmanager
def watchbridge(name: str, folder: Path, store: str, services: int) -> Iterator[Contender]:
    """Start `watchbridge serve` with so many services."""
    place, port, token = folder / name, free_port(), secrets.token_hex(16)
    place.mkdir()
    (place / "token").write_text(token, encoding="ascii")
    path = place / "watchbridge.yml"
    path.write_text(json.dumps(configuration(place, port, store, services)), encoding="utf-8")
    for one in (path, place / "token"):
        one.chmod(0o600)
    argv = [sys.executable, "-m", "exporter", "serve", "--config", str(path)]
    environment = {**os.environ, "HOME": str(place), "PYTHONPATH": str(CHECKOUT), "RUNTIME_DIRECTORY": str(place)}
    program = Program(argv, place, environment)
    try:
        program.wait_ready()
        yield Contender(f"watchbridge, {name}", program.pid, port, token, place, place / "output")
    finally:
        program.kill()


def configuration(place: Path, port: int, store: str, services: int) -> dict[str, Any]:
    """Return a configuration of services that are up when their file is there."""

    def one(name: str) -> dict[str, Any]:
        file = str(place / name)
        look = {"kind": "command", "argv": ["/usr/bin/test", "-e", file]}
        restart = {"kind": "command", "argv": ["/usr/bin/touch", file], "delay": "0s"}
        return {"group": "all", "probe": {**look, "every": "1h"}, "restart": restart}

    return {
        "mode": "auto",
        "listen": [{"address": f"{HOST}:{port}"}],
        "store": store,
        "alertmanager": {"bearer_token_file": str(place / "token")},
        "fleet_breaker": {"at_least": 1_000_000},
        "budgets": [{"scope": "service", "restarts": 1000, "per": "10m"}],
        "services": {f"s{index}": one(f"s{index}") for index in range(services)},
        "rules": [{"matchers": ['alertname="Down"'], "action": "restart", "service": "{service}"}],
    }


def described(values: list[float]) -> str:
    """Return minimum, median and maximum in milliseconds."""
    return " ".join(f"{1000 * one:8.1f}" for one in (min(values), median(values), max(values)))


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        server = stack.enter_context(durable_postgresql())
        contenders = [stack.enter_context(in_the_request(folder))]
        stores = {"SQLite": f"sqlite:///{folder}/state/watchbridge.db", "PostgreSQL": server.create_database()}
        for name, store in stores.items():
            contenders.append(stack.enter_context(watchbridge(name, folder, store, options.services)))
        for number in range(options.rounds):
            for contender in contenders[number % 3 :] + contenders[: number % 3]:
                contender.round(options.services, number)
    print("ms from sending to the program's run, medians of rounds; ms of CPU a restart (both min, median, max)")
    for one in contenders:
        waits, costs = [median(each) for each in one.latencies], [sum(each) / len(each) for each in one.costs]
        print(f"{one.name:24} {described(waits)}   {described(costs)}")
    if options.json:
        found = {one.name: {"latencies": one.latencies, "cpu": one.costs} for one in contenders}
        options.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
