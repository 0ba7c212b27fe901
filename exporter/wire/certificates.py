"""When certificates end, read from their DER without a library and remembered, and what a handshake showed."""

from __future__ import annotations

import calendar
import hashlib
import ssl
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from exporter.wire.call import TlsFacts

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_CHAIN: Final = -62_135_596_800.0
"""What blackbox_exporter shows as the expiry of a chain that nobody verified: the year 1, in seconds since 1970."""
REMEMBERED: Final = 4096
"""Certificates whose end is remembered, at about 2 KiB each."""
LARGE: Final = 8192
"""Bytes from which on a certificate is not remembered: a server may show another one of 100 KiB each time."""

_VERSIONS: Final = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
_DER: Final = 2  # what OpenSSL's binding in Python 3.11 and 3.12 calls ENCODING_DER
_LATEST: Final = 253_402_300_799  # RFC 5280, 4.1.2.5: 99991231235959Z stands for no end
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17
_CENTURY_TURNS: Final = 50  # RFC 5280, 4.1.2.5.1: two digits from 50 on are of the 20th century
_known: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()


def facts_of(tls: ssl.SSLObject) -> TlsFacts:
    """Return what a finished handshake showed."""
    presented = _chain(tls, "get_unverified_chain")
    if not presented:
        leaf = tls.getpeercert(binary_form=True)
        presented = [leaf] if leaf else []
    known = [_remembered(der) for der in presented]
    cipher, version = tls.cipher(), tls.version() or ""
    verified = tls.context.verify_mode != ssl.CERT_NONE
    return TlsFacts(
        version=_VERSIONS.get(version, version),
        cipher=cipher[0] if cipher else "",
        earliest_expiry=min((end for _, end in known), default=0.0),
        last_chain_expiry=_earliest(_chain(tls, "get_verified_chain") or presented) if verified else NO_CHAIN,
        certificates=tuple(der for der, _ in known),
    )


def ends_at(der: bytes) -> float:
    """Return the `notAfter` of a certificate in seconds since 1970; ValueError when it is none."""
    try:
        return _not_after(der)
    except IndexError:
        raise ValueError("the certificate is cut off") from None


def _earliest(chain: Iterable[bytes]) -> float:
    return min((_remembered(der)[1] for der in chain), default=NO_CHAIN)


def _chain(tls: ssl.SSLObject, method: str) -> list[bytes]:
    """Return a chain as DER: public from Python 3.13 on, before that of the binding below; none where that is gone."""
    ask = getattr(tls, method, None) or getattr(getattr(tls, "_sslobj", None), method, None)
    certificates: list[Any] = (ask() if ask else None) or []
    return [one if isinstance(one, bytes) else one.public_bytes(_DER) for one in certificates]


def _remembered(der: bytes) -> tuple[bytes, float]:
    """Return a certificate, the same object each time, and its end; what cannot be read is taken to have ended."""
    digest = hashlib.sha256(der).digest()
    found = _known.get(digest)
    if found is None:
        try:
            found = (der, ends_at(der))
        except ValueError:
            found = (der, 0.0)
        if len(der) >= LARGE:
            return found
        _known[digest] = found
        if len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return found


def _not_after(der: bytes) -> float:
    # RFC 5280, 4.1: Certificate { TBSCertificate { [0] version?, serial, signature, issuer, validity { from, to } ...
    _, start, _ = _element(der, 0)
    _, at, _ = _element(der, start)
    if der[at] == _VERSION:
        at = _element(der, at)[2]
    for _ in ("serial", "signature", "issuer"):
        at = _element(der, at)[2]
    tag, start, _ = _element(der, at)
    if tag != _SEQUENCE:
        raise ValueError("no validity where it must be")
    tag, start, end = _element(der, _element(der, start)[2])
    return _time(tag, der[start:end].decode("ascii"))


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Return tag, start and end of what is in the element at a place."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return der[at], start, start + length


def _time(tag: int, text: str) -> float:
    digits = text.removesuffix("Z")
    if tag == _UTC_TIME:
        digits = ("19" if int(digits[:2]) >= _CENTURY_TURNS else "20") + digits
    numbers = tuple(int(digits[place : place + 2]) for place in range(4, 14, 2))
    end = calendar.timegm((int(digits[:4]), *numbers))
    if end > _LATEST:
        raise ValueError("no calendar has this time")
    return float(end)
