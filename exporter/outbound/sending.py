"""One request, sent once, within one deadline: always an outcome, never an exception but a cancellation."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from exporter.model import GiveUp, Outcome, Retry
from exporter.outbound.requests import READ, Answer, Request, judged
from exporter.wire import Wire
from exporter.wire.call import WireError
from exporter.wire.tls import TlsOptions, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.model import ActionParts, RestartParts

BODY_SECONDS: Final = 2.0
"""Seconds for which an answer's body is read: what the code says holds without it."""


class RefusedAddressError(Exception):
    """A name leads to nothing that may be connected to; the message is a sentence."""


async def sent(request: Request, parts: ActionParts, timeout: float) -> Outcome:
    """Send a request and return what its answer means, or why there is none, within `timeout` seconds."""
    answer = await asked(request, parts, timeout, body_seconds=BODY_SECONDS)
    return judged(request, answer, parts.clock.time()) if isinstance(answer, Answer) else answer


async def asked(
    request: Request,
    parts: ActionParts | RestartParts,
    timeout: float,
    *,
    limit: int = READ,
    body_seconds: float | None = None,
) -> Answer | Retry | GiveUp:
    """Send a request and return its answer, or why there is none, within `timeout` seconds.

    At most `limit` bytes of the answer's body are read, for at most `body_seconds` seconds where that is said: what
    did not come by then, or was broken off, leaves the answer without `whole`.
    """
    heard: list[Answer] = []
    try:
        async with asyncio.timeout(timeout):
            await _exchange(request, parts, timeout, heard, limit=limit, body_seconds=body_seconds)
    except RefusedAddressError as error:
        return GiveUp(str(error))
    except TimeoutError:
        if not heard:
            return Retry(f"{request.where} did not answer within {timeout:g} s")
    except (aiohttp.ClientError, OSError, WireError, ValueError, asyncio.IncompleteReadError) as error:
        if not heard:
            return Retry(f"{request.where} {_trouble(error)}")
    return heard[0]


async def _exchange(
    request: Request,
    parts: ActionParts | RestartParts,
    timeout: float,
    heard: list[Answer],
    *,
    limit: int,
    body_seconds: float | None,
) -> None:
    """Send the request; the answer is put into `heard` as soon as its head is here."""
    async with _answering(request, parts, timeout) as response:
        answer = Answer(response.status, response.headers.get("Retry-After"))
        heard.append(answer)
        with suppress(TimeoutError):
            async with asyncio.timeout(body_seconds):
                while len(answer.body) <= limit:
                    # One byte more than the bound tells a body that ends there from one that goes on.
                    chunk = await response.content.read(limit + 1 - len(answer.body))
                    if not chunk:
                        answer.whole = True
                        break
                    answer.body += chunk
        del answer.body[limit:]
        response.close()  # an endless body is not read to its end


@asynccontextmanager
async def _answering(
    request: Request, parts: ActionParts | RestartParts, timeout: float
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send the request and give the answer, of which the head is here."""
    async with (
        aiohttp.ClientSession(
            connector=await _connector(request, parts, timeout),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        ) as session,
        session.request(
            request.method,
            URL(request.url.whole, encoded=True),
            headers=request.wire_headers(),
            data=request.body,
            allow_redirects=False,
        ) as response,
    ):
        yield response


async def _connector(request: Request, parts: ActionParts | RestartParts, timeout: float) -> aiohttp.BaseConnector:
    """Return what connects: to a unix socket, or to the addresses that may be connected to."""
    if request.socket is not None:
        return aiohttp.UnixConnector(path=str(request.socket), force_close=True)
    addresses = await _permitted(request.url.host, parts, timeout)
    context: Any = True
    if request.url.scheme == "https":
        # Authorities are read from files: hundreds, where they are the system's.
        context = await asyncio.to_thread(client_context, TlsOptions(ca_file=request.ca_file))
    return aiohttp.TCPConnector(resolver=_Known(addresses), ssl=context, force_close=True, use_dns_cache=False)


async def _permitted(host: str, parts: ActionParts | RestartParts, timeout: float) -> tuple[str, ...]:
    """Return the numeric addresses that a host leads to and that may be connected to."""
    found = await _wire().resolve(host, None, True, timeout)  # noqa: FBT003 - the second argument, of three
    permitted = tuple(address for address in found if parts.permits(address))
    if not permitted:
        leads = host if found == (host,) else f"{host}, which leads to {', '.join(found[:4])},"
        raise RefusedAddressError(f"nothing is sent to {leads} as nothing may connect there: configure another URL")
    return permitted


@cache
def _wire() -> Wire:
    """Return who looks names up: in few threads of its own, where a name server that hangs holds up nothing else."""
    return Wire()


class _Known(AbstractResolver):
    """Gives aiohttp the addresses that were judged, so that what it connects to is what was judged."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily | int = 0) -> list[ResolveResult]:
        del family
        return [_result(host, address, port) for address in self._addresses]

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _trouble(error: Exception) -> str:
    """Say what went wrong in our own words; a server's may hold what was sent to it."""
    if isinstance(error, WireError | ValueError) and not isinstance(error, aiohttp.ClientError | ssl.SSLError):
        return f"could not be asked: {error}"
    sentences: tuple[tuple[type[BaseException], str], ...] = (
        (
            aiohttp.ClientConnectorCertificateError,
            "has a certificate that is not trusted: check its name, or `ca_file`",
        ),
        (aiohttp.ClientSSLError, "does not speak TLS here: check the URL's scheme and port"),
        (ssl.SSLError, "does not speak TLS here: check the URL's scheme and port"),
        (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
        (aiohttp.ClientResponseError, "answered with something that is no HTTP"),
        (aiohttp.ClientPayloadError, "broke its answer off"),
    )
    for kind, sentence in sentences:
        if isinstance(error, kind):
            return sentence
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number).lower() if number and number > 0 else type(error).__name__
    what = "could not be reached" if isinstance(error, aiohttp.ClientConnectorError) else "broke the connection off"
    return f"{what} ({reason})"
