"""Sockets that listen where the configuration says."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from exporter.errors import ListenError
from exporter.web.options import split_address

if TYPE_CHECKING:
    from collections.abc import Sequence

_BACKLOG = 128
_RESOLVE_SECONDS = 5.0
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What a host without IPv6 (or IPv4) says to an address of the other family of a name like localhost."""
_FORBIDDEN = (errno.EACCES, errno.EPERM)

Where = tuple[socket.AddressFamily, str]


async def listening_sockets(address: str) -> list[socket.socket]:
    """Return a listening socket for each address that `address` stands for; ListenError when there is none."""
    try:
        host, port = split_address(address)
        where = await _resolve(host, port)
    except (ValueError, OSError) as error:
        raise _refused(address, error) from None
    opened: list[socket.socket] = []
    absent: OSError | None = None
    for family, ip in where:
        try:
            # With port 0, all addresses of a name get the port that the first was given.
            opened.append(_open(family, ip, opened[0].getsockname()[1] if opened else port, dual=host is None))
        except OSError as error:
            if error.errno in _ABSENT:
                absent = error
                continue
            for each in opened:
                each.close()
            raise _refused(address, error) from None
        if host is None:
            break
    if not opened:
        raise _refused(address, absent)
    return opened


def url(listening: socket.socket, *, secure: bool) -> str:
    """Return the address of a socket as people open it."""
    ip, port = listening.getsockname()[:2]
    host = f"[{ip}]" if listening.family == socket.AF_INET6 else ip
    return f"{'https' if secure else 'http'}://{host}:{port}"


async def _resolve(host: str | None, port: int) -> Sequence[Where]:
    if host is None:
        # One socket of IPv6 takes both; the second is for hosts without IPv6.
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104 - `:port` asks for every interface
    async with asyncio.timeout(_RESOLVE_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    # IPv4 first: it is what people mean by localhost when they copy the first address.
    return sorted({(info[0], str(info[4][0])) for info in found}, key=lambda each: (each[0] != socket.AF_INET, each[1]))


def _open(family: socket.AddressFamily, ip: str, port: int, *, dual: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        opened.bind((ip, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _refused(address: str, error: Exception | None) -> ListenError:
    reason = str(getattr(error, "strerror", None) or error).lower()
    mend = "free the address or choose another with `listen`"
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError | socket.gaierror):
        reason = "its name was not resolved in time" if isinstance(error, TimeoutError) else "its name is not known"
        mend = "correct the name or give an IP address with `listen`"
    elif number in _ABSENT:
        reason = "this host does not have the address"
        mend = "give one of its own, or :port for all of them, with `listen`"
    elif number in _FORBIDDEN:
        reason = "this user may not take the port"
        mend = "choose one above 1023 with `listen`, or grant CAP_NET_BIND_SERVICE"
    return ListenError(address=address, reason=reason, mend=mend)
