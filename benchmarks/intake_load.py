"""The sender of `webhook_intake.py`, in a process of its own: deliveries of ten alerts over connections that are kept.

    python benchmarks/intake_load.py PORT TOKEN CONNECTIONS

Each line on standard input is a workload and seconds, for example `new 3`; the answer is one JSON object. `new` sends
alerts that nobody has seen, `again` sends the same few deliveries of each connection over and over, `first` sends
each of those once. Each line has connections of its own, as servers close idle ones. What is sent was made before but
for the numbers in it, so that little is spent here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALERTS = 10
REPEATED = 4
"""Deliveries of one connection that `again` repeats."""
ANSWER_SECONDS = 60.0
HOST = "127.0.0.1"
_NUMBER = "000000000000"
_HEAD = (
    "POST /api/v1/alerts HTTP/1.1\r\nHost: watchbridge\r\nUser-Agent: Alertmanager/0.27.0\r\n"
    "Content-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
)


def _delivery() -> bytes:
    """Return a payload as Alertmanager 0.27 sends it, with zeros where the number of each alert belongs."""
    common = {"alertname": "UserSyncFailed", "severity": "critical", "job": "identity-sync", "namespace": "identity"}
    alert = {
        "status": "firing",
        "labels": {**common, "instance": "sync-3.example.com:9090", "user_id": _NUMBER},
        "annotations": {
            "summary": f"The sync of user {_NUMBER} failed",
            "description": "The directory answered with an error three times in a row; see the runbook.",
        },
        "startsAt": "2026-01-31T12:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com:9090/graph?g0.expr=user_sync_failures+%3E+2&g0.tab=1",
        "fingerprint": f"abcd{_NUMBER}",
    }
    payload = {
        "receiver": "watchbridge",
        "status": "firing",
        "alerts": [alert] * ALERTS,
        "groupLabels": {"alertname": "UserSyncFailed"},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.com:9093",
        "version": "4",
        "groupKey": '{}:{alertname="UserSyncFailed"}',
        "truncatedAlerts": 0,
    }
    return json.dumps(payload).encode()


class Bodies:
    """Makes requests; each alert has a number that no other one has."""

    def __init__(self, token: str) -> None:
        body = _delivery()
        head = _HEAD.format(token=token, length=len(body)).encode()
        self._pieces = (head + body).split(_NUMBER.encode())
        self._each = (len(self._pieces) - 1) // ALERTS
        # Beginning with the time: a second generator does not send the alerts of the first one.
        self._numbers = itertools.count(time.time_ns() // 1_000_000 % 10**9 * 1000)

    def fresh(self) -> bytes:
        """Return a request whose alerts are new."""
        parts = [self._pieces[0]]
        left = iter(self._pieces[1:])
        for _ in range(ALERTS):
            number = b"%012d" % next(self._numbers)
            for _ in range(self._each):
                parts += (number, next(left))
        return b"".join(parts)


class Sender(asyncio.Protocol):
    """One connection: sends the next request when the answer to the last one is whole."""

    def __init__(self, load: Load, repeated: Sequence[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._left = iter(repeated) if load.what == "first" else itertools.cycle(repeated)
        self._begun = 0.0
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def send(self) -> None:
        """Send one request, if there is to be one more."""
        request = self._load.request(self._left)
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._begun = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note an answer that is whole, and go on; anything but 200 ends the measurement."""
        data = self._received + data
        head, found, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length):
            self._received = data
            return
        self._received = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(ConnectionError(f"{head[:200]!r} {body[:200]!r}"))
            return
        self._load.took.append(time.perf_counter() - self._begun)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the measurement, unless we closed it."""
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"a connection was lost: {exc}"))


class Load:
    """One workload over all connections, and what its answers took."""

    def __init__(self, bodies: Bodies, what: str) -> None:
        self.what = what
        self.took: list[float] = []
        self._bodies = bodies
        self._until = 0.0

    def request(self, repeated: Iterator[bytes]) -> bytes | None:
        """Return what a connection sends next, None for nothing more."""
        if self.what == "first":
            return next(repeated, None)
        if time.perf_counter() >= self._until:
            return None
        return self._bodies.fresh() if self.what == "new" else next(repeated)

    async def run(self, port: int, repeated: Sequence[Sequence[bytes]], seconds: float) -> dict[str, float]:
        """Connect, send the workload and return what it took."""
        connect = asyncio.get_running_loop().create_connection
        senders: list[Sender] = [
            (await connect(lambda those=those: Sender(self, those), HOST, port))[1] for those in repeated
        ]
        began, spent = time.perf_counter(), time.process_time()
        self._until = began + seconds
        for sender in senders:
            sender.send()
        async with asyncio.timeout(seconds + ANSWER_SECONDS):
            await asyncio.gather(*(sender.done for sender in senders))
        wall = time.perf_counter() - began
        took = sorted(self.took)
        return {
            "requests": len(took),
            "seconds": wall,
            "cpu": time.process_time() - spent,
            "p50": took[len(took) // 2],
            "p99": took[len(took) * 99 // 100],
            "longest": took[-1],
        }


def main(port: int, token: str, connections: int) -> None:
    """Do what each line says."""
    bodies = Bodies(token)
    repeated = [[bodies.fresh() for _ in range(REPEATED)] for _ in range(connections)]
    for line in sys.stdin:
        what, seconds = line.split()
        print(json.dumps(asyncio.run(Load(bodies, what).run(port, repeated, float(seconds)))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
