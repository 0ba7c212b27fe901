"""Services on targets of our own, what the installed program says of them, and who watches its counters."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from servers.programs import HOST, MissingProgramError, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servers.program import Program, Watchbridge

STATES = ("up", "degraded", "down", "maintenance", "unknown")
COUNTERS = ("watchbridge_probe_runs_total", "watchbridge_uptime_seconds_total")
_SERIES = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$", re.MULTILINE)


def web(url: str, **more: Any) -> dict[str, Any]:
    """Return a service that is probed by HTTP each second."""
    probe = {"kind": "http", "url": url, "every": "1s", "timeout": "1s", **more.pop("probe", {})}
    return {"probe": probe, **more}


def configuration(
    folder: Path, services: Mapping[str, Any], *, store: str | Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Return a configuration that watches services, on a free port, with a store in `folder` or where `store` says."""
    return {
        "listen": [{"address": f"{HOST}:{free_port()}", "serve": ["metrics"]}],
        "store": store or f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "services": dict(services),
        **more,
    }


def base(program: Program) -> str:
    """Return the URL of the program's first listener."""
    return program.url.rstrip("/").removesuffix("/metrics")


def get(url: str, seconds: float = 15) -> tuple[int, str]:
    """Return the status and body of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metrics(program: Program) -> str:
    """Return the text of its metrics."""
    status, text = get(f"{base(program)}/metrics")
    assert status == 200, text
    return text


def series(text: str) -> dict[str, float]:
    """Return the values of an exposition by name and labels, as they are written."""
    return {f"{name}{labels}": float(value) for name, labels, value in _SERIES.findall(text)}


def state(text: str, target: str) -> str | None:
    """Return the state of a service by an exposition; None where it is not shown."""
    labels = rf'client="[^"]*",target="{re.escape(target)}",state="(\w+)"'
    found = re.findall(rf"watchbridge_service_state\{{{labels}\}} 1\b", text)
    assert len(found) <= 1, found
    return found[0] if found else None


def runs(text: str, target: str | None = None) -> float:
    """Return the counted runs of a service, or of all."""
    wanted = f'target="{target}"' if target else ""
    return sum(
        value for key, value in series(text).items() if key.startswith("watchbridge_probe_runs_total") and wanted in key
    )


def uptime(text: str, target: str) -> dict[str, float]:
    """Return the seconds of a service by state."""
    labels = rf'client="[^"]*",target="{re.escape(target)}",state="(\w+)"'
    found = re.findall(rf"watchbridge_uptime_seconds_total\{{{labels}\}} (\S+)", text)
    return {word: float(value) for word, value in found}


def wait_state(program: Program, target: str, wanted: str | None, seconds: float = 15) -> str:
    """Wait until a service is in a state (None: is not shown) and return the metrics that say so."""

    def look() -> str | None:
        text = metrics(program)
        return text if state(text, target) == wanted else None

    return until(look, seconds, f"{target} {wanted}")


def ready(program: Program) -> tuple[int, str]:
    """Return what readiness says."""
    return get(f"{base(program)}/-/ready")


def asked(watchbridge: Watchbridge, *words: str, codes: Sequence[int] = (0,)) -> Any:
    """Return the JSON that `watchbridge services WORDS` prints for the configuration in force."""
    path = watchbridge.folder / "watchbridge.yml"
    done = watchbridge.run("services", *words, "--config", str(path), "--output", "json")
    assert done.returncode in codes, done.stderr
    return json.loads(done.stdout)


def faked(**settings: str) -> dict[str, str]:
    """Return the environment in which a program has another wall clock, by libfaketime's settings."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found and os.environ.get("WATCHBRIDGE_TESTS_SKIP_SERVERS") == "1":
        pytest.skip("libfaketime is not installed")
    if not found:
        raise MissingProgramError("libfaketime is not installed: run tests/install-servers, or install faketime.")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **settings}


class Scrapes:
    """Scrapes again and again in the background, as long as the block lasts, and notes every counter that falls.

    `urls` names the programs of now; of several the highest value counts. One that does not answer is left out.
    """

    def __init__(self, urls: Callable[[], Sequence[str]], every: float = 0.05) -> None:
        self.falls: list[str] = []
        self.rises: dict[str, float] = {}
        self.highest: dict[str, float] = {}
        self.answered = 0
        self._urls = urls
        self._every = every
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrapes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._every):
            self._once()

    def _once(self) -> None:
        found: dict[str, float] = {}
        for url in self._urls():
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, text = get(f"{url.rstrip('/').removesuffix('/metrics')}/metrics", 5)
                if status != 200:
                    continue
                self.answered += 1
                for key, value in series(text).items():
                    if key.startswith(COUNTERS):
                        found[key] = max(value, found.get(key, value))
        for key, value in found.items():
            before = self.highest.get(key)
            if before is not None and value < before:
                self.falls.append(f"{key}: {before!r} to {value!r}, scrape {self.answered}")
            if before is not None:
                self.rises[key] = max(self.rises.get(key, 0.0), value - before)
            self.highest[key] = value

    def leaps(self, word: str, most: float) -> list[str]:
        """Return the counters with this in their labels that grew by more than `most` between two scrapes."""
        return [f"{key}: by {by}" for key, by in self.rises.items() if word in key and by > most]
