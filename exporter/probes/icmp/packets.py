"""Echo requests and their replies as bytes."""

from __future__ import annotations

import secrets
import socket
import struct
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 65535
"""Bytes of the longest packet."""
TYPES: Final = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""Echo request and echo reply (RFC 792, RFC 4443)."""

_HEADER: Final = struct.Struct("!BBHHH")
_IPV4: Final = 4
_IPV4_TTL: Final = 8
_IPV4_LEAST: Final = 20
_TOKEN: Final = 16
"""Bytes at the beginning of a payload by which a reply is known again."""


@dataclass(frozen=True, slots=True)
class Echo:
    """A request and what its reply must hold.

    `identifier` is None where the system puts a number of its own: it then keeps the replies to others away itself.
    """

    request: bytes
    reply_type: int
    identifier: int | None
    sequence: int
    payload: bytes

    @classmethod
    def made(cls, family: socket.AddressFamily, size: int, *, is_raw: bool) -> Echo:
        """Return a request with a random number, sequence and beginning of its payload."""
        asks, answers = TYPES[family]
        identifier, sequence = secrets.randbelow(1 << 16), secrets.randbelow(1 << 16)
        payload = (secrets.token_bytes(min(size, _TOKEN)) + b"\0" * size)[:size]
        bare = _HEADER.pack(asks, 0, 0, identifier, sequence) + payload
        # The system itself computes the checksum of ICMPv6, which covers its addresses.
        total = checksum(bare) if family == socket.AF_INET else 0
        request = _HEADER.pack(asks, 0, total, identifier, sequence) + payload
        known = identifier if is_raw else None
        return cls(request, answers, known, sequence, payload)

    def is_answered_by(self, message: bytes) -> bool:
        """Return whether a message is the reply to this very request."""
        if len(message) < _HEADER.size:
            return False
        kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
        return (
            (kind, code, sequence) == (self.reply_type, 0, self.sequence)
            and self.identifier in {None, identifier}
            and message[_HEADER.size :] == self.payload
        )


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def without_header(data: bytes) -> tuple[bytes, int | None]:
    """Return what an IPv4 packet carries and its time to live; the bytes as they are, and None, when it is none."""
    if len(data) < _IPV4_LEAST or data[0] >> 4 != _IPV4:
        return data, None
    return data[(data[0] & 15) * 4 :], data[_IPV4_TTL]
