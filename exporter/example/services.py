"""A few servers on this machine that are up, degraded and down by themselves, and the services that watch them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

HOST: Final = "127.0.0.1"
REQUEST_SECONDS: Final = 5.0
"""How long a client may take to send its request."""
HEAD_LIMIT: Final = 16 * 1024

HEALTHY, DEGRADED, BROKEN = "healthy", "degraded", "broken"
CYCLES: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "website": ((HEALTHY, 60.0),),
    "shop": ((HEALTHY, 25.0), (DEGRADED, 15.0)),
    "payments": ((HEALTHY, 35.0), (BROKEN, 15.0), (HEALTHY, 20.0), (DEGRADED, 10.0)),
    "queue": ((HEALTHY, 40.0), (BROKEN, 10.0)),
}
"""What each service is and for how many seconds, again and again."""


def mood(service: str, elapsed: float) -> str:
    """Return what a service is so many seconds after the start."""
    cycle = CYCLES[service]
    left = elapsed % sum(seconds for _, seconds in cycle)
    for word, seconds in cycle:
        if left < seconds:
            return word
        left -= seconds
    return cycle[-1][0]


class Services:
    """The servers behind the demo's services."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._began = clock()
        self._web: asyncio.Server | None = None
        self._queue: asyncio.Server | None = None
        self._queue_port = 0

    async def start(self) -> None:
        """Listen on free ports of this machine."""
        self._web = await asyncio.start_server(self._answer, HOST, 0, limit=HEAD_LIMIT)
        self._queue = await asyncio.start_server(self._greet, HOST, 0)
        self._queue_port = _port(self._queue)

    async def keep_changing(self) -> None:
        """Let the queue come and go until cancelled; the web server answers by the time of each request."""
        while True:
            await asyncio.sleep(1.0)
            broken = mood("queue", self._clock() - self._began) == BROKEN
            if broken and self._queue is not None:
                self._queue.close()
                self._queue = None
            elif not broken and self._queue is None:
                with contextlib.suppress(OSError):  # somebody else has the port for the moment
                    self._queue = await asyncio.start_server(self._greet, HOST, self._queue_port)

    async def close(self) -> None:
        """Stop listening."""
        for server in (self._web, self._queue):
            if server is not None:
                server.close()

    def configuration(self) -> dict[str, Any]:
        """Return the part of a configuration that watches them."""
        if self._web is None:
            raise RuntimeError("start() comes first: the ports are not known before")
        port = _port(self._web)

        def web(name: str) -> dict[str, Any]:
            url = f"http://{HOST}:{port}/{name}/health"
            return {
                "group": "shop",
                "series": "full",
                "probe": {"kind": "http", "url": url, "every": "3s", "timeout": "2s"},
            }

        services: dict[str, Any] = {name: web(name) for name in ("website", "shop", "payments")}
        services["website"]["depends_on"] = ["shop", "payments"]
        address = f"{HOST}:{self._queue_port}"
        services["queue"] = {"probe": {"kind": "tcp", "address": address, "every": "3s", "timeout": "1s"}}
        # A window that comes every ten minutes shows what planned maintenance looks like.
        return {"services": services, "windows": [{"services": ["website"], "cron": "*/10 * * * *", "duration": "1m"}]}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.partition(b" ")[2].partition(b" ")[0]
                service = path.decode("ascii", "replace").strip("/").partition("/")[0]
                writer.write(self._response(service))
                await writer.drain()
        writer.close()

    def _response(self, service: str) -> bytes:
        word = mood(service, self._clock() - self._began) if service in CYCLES else BROKEN
        status = "503 Service Unavailable" if word == BROKEN else "200 OK"
        cache = {HEALTHY: "healthy", DEGRADED: "degraded", BROKEN: "unhealthy"}[word]
        document = {
            "status": "unhealthy" if word == BROKEN else "healthy",
            "checks": {"database": "healthy", "cache": cache},
        }
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body

    async def _greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
