"""Hosts are looked up in threads of each database's own: a name server that hangs costs only the sources behind it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from exporter.databases.urls import dialect_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy.engine import URL

LOOKUPS: Final = 2
"""Look-ups of one name that may hang at once: the system's resolver cannot be cut off."""


class Resolver:
    """Asks whether the host of a URL has an address, before a driver asks in the threads that all parts share.

    The answer itself is not used: the drivers need the name for TLS, and their own look-up follows at once.
    """

    def __init__(self, url: URL) -> None:
        self._host = None if dialect_of(url) == "sqlite" or not url.host or _is_address(url.host) else url.host
        self._threads: ThreadPoolExecutor | None = None
        self._hanging: set[Future[object]] = set()

    async def known(self) -> None:
        """Return once the name was looked up; OSError when it is not known, TimeoutError when look-ups hang."""
        if self._host is None:
            return
        self._hanging = {lookup for lookup in self._hanging if not lookup.done()}
        if len(self._hanging) >= LOOKUPS:
            raise TimeoutError(f"look-ups of {self._host} hang: the name server does not answer")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(LOOKUPS, "resolve")
        lookup: Future[object] = self._threads.submit(socket.getaddrinfo, self._host, None)
        self._hanging.add(lookup)
        await asyncio.wrap_future(lookup)

    def close(self) -> None:
        """Begin no look-up any more."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
