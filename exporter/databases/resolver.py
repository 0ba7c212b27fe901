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
    """Asks whether a host of a URL has an address, before a driver asks in the threads that all parts share.

    The answer itself is not used: the drivers need the name for TLS, and their own look-up follows at once.
    """

    def __init__(self, url: URL) -> None:
        self._hosts = _hosts(url)
        self._threads: ThreadPoolExecutor | None = None
        self._hanging: set[Future[object]] = set()

    async def known(self) -> None:
        """Return once every name was looked up; OSError when none is known, TimeoutError when look-ups hang."""
        if not self._hosts:
            return
        self._hanging = {lookup for lookup in self._hanging if not lookup.done()}
        if len(self._hanging) >= LOOKUPS:
            raise TimeoutError(f"look-ups of {', '.join(self._hosts)} hang: the name server does not answer")
        if self._threads is None:
            self._threads = ThreadPoolExecutor(LOOKUPS, "resolve")
        lookup: Future[object] = self._threads.submit(_look_up, self._hosts)
        self._hanging.add(lookup)
        await asyncio.wrap_future(lookup)

    def close(self) -> None:
        """Begin no look-up any more."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _hosts(url: URL) -> tuple[str, ...]:
    """Return the hosts among which a driver looks one up, as asyncpg reads them; none where no name is among them."""
    dialect = dialect_of(url)
    if dialect == "sqlite" or (dialect == "mysql" and "unix_socket" in url.query):
        return ()
    if url.host and _is_address(url.host):
        return ()
    given = url.host or (url.query.get("host", "") if dialect == "postgresql" else "")
    text = given if isinstance(given, str) else given[-1]
    # A path, or an @ and a name, is a socket of this machine; a [ begins an address. A port may follow each.
    named = (one.partition(":")[0] for one in text.split(",") if not one.startswith(("/", "@", "[")))
    hosts = tuple(filter(None, named))
    return () if all(map(_is_address, hosts)) else hosts


def _look_up(hosts: tuple[str, ...]) -> None:
    """Look every name up, as the driver may; OSError when none has an address."""
    failed: list[OSError] = []
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
        except UnicodeError:  # a label that is empty, or too long for IDNA
            failed.append(socket.gaierror(socket.EAI_NONAME, "the name of its host is not one that can be looked up"))
        except OSError as error:
            failed.append(error)
    if len(failed) == len(hosts):
        raise failed[-1]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
