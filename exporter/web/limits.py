"""Bounds: how many connections and requests, how fast, how slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiohttp import hdrs

from exporter.web.problem import problem

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import StreamReader, web

    from exporter.model import Clock
    from exporter.web.web_config import Rate

CONNECTIONS = 512
"""Open connections of a listener; the rest are closed at once."""
WRITE_DEADLINE = 30.0
"""Seconds in which a client takes the whole of what was written for it, or it is cut."""
BODY_DEADLINE = 10.0
"""Seconds in which the body of a request has to be here."""
BODY_LIMIT = 64 * 1024
"""Bytes of a request's body: nothing that is served takes one, but the webhook."""
DELIVERY_LIMIT = 8 * 1024 * 1024
"""Bytes of a delivery of alerts: ten thousand of them are 6 MiB."""
ROOM = 8 * DELIVERY_LIMIT
"""Bytes of the deliveries that are in memory at once; read as JSON they take several times as many."""
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


class Bodies:
    """The bodies of deliveries that are here or on their way, over all listeners: in bytes, small ones are many."""

    def __init__(self, room: int = ROOM) -> None:
        self._free = room
        self._deadlines: set[asyncio.Timeout] = set()
        self._closed = False

    def place(self, request: web.Request) -> Place:
        """Return a place for the body of a request; what it takes is given back at the end of its `with`."""
        return Place(self, request)

    def close(self) -> None:
        """Refuse the bodies that are not whole, and those to come: aiohttp reads nothing more once it stops."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(now)

    def is_closed(self) -> bool:
        """Return whether nothing more is read."""
        return self._closed

    def take(self, size: int) -> bool:
        """Return whether there is room for so many bytes more, which are taken then."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        self._free += size

    async def whole(self, place: Place) -> bytes | web.Response:
        """Wait for the rest of a body; returns the refusal when it does not come in time."""
        if self.is_closed():
            return _closing(ending())
        deadline = asyncio.timeout(BODY_DEADLINE)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                return await place.collect()
        except TimeoutError:
            if self.is_closed():
                return _closing(ending())
            return _closing(problem(408, f"The body was not here within {BODY_DEADLINE:g} s.", code="body_too_slow"))
        finally:
            self._deadlines.discard(deadline)


class Place:
    """Where the body of one delivery is while it is read and worked on."""

    __slots__ = ("_announced", "_bodies", "_content", "_taken")

    def __init__(self, bodies: Bodies, request: web.Request) -> None:
        self._bodies = bodies
        self._announced: int | None = request.content_length
        self._content: StreamReader = request.content
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bodies.give(self._taken)

    async def read(self) -> bytes | web.Response:
        """Return the body, or the refusal when it is too large, too slow or one too many."""
        size = self._announced or 0
        if size > DELIVERY_LIMIT:
            return _too_large()
        if not self._take(size):
            return _full()
        # A small body mostly is here already, and then nothing is waited for.
        return await self.collect() if self._content.is_eof() else await self._bodies.whole(self)

    async def collect(self) -> bytes | web.Response:
        """Put the parts together as they come; a body of unknown length takes its room part by part."""
        parts, size = [], 0
        while part := await self._content.readany():
            size += len(part)
            if size > DELIVERY_LIMIT:
                return _too_large()
            if self._announced is None and not self._take(len(part)):
                return _full()
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, size: int) -> bool:
        if not self._bodies.take(size):
            return False
        self._taken += size
        return True


def ending() -> web.Response:
    """Return the refusal of what comes when this process ends; another one, or the next, will take it."""
    return problem(503, "Watchbridge is shutting down: send it again.", {hdrs.RETRY_AFTER: "1"}, code="shutting_down")


def _too_large() -> web.Response:
    return _closing(problem(413, f"The body is larger than {DELIVERY_LIMIT} bytes.", code="body_too_large"))


def _full() -> web.Response:
    detail = "Too many deliveries are being read: send it again."
    return _closing(problem(503, detail, {hdrs.RETRY_AFTER: "1"}, code="busy"))


def _closing(answer: web.Response) -> web.Response:
    answer.force_close()
    return answer
