"""`/probe`: a target with a module, or a service, is probed while the request waits, as blackbox_exporter does it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from exporter.web.metrics import HIGHEST_TIMEOUT, OFFSET, TIMEOUT_HEADER, scrape_timeout
from exporter.web.problem import problem
from exporter.web.services import ProbeRefusal, ProbeRequest

if TYPE_CHECKING:
    from exporter.web.services import Services

PATH = "/probe"
_OVERTIME = 2.0
"""Seconds after the longest probe at which Prometheus is told instead of kept waiting: a probe ends before."""


class Probe:
    """Answers requests for one probe each."""

    def __init__(self, services: Services, offset: float = OFFSET) -> None:
        self._services = services
        self._offset = offset

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        asked = request.headers.get(TIMEOUT_HEADER)
        query = request.query
        wanted = ProbeRequest(
            module=query.get("module"),
            target=query.get("target"),
            service=query.get("service"),
            client=query.get("client"),
            hostname=query.get("hostname"),
            debug=query.get("debug") == "true",
            timeout=scrape_timeout(asked, HIGHEST_TIMEOUT, self._offset) if asked else None,
            accept=",".join(request.headers.getall(hdrs.ACCEPT, ())) or None,
            accept_encoding=",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())) or None,
        )
        try:
            async with asyncio.timeout((wanted.timeout or HIGHEST_TIMEOUT) + _OVERTIME):
                answer = await self._services.probe(wanted)
        except TimeoutError:
            return problem(503, "The probe did not end in time.", {hdrs.RETRY_AFTER: "1"})
        if isinstance(answer, ProbeRefusal):
            return problem(answer.status, answer.detail, {hdrs.RETRY_AFTER: "1"} if answer.status == _BUSY else None)
        headers = {hdrs.CONTENT_TYPE: answer.content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if answer.content_encoding:
            headers[hdrs.CONTENT_ENCODING] = answer.content_encoding
        return web.Response(body=answer.body, headers=headers)


_BUSY = 503
