"""Addresses of what is probed: a host and a port as people write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

EXAMPLES: Final = "write host:port, such as db.example:5432, or [2001:db8::1]:5432"
_HIGHEST: Final = 65535
# RFC 1035 2.3.4: a name has at most 253 characters in text. Letters of other scripts are left to IDNA; what splits a
# URL, an address or a line is not.
_NAME: Final = re.compile(r"[^\s\x00-\x20\x7f/@?#\[\]:%\\,;'\"<>]{1,253}")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Address:
    """A host, which is a name or a numeric address without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parsed(text: str) -> Address:
    """Return the address that "host:port" or "[v6]:port" names; ValueError says what is wrong and how to write it."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or host.endswith(":") or "]" in port:
        raise ValueError(f"{_shown(text)} has no port: {EXAMPLES}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not is_numeric(host) or ":" not in host:
            raise ValueError(f"{_shown(text)} has no IPv6 address between its brackets: {EXAMPLES}")
    elif ":" in host and "/" not in host:
        raise ValueError(f"{_shown(text)} is an IPv6 address without brackets: {EXAMPLES}")
    elif not _NAME.fullmatch(host):
        raise ValueError(f"{_shown(text)} is no address: {EXAMPLES}")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_HIGHEST)) and 1 <= int(port) <= _HIGHEST):
        raise ValueError(f"{_shown(text)} has no port from 1 to {_HIGHEST}: {EXAMPLES}")
    return Address(host, int(port))


def problem(text: str) -> str | None:
    """Return a sentence saying why a text is no address; None for a good one."""
    try:
        parsed(text)
    except ValueError as error:
        return str(error)
    return None


def is_numeric(host: str) -> bool:
    """Return whether a host is a numeric IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
