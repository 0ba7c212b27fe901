"""What an X.509 certificate says of itself, read from its DER bytes: names as Go prints them, the serial number.

Only what `/probe` shows is read, and nothing is verified: that is TLS's. ValueError when the bytes are no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_DNS_NAME: Final = 0x82
_OCTET_STRING: Final = 0x04
_BMP_STRING: Final = 0x1E
_UNIVERSAL_STRING: Final = 0x1C
_SUBJECT_ALTERNATIVE_NAME: Final = bytes.fromhex("551d11")
# A UUID below 2.25 (X.667) is the largest in use; without a bound a number of 50 KB takes a second to be put together.
_LARGEST_ARC: Final = 2**128 - 1
# RFC 5280 A.1, in the order in which Go's pkix.Name prints them; the rest follows by number.
_KNOWN: Final = {
    bytes.fromhex("550405"): "SERIALNUMBER",
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550411"): "POSTALCODE",
    bytes.fromhex("550409"): "STREET",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("550406"): "C",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """Subject and issuer in the order of RFC 2253, the DNS names, serial number and SHA-256 in lower-case hex."""

    subject: str
    issuer: str
    dns_names: tuple[str, ...]
    serial_number: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    content: bytes
    whole: bytes


def read(der: bytes) -> Certificate:
    """Return what a certificate says of itself. ValueError when the bytes are no certificate."""
    outer = next(_elements(der), None)
    if outer is None or outer.tag != _SEQUENCE:
        raise ValueError("no certificate: it does not begin with a sequence")
    inner = next(_elements(outer.content), None)
    if inner is None or inner.tag != _SEQUENCE:
        raise ValueError("no certificate: it holds no sequence")
    fields = [field for field in _elements(inner.content) if field.tag != _VERSION]
    if len(fields) < 5 or fields[0].tag != _INTEGER:  # noqa: PLR2004 -- serial, algorithm, issuer, validity, subject
        raise ValueError("no certificate: fields are missing")
    return Certificate(
        subject=_name(fields[4].content),
        issuer=_name(fields[2].content),
        dns_names=_dns_names(fields),
        serial_number=fields[0].content.lstrip(b"\0").hex(),
        fingerprint=sha256(der).hexdigest(),
    )


def _elements(data: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        if len(data) - at < 2:  # noqa: PLR2004 -- tag and length
            raise ValueError("no certificate: an element is cut off")
        length, begin = data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, begin = int.from_bytes(data[begin : begin + octets], "big"), begin + octets
        if begin + length > len(data):
            raise ValueError("no certificate: an element is longer than what holds it")
        yield _Element(data[at], data[begin : begin + length], data[at : begin + length])
        at = begin + length


def _name(data: bytes) -> str:
    known: dict[str, list[str]] = {word: [] for word in _KNOWN.values()}
    others: list[str] = []
    for attribute in (attribute for values in _elements(data) for attribute in _elements(values.content)):
        parts = list(_elements(attribute.content))
        if len(parts) != 2:  # noqa: PLR2004 -- a type and a value
            raise ValueError("no certificate: a name is malformed")
        kind, value = parts
        if kind.content in _KNOWN:
            known[_KNOWN[kind.content]].append(_escaped(_text(value)))
        else:
            others.insert(0, f"{_number(kind.content)}=#{value.whole.hex()}")
    shown = ["+".join(f"{word}={value}" for value in values) for word, values in known.items() if values]
    return ",".join(shown + others)


def _text(value: _Element) -> str:
    encoding = {_BMP_STRING: "utf-16-be", _UNIVERSAL_STRING: "utf-32-be"}.get(value.tag, "utf-8")
    return value.content.decode(encoding, errors="replace")


def _escaped(text: str) -> str:
    last = len(text) - 1
    escaped = []
    for index, character in enumerate(text):
        at_edge = (index == 0 and character in " #") or (index == last and character == " ")
        escaped.append(f"\\{character}" if at_edge or character in ',+"\\<>;' else character)
    return "".join(escaped)


def _number(octets: bytes) -> str:
    arcs, value = [], 0
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if value > _LARGEST_ARC:
            raise ValueError("no certificate: a number in a name is too large")
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        return ""
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def _dns_names(fields: list[_Element]) -> tuple[str, ...]:
    for field in fields:
        for extension in (inner for outer in _of(field, _EXTENSIONS) for inner in _elements(outer.content)):
            parts = list(_elements(extension.content))
            if parts and parts[0].content == _SUBJECT_ALTERNATIVE_NAME and parts[-1].tag == _OCTET_STRING:
                names = (name for outer in _elements(parts[-1].content) for name in _elements(outer.content))
                return tuple(name.content.decode("ascii", "replace") for name in names if name.tag == _DNS_NAME)
    return ()


def _of(field: _Element, tag: int) -> Iterator[_Element]:
    return _elements(field.content) if field.tag == tag else iter(())
