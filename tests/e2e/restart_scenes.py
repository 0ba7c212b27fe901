"""A server that runs for itself, services that restarts mend, and who tells the installed program of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.bridge_scenes import Books, configuration
from e2e.service_scenes import base, metrics, series
from servers.alertmanager import alertmanager, webhook
from servers.deliveries import PATH, TOKEN
from servers.programs import HOST, Child, free_port, short_folder, until
from servers.restarting import RESTART

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servers.alertmanager import Alertmanager
    from servers.program import Program

DOWN: dict[str, Any] = {
    "groups": [
        {
            "name": "test",
            "rules": [
                {
                    "alert": "Down",
                    "expr": 'watchbridge_service_state{state="down"} == 1',
                    "labels": {"service": "{{ $labels.target }}"},
                }
            ],
        }
    ]
}
"""Prometheus' rule: each service that Watchbridge finds down is an alert that names it."""
PROMPT = ("--rules.alert.resend-delay=1s",)

_SERVER = f"""\
import http.server, os, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

server = http.server.ThreadingHTTPServer(("{HOST}", int(sys.argv[1])), Handler)
pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))
server.serve_forever()
"""


class RealServer:
    """An HTTP server as a process of its own that writes its number into a file; nothing else looks after it."""

    def __init__(self, folder: Path) -> None:
        self.pid_file = folder / "server.pid"
        self.log = folder / "server.log"
        port = free_port()
        self.url = f"http://{HOST}:{port}/"
        program = folder / "server.py"
        program.write_text(_SERVER)
        self.argv = [sys.executable, str(program), str(port), str(self.pid_file)]
        self._child = Child(self.argv, self.log)
        self._child.wait_ready(self.pid_file.exists)

    @property
    def pid(self) -> int:
        """Return the number of its process, as it is written."""
        return int(self.pid_file.read_text() or 0)

    def pids(self) -> list[int]:
        """Return the numbers of all processes that run with its command line."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if path.read_bytes().split(b"\0")[:-1] == [word.encode() for word in self.argv]:
                    found.append(int(path.parent.name))
        return found

    def hang(self) -> None:
        """Let it answer nobody any more, and take no notice of SIGTERM."""
        os.kill(self.pid, signal.SIGSTOP)

    def die(self) -> None:
        """Kill it as nobody would."""
        os.kill(self.pid, signal.SIGKILL)
        self._child.wait()

    def service(self) -> dict[str, Any]:
        """Return its entry below `services`."""
        return {
            "probe": {"kind": "http", "url": self.url, "every": "1s", "timeout": "1s"},
            "restart": {
                "kind": "process",
                "argv": self.argv,
                "pid_file": str(self.pid_file),
                "log": str(self.log),
                "stop_timeout": "200ms",
                "delay": "0s",
                "verify_timeout": "8s",
            },
        }

    def close(self) -> None:
        """End it, whoever started it."""
        self._child.end(signal.SIGKILL)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def restarting(folder: Path, services: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a configuration that restarts services for alerts that name them."""
    return configuration(folder, rules=[RESTART], queues={}, services=dict(services), **more)


def environment(folder: Path) -> dict[str, str]:
    """Return variables with which a program keeps its fences in a folder of the test."""
    return {"RUNTIME_DIRECTORY": str(folder / "run")}


@contextlib.contextmanager
def teller(program: Program, **route: Any) -> Iterator[Alertmanager]:
    """Give an Alertmanager that tells the program of alerts at once."""
    with short_folder() as folder, alertmanager(folder, webhook(base(program) + PATH, token=TOKEN, **route)) as one:
        yield one


def watched(prometheus: Any, program: Program, sender: Alertmanager, folder: Path) -> Any:
    """Start a Prometheus that scrapes the program, and tells a sender of each service that is down."""
    rules = folder / "rules.yml"
    rules.write_text(json.dumps(DOWN))
    return prometheus(program.url, rule_files=[rules], alertmanagers=[sender.url], arguments=PROMPT)


def told_well(sender: Alertmanager, **labels: str) -> None:
    """Tell a sender that an alert of these labels is over."""
    for one in sender.alerts():
        if labels.items() <= one["labels"].items():
            now = datetime.now(UTC).isoformat()
            sender.post({"labels": one["labels"], "startsAt": one["startsAt"], "endsAt": now})


def circuit(program: Program, service: str) -> str:
    """Return the state of a circuit by the metrics."""
    found = series(metrics(program))
    key = 'watchbridge_circuit_state{{circuit="{}",group="",state="{}"}}'
    (state,) = (word for word in ("closed", "open", "half_open") if found[key.format(service, word)])
    return state


def opened(program: Program, service: str) -> int:
    """Return how often a circuit has opened, by the metrics."""
    return int(series(metrics(program))[f'watchbridge_circuit_opened_total{{circuit="{service}",group=""}}'])


def over(books: Books, seconds: float = 30) -> None:
    """Wait until no restart is left to do."""
    query = "SELECT count(*) FROM backlog_items WHERE queue = 'restarts' AND state NOT IN ('done', 'cancelled', 'dead')"
    until(lambda: books.number(query) == 0, seconds, "every restart to be over")


def details(books: Books, service: str) -> list[tuple[str, ...]]:
    """Return of each attempt to restart a service whether it acted, was verified, and what is said of it."""
    query = f"SELECT acted, verified, detail FROM service_restarts WHERE service = '{service}' ORDER BY began_at"
    return books.rows(query)
