"""Bounds: how many connections and requests, how fast, how slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.web.problem import problem

if TYPE_CHECKING:
    from aiohttp import web

    from exporter.model import Clock
    from exporter.web.web_config import Rate

CONNECTIONS = 512
"""Open connections of a listener; the rest are closed at once."""
WRITE_DEADLINE = 30.0
"""Seconds in which a client takes the whole of what was written for it, or it is cut."""
BODY_DEADLINE = 10.0
"""Seconds in which the body of a request has to be here."""
BODY_LIMIT = 64 * 1024
"""Bytes of a request's body: nothing that is served takes one."""
SWEEP_EVERY = 1.0


class Connections:
    """The open connections of a listener, below TLS: their number, and since when each has bytes unsent."""

    def __init__(self, clock: Clock, limit: int, write_deadline: float) -> None:
        self._clock = clock
        self._limit = limit
        self._write_deadline = write_deadline
        self._unsent_since: dict[asyncio.Transport, float | None] = {}

    def __len__(self) -> int:
        return len(self._unsent_since)

    def take(self, transport: asyncio.Transport) -> bool:
        """Return whether there is room for one more."""
        if len(self) >= self._limit:
            self.sweep()
        if len(self) >= self._limit:
            return False
        self._unsent_since[transport] = None
        return True

    def sweep(self) -> None:
        """Forget what was closed, and cut who has not read for too long.

        This looks at the socket's own buffer, so it also ends what closing alone would not: a closed transport
        waits for ever for a client that never reads the last bytes.
        """
        now = self._clock.monotonic()
        for transport, since in list(self._unsent_since.items()):
            if transport.get_write_buffer_size() == 0:
                self._unsent_since[transport] = None
                if transport.is_closing():
                    del self._unsent_since[transport]
            elif since is None:
                self._unsent_since[transport] = now
            elif now - since >= self._write_deadline:
                transport.abort()

    def abort(self) -> None:
        """Cut all that are left."""
        for transport in list(self._unsent_since):
            transport.abort()
        self._unsent_since.clear()


class TokenBucket:
    """The rate limit of a web configuration; a changed limit begins with a full bucket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate: Rate | None = None
        self._tokens = 0.0
        self._at = 0.0

    def take(self, rate: Rate | None) -> float:
        """Return 0 when a request may pass, else the seconds until the next one may."""
        if rate is None:
            return 0.0
        now = self._clock.monotonic()
        if rate != self._rate:
            self._rate, self._tokens, self._at = rate, float(rate.burst), now
        self._tokens = min(float(rate.burst), self._tokens + (now - self._at) / rate.interval)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * rate.interval


async def read_body(request: web.Request) -> web.Response | None:
    """Read the body into the request within bounds; returns the refusal when it is too large or too slow."""
    if not request.can_read_body:
        return None
    if (request.content_length or 0) > BODY_LIMIT:
        return _closing(problem(413, f"The body is larger than {BODY_LIMIT} bytes."))
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            await request.read()
    except TimeoutError:
        return _closing(problem(408, f"The body was not here within {BODY_DEADLINE:g} s."))
    return None


def _closing(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer
