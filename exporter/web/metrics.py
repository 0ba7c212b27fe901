"""`/metrics`: how long the scrape may take, which collectors it asks, and how many run at once."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from exporter.errors import UnknownCollectorError
from exporter.web.problem import problem

if TYPE_CHECKING:
    from exporter.web.services import Services

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
OFFSET = 0.5
"""Seconds kept for the way back, as blackbox_exporter does."""
DEFAULT_TIMEOUT = 10.0
LOWEST_TIMEOUT, HIGHEST_TIMEOUT = 0.1, 120.0
IN_FLIGHT = 64
PIECE = 256 * 1024
"""Bytes that are handed to the transport at once."""
_OVERTIME = 0.4
"""Seconds after the scrape's own deadline at which Prometheus is told instead of kept waiting."""


def scrape_timeout(header: str | None, default: float = DEFAULT_TIMEOUT, offset: float = OFFSET) -> float:
    """Return the seconds a scrape may take; what is no positive number counts as left out, which gives `default`."""
    try:
        asked = float(header or "")
    except ValueError:
        return default
    if not math.isfinite(asked) or asked <= 0:
        return default
    return min(max(asked - offset, LOWEST_TIMEOUT), HIGHEST_TIMEOUT)


class Metrics:
    """Answers scrapes; beyond `IN_FLIGHT` at once it answers 503, so that a flood costs nothing but itself."""

    def __init__(self, services: Services, default: float = DEFAULT_TIMEOUT, offset: float = OFFSET) -> None:
        self._services = services
        self._default = default
        self._offset = offset
        self._running = 0

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer one scrape."""
        if self._running >= IN_FLIGHT:
            return problem(503, "Too many scrapes are running: try again.", {hdrs.RETRY_AFTER: "1"})
        self._running += 1
        try:
            return await self._scrape(request)
        finally:
            self._running -= 1

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        timeout = scrape_timeout(request.headers.get(TIMEOUT_HEADER), self._default, self._offset)
        names = frozenset(request.query.getall("collect[]", ())) or None
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, ())) or None
        encodings = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())) or None
        try:
            async with asyncio.timeout(timeout + _OVERTIME):
                answer = await self._services.scrape(names, timeout, accept, encodings)
        except UnknownCollectorError as error:
            return problem(400, str(error))
        except TimeoutError:
            return problem(503, f"The scrape did not end within {timeout:g} s.", {hdrs.RETRY_AFTER: "1"})
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: answer.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if answer.content_encoding:
            headers[hdrs.CONTENT_ENCODING] = answer.content_encoding
        if len(answer.body) <= PIECE or request.method != hdrs.METH_GET:
            return web.Response(body=answer.body, headers=headers)
        return await _in_pieces(request, answer.body, headers)


async def _in_pieces(request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    """Send a large body without ever copying it whole, as joining it to its head would: a fifth of a scrape's CPU."""
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    whole = memoryview(body)
    for start in range(0, len(body), PIECE):
        await response.write(whole[start : start + PIECE])
    await response.write_eof()
    return response
