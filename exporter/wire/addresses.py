"""Numeric addresses: told from names without a resolver, in the order of trying, as the guard sees them."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.wire.call import Family


class Address(NamedTuple):
    """A numeric address to connect to. `scope` is the number of the interface of a link-local IPv6 address."""

    family: socket.AddressFamily
    host: str
    scope: int = 0

    def with_port(self, port: int) -> tuple[Any, ...]:
        """Return what the system's calls take."""
        return (self.host, port) if self.family == socket.AF_INET else (self.host, port, 0, self.scope)


@lru_cache(maxsize=16_384)
def numeric(host: str) -> Address | None:
    """Return the address that a text is; None for what must be looked up."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return Address(socket.AF_INET, str(found))
    zone = found.scope_id
    try:
        scope = 0 if zone is None else _interface(zone)
    except (OSError, OverflowError):
        return None
    return Address(socket.AF_INET6, str(ipaddress.IPv6Address(int(found))), scope)


def _interface(zone: str) -> int:
    return int(zone) if zone.isascii() and zone.isdecimal() else socket.if_nametoindex(zone)


@lru_cache(maxsize=16_384)
def guarded(host: str) -> str:
    """Return the address that a guard is asked about: an IPv4 address that IPv6 wraps is that IPv4 address."""
    if ":" not in host:
        return host
    found = ipaddress.IPv6Address(host.partition("%")[0])
    return str(found.ipv4_mapped or found)


def ordered(addresses: Iterable[Address], prefer: Family | None, *, fallback: bool) -> list[Address]:
    """Return the addresses in the order in which they are tried, each once.

    As blackbox_exporter's `preferred_ip_protocol` and `ip_protocol_fallback` have it: those of the preferred protocol
    come first, and without a fallback they are the only ones.
    """
    known = list(dict.fromkeys(addresses))
    if prefer is None:
        return known
    wanted = socket.AF_INET6 if prefer == "ip6" else socket.AF_INET
    preferred = [address for address in known if address.family == wanted]
    return preferred + [address for address in known if address.family != wanted] if fallback else preferred


def of_lookup(found: Iterable[tuple[Any, ...]]) -> tuple[Address, ...]:
    """Return the addresses among what `socket.getaddrinfo` returned."""
    return tuple(
        Address(family, where[0].partition("%")[0], where[3] if family == socket.AF_INET6 else 0)
        for family, _, _, _, where in found
        if family in {socket.AF_INET, socket.AF_INET6}
    )
