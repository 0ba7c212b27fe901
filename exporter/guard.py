"""Which addresses probes may connect to: some never, a free target of `/probe` only those that were allowed.

Nothing is looked up here. Names are let in by their words, addresses by what is connected to: whoever changes where a
name leads between two look-ups gains nothing, as each address is asked about just before it is used.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"

SCHEMES: Final = frozenset({"http", "https"})
"""The only schemes of a target that is a URL: no file, no gopher, no unix socket."""

_NETWORKS: Final = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("169.254.0.0/16", "is link-local, where clouds give credentials away"),
        ("fe80::/10", "is link-local"),
        ("100.100.100.200/32", "gives a cloud's credentials away"),  # Alibaba Cloud
        ("192.0.0.192/32", "gives a cloud's credentials away"),  # Oracle Cloud, classic
        ("fd00:ec2::254/128", "gives a cloud's credentials away"),  # Amazon EC2
        ("fd00:ec2::23/128", "gives a cloud's credentials away"),  # Amazon EKS Pod Identity
        ("fd20:ce::254/128", "gives a cloud's credentials away"),  # Google Compute Engine
        ("fd00:c1::a9fe:a9fe/128", "gives a cloud's credentials away"),  # Oracle Cloud
        ("255.255.255.255/32", "is broadcast"),
        ("0.0.0.0/8", "is no address of a host"),  # RFC 1122, section 3.2.1.3; Linux takes 0.0.0.0 for loopback
        ("::/128", "is no address of a host"),
        ("224.0.0.0/4", "is multicast"),
        ("ff00::/8", "is multicast"),
    )
)

_LOW_BITS: Final = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible, RFC 4291, section 2.5.5.1
        "::ffff:0:0/96",  # IPv4-mapped, the same section
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765, section 2.1
        "64:ff9b::/96",  # NAT64, RFC 6052, section 2.1
        "64:ff9b:1::/48",  # NAT64 of a network's own, RFC 8215
    )
)
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_6TO4: Final = IPv6Network("2002::/16")  # RFC 3056, section 2
_TEREDO: Final = IPv6Network("2001::/32")  # RFC 4380, section 4
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, section 6.1

_CONTROL: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_NAME: Final = 253


class MalformedTargetError(ValueError):
    """A target that nothing can be made of: the message says what was wanted."""


class RefusedTargetError(ValueError):
    """A target that is never connected to, however it is meant: the message says why."""


def host_of(target: str) -> str:
    """Return the host of a target as a name in lower case or a canonical address, without brackets and final dot.

    A target is a URL of http or https, `host:port`, `[address]:port`, or a host alone. MalformedTargetError and
    RefusedTargetError say why there is none: other spellings of an address (0xa9fea9fe, 2852039166, 0251.0376.1.1)
    are understood differently by different resolvers and are refused.
    """
    if not target or _CONTROL.search(target):
        raise MalformedTargetError("the target is empty, or holds a space or a control character: write it without")
    if "\\" in target:
        raise RefusedTargetError("a backslash in a target is read differently by different programs: leave it out")
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() not in SCHEMES:
        raise RefusedTargetError("only URLs of http and https are probed: write http://host/path or host:port")
    authority = re.split(r"[/?#]", rest if separator else target, maxsplit=1)[0]
    if "@" in authority:
        raise RefusedTargetError("a user or a password in a target is refused: name a module that holds it")
    return canonical(_host(authority))


def _host(authority: str) -> str:
    """Return the host of `host:port`, `[address]:port`, a bare IPv6 address or a host."""
    if authority.count(":") > 1 and not authority.startswith("["):
        return authority
    try:
        parts = urlsplit(f"//{authority}")
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise MalformedTargetError("the target has no proper host and port: write host:port or [::1]:port") from error
    if authority.startswith("[") and not isinstance(_address(host or ""), IPv6Address):
        raise MalformedTargetError("between brackets stands no IPv6 address: write [::1]:port")
    if not host:
        raise MalformedTargetError("the target has no host: write http://host/path or host:port")
    return host


def canonical(host: str) -> str:
    """Return a host in its one spelling; RefusedTargetError for what only looks like an address or a name."""
    found = _address(host)
    if found is not None:
        return str(found)
    name = host.lower().removesuffix(".")
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise RefusedTargetError("the host is no name that can be looked up: check its letters") from error
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise RefusedTargetError("the host is a number but no canonical address: write it as in 192.0.2.1")
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedTargetError("the host is no name that can be looked up: write letters, digits, hyphens and dots")
    return name


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=16_384)
def never(address: str) -> str | None:
    """Return why a numeric address is never connected to, whatever the configuration says; None when it may be."""
    found = _address(address)
    if found is None:
        return "is no numeric address"
    for one in (found, *_embedded(found)):
        for network, reason in _NETWORKS:
            if one in network:
                return reason if one == found else f"leads to {one}, which {reason}"
    return None


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address may lead to."""
    if isinstance(address, IPv4Address) or int(address) == 1:
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFF_FFFF)
    if any(address in network for network in _LOW_BITS):
        yield low
    if address in _NAT64_LOCAL:  # RFC 6052, section 2.2: bits 64 to 71 are not used
        packed = address.packed
        yield from (IPv4Address(packed[6:8] + packed[9:11]), IPv4Address(packed[7:8] + packed[9:12]))
        yield IPv4Address(packed[9:13])
    if address in _6TO4:
        yield IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if address in _TEREDO:
        yield from (IPv4Address((number >> 64) & 0xFFFF_FFFF), IPv4Address(~number & 0xFFFF_FFFF))
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield low


class Guard:
    """What `probing.allow` says: names, addresses and networks that a free target may be in."""

    def __init__(self, allow: tuple[str, ...]) -> None:
        """Take the entries: each a network, an address or a name. ValueError says which is none of them."""
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for entry in allow:
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError:
                self._names.add(canonical(entry))

    @staticmethod
    def never(address: str) -> str | None:
        """Return why a numeric address is never connected to; None when it may be."""
        return never(address)

    @staticmethod
    def configured(address: str) -> bool:
        """Return whether a probe of the configuration may connect to an address: loopback and private ones too."""
        return never(address) is None

    def free(self, address: str) -> bool:
        """Return whether a free target may lead to a numeric address by an allowed network."""
        if never(address) is not None:
            return False
        found = _address(address)
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return found is not None and any(found in network for network in self._networks)

    def names(self, host: str) -> bool:
        """Return whether a host that was asked for is an allowed name: any address that it leads to will do then."""
        try:
            return canonical(host) in self._names
        except RefusedTargetError:
            return False

    def lets(self, host: str, address: str) -> bool:
        """Return whether a connection to `host`, which led to `address`, may be made for a free target."""
        return self.free(address) or (self.names(host) and self.configured(address))

    def refusal(self, host: str) -> str | None:
        """Return why a free target with this host is refused before anything is looked up; None when it may go on.

        A name that is not in the list goes on where networks are allowed: the address that it leads to decides.
        """
        if _address(host) is not None:
            reason = never(host)
            if reason is not None:
                return f"{host} {reason}: it is never probed"
            return None if self.free(host) else _not_allowed(host)
        return None if self._networks or self.names(host) else _not_allowed(host)


def _not_allowed(host: str) -> str:
    return f"{host} is not in `probing: {{allow: [...]}}` of the configuration: add it there, or name a service instead"
