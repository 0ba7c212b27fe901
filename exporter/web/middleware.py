"""What every request passes before its handler, from the outside in: count, answer, guard, admit, body."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.web_exceptions import HTTPException

from exporter.web.auth import TooBusyError, credentials
from exporter.web.limits import TokenBucket, read_body
from exporter.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from exporter.model import Clock
    from exporter.web.access import WatchedAccess
    from exporter.web.auth import Users
    from exporter.web.logging_limit import Limited

logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})
"""Never asked for a user and never limited: an orchestrator that is refused here restarts us for nothing."""
ANONYMOUS_PATHS = OPEN_PATHS | {"/health", "/healthz"}
"""Never asked for a user: monitors that read a health document carry none. Limited, as they ask the store."""
VERIFIED = web.RequestKey("verified", str)
"""Who asks, when it is proven: `user:NAME` or `certificate`. Absent: nobody proved anything."""
DELIVERY = "delivery"
"""The name of the webhook's route. It decides by itself who may send and reads the body within its own bounds."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STRICT_TRANSPORT = "max-age=31536000"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Watchbridge", charset="UTF-8"'}
_DETAILS = {
    404: "Nothing is served at this path on this address.",
    405: "This path does not take this method.",
    413: "The body is too large.",
}


def is_delivery(request: web.Request) -> bool:
    """Return whether a request is answered by the webhook, as the router sees it and not by its path."""
    return request.match_info.route.name == DELIVERY


def counting(count: Callable[[int], None]) -> Middleware:
    """Return what tells the status of each answer of the webhook, once.

    A client that left while it sent was answered nothing; one that left while it waited, what it would have got.
    """

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if is_delivery(request):
            count(response.status)
        return response

    return tell


def answering(failures: Limited, clock: Clock) -> Middleware:
    """Return the last resort: whatever goes wrong inside becomes a problem, and is told once with its id."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = clock.monotonic()
        response = await _answer_anyway(request, handler, failures)
        if logger.isEnabledFor(logging.DEBUG):
            # The path alone: a query may hold what nobody should read later.
            facts = {"method": request.method, "path": request.path, "status": response.status}
            logger.debug("Answered", extra={"fields": {**facts, "seconds": round(clock.monotonic() - began, 6)}})
        return response

    return answer


async def _answer_anyway(request: web.Request, handler: Handler, failures: Limited) -> web.StreamResponse:
    try:
        return await handler(request)
    except HTTPException as error:
        kept = {str(name): error.headers[name] for name in (hdrs.ALLOW, hdrs.LOCATION) if name in error.headers}
        return problem(error.status, _DETAILS.get(error.status, "The request cannot be answered."), kept)
    except web.RequestPayloadError:
        return problem(400, "The body of the request is broken.")
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort; it is logged with its traceback
        request_id = secrets.token_hex(8)
        facts = {"request_id": request_id, "path": request.path, "kind": type(error).__name__}
        failures.error("A request could not be answered", facts, error)
        return problem(500, "Something went wrong here; the log tells more under this id.", request_id=request_id)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse methods nobody serves, compressed bodies, and browsers sent here by another site."""
    if request.method not in _METHODS and (refused := request.match_info.http_exception) is not None:
        raise refused  # the router's own, which knows what the path does take
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() not in ("identity", ""):
        return problem(415, "Send the body without a Content-Encoding.", {hdrs.ACCEPT_ENCODING: "identity"})
    if request.method not in _SAFE and _is_cross_site(request):
        return problem(403, "This request was sent by another site's page: send it from here or without a browser.")
    return await handler(request)


def admitting(access: WatchedAccess, users: Users, clock: Clock) -> Middleware:
    """Return what asks for a user (when the web configuration names any) and keeps to its rate limit."""
    bucket = TokenBucket(clock)

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        config = access.current().config
        is_for_webhook = is_delivery(request)
        if wait := bucket.take(config.rate):
            # Alertmanager gives up on 429, and tries again after any 5xx.
            status = 503 if is_for_webhook else 429
            return problem(status, "Too many requests: slow down.", {hdrs.RETRY_AFTER: str(int(wait) + 1)})
        if request.transport is not None and request.transport.get_extra_info("peercert"):
            request[VERIFIED] = "certificate"
        if config.users and not is_for_webhook and request.path not in ANONYMOUS_PATHS:
            given = credentials(request.headers.get(hdrs.AUTHORIZATION))
            try:
                if given is None or not await users.admit(config.users, *given):
                    return unauthorized("Give a user and a password of the web configuration.")
            except TooBusyError as error:
                return problem(503, str(error), {hdrs.RETRY_AFTER: "5"})
            request[VERIFIED] = f"user:{given[0]}"
        return await handler(request)

    return admit


@web.middleware
async def with_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have the whole body here, in bounds, before the handler begins."""
    if is_delivery(request):
        return await handler(request)
    return await read_body(request) or await handler(request)


def unauthorized(detail: str) -> web.Response:
    """Return the refusal of somebody unknown."""
    return problem(401, detail, _CHALLENGE)


def dressing(access: WatchedAccess) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what puts the security headers on every answer and takes the name of the server off."""

    async def dress(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.pop(hdrs.SERVER, None)
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if request.secure:
            response.headers.setdefault("Strict-Transport-Security", _STRICT_TRANSPORT)
        response.headers.update(access.current().config.headers)

    return dress


def _is_cross_site(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site", "none").lower() not in ("none", "same-origin"):
        return True
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    return (parts.scheme, parts.netloc.lower()) != (request.scheme, (request.host or "").lower())
