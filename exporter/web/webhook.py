"""`POST /api/v1/alerts`: Alertmanager's webhook. Who may send, within which bounds, and how it is answered.

Alertmanager tries again after any 5xx and gives up on everything else: what may work later is 503, never 429.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from exporter.web.access import identifies
from exporter.web.auth import TooBusyError, credentials, is_token
from exporter.web.limits import DELIVERY_LIMIT, ending
from exporter.web.logging_limit import Limited
from exporter.web.middleware import VERIFIED
from exporter.web.problem import problem

if TYPE_CHECKING:
    from exporter.web.access import WatchedAccess
    from exporter.web.auth import Users
    from exporter.web.limits import Bodies
    from exporter.web.services import Receipt, Services
    from exporter.web.web_config import WebConfig

logger = logging.getLogger(__name__)

PATH = "/api/v1/alerts"
TOKEN = "token"  # noqa: S105 - the word for a sender who gave the token, not one
"""Who sends, when it is proven by the bearer token of the configuration."""

# Numbers alone: written out, it takes a seventh of what json takes for each of thousands a second.
_SUCCESS = (
    b'{"status": "success", "accepted": %d, "duplicates": %d, "late": %d, "quarantined": %d, "refused": %d, '
    b'"truncated": %d}\n'
)
_CHARSETS = ("utf-8", "utf8")
_UNCONFIGURED = (
    "Nobody can prove that they may send alerts here: set alertmanager.bearer_token_file in the configuration, and "
    "the same token as `authorization` in the http_config of Alertmanager's webhook."
)


class Webhook:
    """Answers deliveries of alerts: 200 means that what was accepted is on the disk."""

    def __init__(self, services: Services, access: WatchedAccess, users: Users, bodies: Bodies) -> None:
        self._services = services
        self._access = access
        self._users = users
        self._bodies = bodies
        self._complaints = Limited(logger, services.clock)

    async def post(self, request: web.Request) -> web.Response:
        """Take one delivery: who sends is asked before anything of the body is read."""
        if self._is_ending():
            return ending()
        sender = await self._sender(request)
        if isinstance(sender, web.Response):
            return sender
        if (request.charset or "utf-8").lower() not in _CHARSETS:
            return problem(415, "Send JSON in UTF-8.", code="unsupported_charset")
        with self._bodies.place(request) as place:
            body = await place.read()
            if isinstance(body, web.Response):
                return body
            if self._is_ending():
                return ending()
            return _answer(await self._services.receive(body, sender))

    def _is_ending(self) -> bool:
        return self._services.stopping

    async def _sender(self, request: web.Request) -> str | web.Response:
        """Return who sends, when it is proven, else the refusal."""
        proven: str | None = request.get(VERIFIED)
        if proven is not None:
            return proven
        config, secret = self._access.current().config, self._services.webhook_secret
        header = request.headers.get(hdrs.AUTHORIZATION)
        if secret is not None and is_token(header, secret):
            return TOKEN
        given = credentials(header)
        if config.users and given is not None:
            try:
                if await self._users.admit(config.users, *given):
                    return f"user:{given[0]}"
            except TooBusyError as error:
                return problem(503, str(error), {hdrs.RETRY_AFTER: "5"}, code="busy")
        # Neither the token nor the user's name is told: somebody may have mixed up the fields.
        scheme = "none" if header is None else "basic" if given is not None else "other"
        self._complaints.warning("A delivery of alerts was refused", {"client": request.remote, "credential": scheme})
        return _unauthorized(config, has_token=bool(secret))


async def expect(request: web.Request) -> None:
    """Let a client that waits for it send its body, unless that is refused anyway; other expectations are not met.

    RFC 9110 10.1.1 allows to go on with an expectation that is unknown, and then the answer is told as any other.
    """
    is_asked = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if is_asked and (request.content_length or 0) <= DELIVERY_LIMIT:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer itself has not begun.
        request.writer.output_size = 0


def _answer(receipt: Receipt) -> web.Response:
    if receipt.problem is None:
        counts = (receipt.accepted, receipt.duplicates, receipt.late)
        body = _SUCCESS % (*counts, receipt.quarantined, receipt.refused, receipt.truncated)
        return web.Response(body=body, content_type="application/json")
    status, word, sentence = receipt.problem
    headers: dict[str, str] = {}
    if status == _UNAVAILABLE:
        headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(receipt.retry_after)))
    return problem(status, sentence, headers, code=word)


def _unauthorized(config: WebConfig, *, has_token: bool) -> web.Response:
    ways = [
        *(["the bearer token of alertmanager.bearer_token"] if has_token else []),
        *(["a user and a password of the web configuration"] if config.users else []),
    ]
    if ways:
        detail = f"Give {', or '.join(ways)}."
    elif identifies(config):
        detail = "Give a client certificate that the web configuration trusts."
    else:
        detail = _UNCONFIGURED
    answer = problem(401, detail, {hdrs.WWW_AUTHENTICATE: 'Bearer realm="Watchbridge"'}, code="unauthorized")
    if config.users:
        answer.headers.add(hdrs.WWW_AUTHENTICATE, 'Basic realm="Watchbridge", charset="UTF-8"')
    return answer


_UNAVAILABLE = 503
