"""One connection as aiohttp serves it, with our own words for requests that are no HTTP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exporter.web.problem import problem

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from exporter.web.logging_limit import Limited

logger = logging.getLogger(__name__)

KEEPALIVE = 15.0
"""Seconds for an idle connection and for the whole head of a request, however it drips in."""
_LINGER = 2.0
_TOO_LARGE = frozenset({"LineTooLong"})


class Connection(web.RequestHandler):  # type: ignore[type-arg,unused-ignore]
    """Answers malformed requests with a problem and logs them without their text, at a bounded rate."""

    __slots__ = ("_complaints",)

    def __init__(self, server: web.Server, loop: AbstractEventLoop, complaints: Limited) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE,
            lingering_time=_LINGER,
            access_log=None,  # type: ignore[arg-type]  # None is what switches it off
            logger=logger,
            auto_decompress=False,
        )
        self._complaints = complaints

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what could not be parsed; its text may hold anything, so it is not repeated."""
        del message
        kind = type(exc).__name__
        self._complaints.warning("A request could not be read", {"client": request.remote, "kind": kind})
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, no other can be sent")
        status = 431 if kind in _TOO_LARGE else status
        answer = Refusal(problem(status, "The request is no HTTP that this server takes."))
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - aiohttp's signature
        """Log what aiohttp would log with a traceback for each request as one line in a while."""
        self._complaints.warning("A connection failed", {"kind": type(kw.get("exc_info")).__name__})


class Refusal(web.Response):
    """A response outside of any application, where no signal takes the `Server` header off."""

    def __init__(self, like: web.Response) -> None:
        super().__init__(status=like.status, body=like.body, content_type=like.content_type)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop("Server", None)
