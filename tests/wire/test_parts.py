"""The pure parts: deadlines, addresses, the ends of certificates."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.wire import certificates
from exporter.wire.addresses import Address, guarded, numeric, of_lookup, ordered
from exporter.wire.certificates import ends_at
from exporter.wire.deadlines import TICKS, Deadlines

MOMENTS = st.floats(0, 1000, allow_nan=False)


@given(st.lists(MOMENTS, max_size=40), st.lists(MOMENTS, max_size=10), st.data())
def test_nothing_is_late_too_early_or_much_too_late(
    whens: list[float], asked: list[float], data: st.DataObject
) -> None:
    """What was put in and not taken out is told once: not before its moment, at the first question 1/64 s after it."""
    deadlines: Deadlines[int] = Deadlines()
    ticks = [deadlines.put(number, when) for number, when in enumerate(whens)]
    gone = data.draw(st.sets(st.sampled_from(range(len(whens))))) if whens else set()
    for number in gone:
        deadlines.take(number, ticks[number])
    told: dict[int, float] = {}
    for now in [*sorted(asked), 2000.0]:
        wait = deadlines.wait(now)
        late = deadlines.late(now)
        assert not set(late) & set(told)
        told.update(dict.fromkeys(late, now))
        assert (wait == 0) == bool(late) or (wait is not None and wait < 1e-9)
        for number, when in enumerate(whens):
            assert number in gone or number in told or now < when + 1 / TICKS
    assert set(told) == set(range(len(whens))) - gone
    assert all(now >= whens[number] for number, now in told.items())
    assert deadlines.wait(2000.0) is None
    assert not list(deadlines)


def test_what_was_taken_out_wakes_nobody() -> None:
    """The wait is for the first that is still in."""
    deadlines: Deadlines[str] = Deadlines()
    tick = deadlines.put("a", 1.0)
    deadlines.put("b", 2.0)
    deadlines.take("a", tick)
    assert deadlines.wait(0.5) == 1.5
    deadlines.take("a", tick)
    assert deadlines.late(1.9) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", Address(socket.AF_INET, "192.0.2.1")),
        ("2001:DB8::1", Address(socket.AF_INET6, "2001:db8::1")),
        ("fe80::1%7", Address(socket.AF_INET6, "fe80::1", 7)),
        ("fe80::1%no-such-interface", None),
        ("127.1", None),
        ("0x7f000001", None),
        ("a.example", None),
        ("[::1]", None),
        ("", None),
    ],
)
def test_addresses_are_told_from_names(host: str, expected: Address | None) -> None:
    """Only what is canonical is an address; the rest is for the resolver."""
    assert numeric(host) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_guard_sees_what_an_address_is(host: str, expected: str) -> None:
    """An IPv4 address stays one in IPv6's clothes, and an interface is no part of an address."""
    assert guarded(host) == expected


FOUR, SIX = Address(socket.AF_INET, "192.0.2.1"), Address(socket.AF_INET6, "2001:db8::1")


@given(st.lists(st.sampled_from([FOUR, SIX, Address(socket.AF_INET, "192.0.2.2")]), max_size=6), st.booleans())
def test_the_preferred_protocol_comes_first(addresses: list[Address], fallback: bool) -> None:  # noqa: FBT001 - drawn
    """The system's order stays within each protocol, each address is tried once."""
    assert ordered(addresses, None, fallback=fallback) == list(dict.fromkeys(addresses))
    for prefer, family in (("ip4", socket.AF_INET), ("ip6", socket.AF_INET6)):
        found = ordered(addresses, prefer, fallback=fallback)  # type: ignore[arg-type] # the words of a table
        is_preferred = [address.family == family for address in found]
        assert all(first >= second for first, second in pairwise(is_preferred))
        assert fallback or all(is_preferred)
        kept = [one for one in dict.fromkeys(addresses) if one.family == family]
        assert [one for one in found if one.family == family] == kept


def test_only_internet_addresses_come_of_a_look_up() -> None:
    """The scope of a link-local address is kept."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%2", 0, 0, 2)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (-1, socket.SOCK_STREAM, 6, "", (b"raw",)),
    ]
    assert of_lookup(found) == (Address(socket.AF_INET6, "fe80::1", 2), FOUR)
    assert Address(socket.AF_INET6, "fe80::1", 2).with_port(5) == ("fe80::1", 5, 0, 2)


KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(ends: dt.datetime, serial: int = 1, name: str = "a") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(serial).not_valid_before(dt.datetime(1950, 1, 1)).not_valid_after(ends)  # noqa: DTZ001 - UTC to the builder
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@settings(max_examples=50, deadline=None)
@given(
    st.datetimes(dt.datetime(1950, 1, 2), dt.datetime(9999, 12, 31)),  # noqa: DTZ001 - UTC to the builder
    st.integers(1, 2**159 - 1),
    st.text("abcäöü ", min_size=1, max_size=64),
)
def test_the_end_of_a_certificate_is_read(ends: dt.datetime, serial: int, name: str) -> None:
    """UTCTime until 2049, GeneralizedTime after it, whatever stands before; as a whole library reads it."""
    der = certificate(ends.replace(microsecond=0), serial, name)
    assert ends_at(der) == x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()


SOME = certificate(dt.datetime(2030, 1, 1))  # noqa: DTZ001 - UTC to the builder


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_a_value_error(data: bytes) -> None:
    """No other exception comes out of what a peer sent."""
    with pytest.raises(ValueError, match=r"."):
        ends_at(data)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_certificate_is_a_time_or_a_value_error(data: st.DataObject) -> None:
    """Bytes changed and cut off anywhere never bring another exception."""
    der = bytearray(SOME)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), max_size=8)):
        der[place] = data.draw(st.integers(0, 255))
    del der[data.draw(st.integers(0, len(der))) :]
    with contextlib.suppress(ValueError):
        assert isinstance(ends_at(bytes(der)), float)


def test_known_certificates_are_bounded_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same certificate is one object however often it is shown, and few are remembered."""
    monkeypatch.setattr(certificates, "REMEMBERED", 2)
    monkeypatch.setattr(certificates, "_known", type(certificates._known)())
    ders = [certificate(dt.datetime(2030, 1, number)) for number in range(1, 5)]  # noqa: DTZ001 - UTC to the builder
    for der in ders:
        certificates._remembered(der)
    assert len(certificates._known) == 2
    again = certificates._remembered(bytes(bytearray(ders[-1])))
    assert again[0] is ders[-1]
    assert certificates._remembered(b"nonsense")[1] == 0.0


def test_a_large_certificate_is_read_and_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may show another one of 100 KiB each time: thousands of them would be hundreds of megabytes."""
    monkeypatch.setattr(certificates, "_known", type(certificates._known)())
    large = certificate(dt.datetime(2030, 1, 1)) + bytes(certificates.LARGE)  # noqa: DTZ001 - UTC to the builder
    assert certificates._remembered(large) == (large, ends_at(large))
    assert not certificates._known


def test_an_end_that_no_calendar_has_is_a_value_error() -> None:
    """Hours up to 99 can be written: a time after the year 9999 would break whoever shows it."""
    late = certificate(dt.datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001 - UTC to the builder
    assert ends_at(late) == 253_402_300_799.0
    with pytest.raises(ValueError, match="no calendar"):
        ends_at(late.replace(b"99991231235959Z", b"99991231995959Z"))
