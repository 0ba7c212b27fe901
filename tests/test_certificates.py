"""Certificates are read as Go's library shows them, held against another implementation."""

from __future__ import annotations

import contextlib
import datetime as dt
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from exporter import certificates

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def der(subject: list[tuple[x509.ObjectIdentifier, str]], names: list[str] | None = None, serial: int = 1) -> bytes:
    name = x509.Name([x509.NameAttribute(kind, text) for kind, text in subject])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")]))
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
        )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@cache
def plain() -> bytes:
    return der([(NameOID.COMMON_NAME, "a.example")], ["a.example", "b.example"])


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        pytest.param([(NameOID.COMMON_NAME, "a.example")], "CN=a.example", id="a common name"),
        pytest.param(
            [
                (NameOID.COUNTRY_NAME, "RO"),
                (NameOID.STATE_OR_PROVINCE_NAME, "B"),
                (NameOID.LOCALITY_NAME, "Bucharest"),
                (NameOID.ORGANIZATION_NAME, "Example, Inc."),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "One"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "Two"),
                (NameOID.COMMON_NAME, "a.example"),
                (NameOID.SERIAL_NUMBER, "42"),
            ],
            "SERIALNUMBER=42,CN=a.example,ST=B,L=Bucharest,OU=One+OU=Two,O=Example\\, Inc.,C=RO",
            id="all that is usual, in Go's order",
        ),
        pytest.param([(NameOID.COMMON_NAME, ' #a+b"c\\d<e>;f ')], 'CN=\\ #a\\+b\\"c\\\\d\\<e\\>\\;f\\ ', id="escapes"),
        pytest.param([(NameOID.COMMON_NAME, "#a")], "CN=\\#a", id="a hash in front"),
        pytest.param([(NameOID.COMMON_NAME, "ä日本")], "CN=ä日本", id="outside ASCII"),
        pytest.param([(NameOID.COMMON_NAME, "a"), (NameOID.EMAIL_ADDRESS, "a@b")], None, id="another attribute"),
        pytest.param([], "", id="no subject"),
    ],
)
def test_a_subject_is_shown_as_go_shows_it(subject, shown):
    """RFC 2253 with the order and the escapes of Go's pkix.Name."""
    found = certificates.read(der(subject)).subject
    assert found == shown if shown is not None else found.startswith("CN=a,1.2.840.113549.1.9.1=#")


def test_the_rest_agrees_with_another_reader():
    """Serial number, names, issuer and fingerprint."""
    serial = 0xFF00AB12
    data = der([(NameOID.COMMON_NAME, "a")], ["a.example", "*.b.example"], serial)
    other = x509.load_der_x509_certificate(data)
    found = certificates.read(data)
    assert found.serial_number == f"{other.serial_number:x}"
    assert found.dns_names == ("a.example", "*.b.example")
    assert found.issuer == other.issuer.rfc4514_string()
    assert found.fingerprint == other.fingerprint(hashes.SHA256()).hex()


def test_names_may_be_missing():
    """A certificate without alternative names has none."""
    assert certificates.read(der([(NameOID.COMMON_NAME, "a")])).dns_names == ()


@given(st.binary(max_size=80))
def test_any_bytes_are_a_certificate_or_a_value_error(data):
    """What a server sends is never trusted to be one."""
    with contextlib.suppress(ValueError):
        certificates.read(data)


@given(st.data())
def test_a_damaged_certificate_is_a_value_error_at_worst(data):
    """One byte changed, or the end cut off."""
    der_bytes = bytearray(plain())
    der_bytes[data.draw(st.integers(0, len(der_bytes) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (bytes(der_bytes[: data.draw(st.integers(0, len(der_bytes)))]), bytes(der_bytes)):
        with contextlib.suppress(ValueError):
            certificates.read(damaged)


def test_a_number_without_end_is_refused_at_once():
    """A kind of attribute that a UUID names is shown; one of 10,000 digits is no certificate, and costs no time."""
    uuid = "2.25.340282366920938463463374607431768211375"
    octets = bytes.fromhex("6983ffffffffffffffffffffffffffffffffff2f")
    data = der([(NameOID.COMMON_NAME, "a"), (NameOID.EMAIL_ADDRESS, "a@b")])
    email = bytes.fromhex("2a864886f70d010901")
    assert certificates._number(octets) == uuid
    with pytest.raises(ValueError, match="too large"):
        certificates._number(b"\x2a" + b"\xff" * 50_000 + b"\x01")
    with pytest.raises(ValueError, match="too large"):
        certificates.read(_replaced(data, email, b"\x2a" + b"\xff" * 40 + b"\x01"))


def _replaced(der_bytes: bytes, old: bytes, new: bytes) -> bytes:
    """Return DER with an object identifier in the place of another, and the lengths around it set anew."""
    if der_bytes[2:] == old and der_bytes[0] == 0x06:
        return bytes([0x06, len(new)]) + new
    tag, start = der_bytes[0], 2 + (der_bytes[1] & 0x7F if der_bytes[1] & 0x80 else 0)
    if not tag & 0x20:
        return der_bytes
    inner = b"".join(_replaced(each.whole, old, new) for each in certificates._elements(der_bytes[start:]))
    length = len(inner)
    head = bytes([length]) if length < 0x80 else b"\x82" + length.to_bytes(2, "big")
    return bytes([tag]) + head + inner
