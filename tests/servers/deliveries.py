"""Deliveries as Alertmanager's webhook makes them, and a sender that writes a history of what it was told."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PATH = "/api/v1/alerts"
TOKEN = "a-token-of-tests-0123456789abcdef"
"""The credential of the senders of tests."""
ANSWER_SECONDS = 30.0
"""Longer than Watchbridge may take over anything: to wait for so long is a failure of its own."""
AGAIN_SECONDS = 0.05
STOP_SECONDS = 60.0


def alert(fingerprint: str, status: str = "firing", *, starts_at: float = 0.0, **labels: str) -> dict[str, Any]:
    """Return an alert of a payload; it began now unless `starts_at` (seconds since 1970) says otherwise."""
    began = datetime.fromtimestamp(starts_at or time.time(), UTC).isoformat()
    return {
        "status": status,
        "labels": {"alertname": "Broken", "n": fingerprint, **labels},
        "annotations": {"summary": f"{fingerprint} is broken"},
        "startsAt": began,
        "endsAt": datetime.now(UTC).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=broken",
        "fingerprint": fingerprint,
    }


def payload(alerts: Sequence[dict[str, Any]], *, truncated: int = 0, receiver: str = "hook") -> bytes:
    """Return the body of a delivery."""
    firing = any(one["status"] == "firing" for one in alerts)
    body = {
        "version": "4",
        "groupKey": '{}:{alertname="Broken"}',
        "truncatedAlerts": truncated,
        "status": "firing" if firing else "resolved",
        "receiver": receiver,
        "groupLabels": {"alertname": "Broken"},
        "commonLabels": {"alertname": "Broken"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    }
    return json.dumps(body).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a delivery."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def said(self) -> Any:
        """Return what its body says."""
        return json.loads(self.body)


def post(url: str, body: bytes, *, token: str = TOKEN, seconds: float = ANSWER_SECONDS) -> Answer:
    """Deliver a body and return the answer; OSError or HTTPException where there is none."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        return Answer(
            answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        )


class History:
    """A file with a line for each alert that was sent and each that was acknowledged, on the sender's side.

    It is read back from the file: what the checker knows is what was written down before and after each request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.touch()

    def note(self, word: str, numbers: Sequence[str]) -> None:
        """Write that alerts were `sent` or `acked`."""
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{word} {number}\n" for number in numbers)

    def of(self, word: str) -> set[str]:
        """Return the alerts of which a word was written."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return {line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")}


class Sender:
    """Delivers as fast as it is answered, in several threads, until the block ends.

    As Alertmanager does, what is answered by 5xx or not at all is sent again, as it was, until it is acknowledged.

    Attributes:
        statuses: how often each status was the answer.
        refusals: how often each sentence was the reason of a 503.
        failures: how often there was no answer, by the class of the error.
        unexpected: answers of other statuses, and refusals that do not say when to come again.

    """

    _senders = itertools.count()

    def __init__(self, url: str, history: History, *, threads: int = 4, alerts: int = 5) -> None:
        self.url = url
        self.history = history
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._name = f"s{next(self._senders)}"
        self._alerts = alerts
        self._numbers = itertools.count()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name="sender", daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def acked(self) -> int:
        """Return how many deliveries were acknowledged by now."""
        return self.statuses[200]

    def _run(self) -> None:
        while not self._ending.is_set():
            with self._lock:
                numbers = [f"{self._name}-{next(self._numbers)}" for _ in range(self._alerts)]
            body = payload([alert(number) for number in numbers])
            self.history.note("sent", numbers)
            while not self._deliver(body, numbers) and not self._ending.wait(AGAIN_SECONDS):
                pass

    def _deliver(self, body: bytes, numbers: Sequence[str]) -> bool:
        try:
            answer = post(self.url, body)
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.failures[type(error).__name__] += 1
            return False
        if answer.status == 200:
            self.history.note("acked", numbers)
        elif answer.status != 503 or "retry-after" not in answer.headers:
            self.unexpected.append(f"{answer.status} {answer.headers} {answer.body}")
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 503:
                self.refusals[answer.said["detail"]] += 1
        return answer.status == 200
