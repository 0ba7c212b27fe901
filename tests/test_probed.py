"""What all kinds that connect show in the same words."""

from __future__ import annotations

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from exporter import probed
from exporter.exposition import checked
from exporter.wire.call import Outcome, TlsFacts


def facts(certificate: bytes = b"") -> TlsFacts:
    return TlsFacts(
        version="TLS 1.2",
        cipher="ECDHE-RSA-AES128-GCM-SHA256",
        earliest_expiry=1_800_000_000.0,
        last_chain_expiry=1_900_000_000.0,
        certificates=(certificate,) if certificate else (),
    )


@pytest.mark.parametrize(
    ("address", "protocol", "number"),
    [
        # The bytes of this address are "foob", one of the published test vectors of FNV-1a with 32 bits.
        pytest.param("102.111.111.98", 4, 0x3F5076EF, id="a published vector"),
        # What blackbox_exporter 0.23 shows; the value of ::1 was computed apart, by a program in C.
        pytest.param("127.0.0.1", 4, 3668918509, id="IPv4"),
        pytest.param("::ffff:127.0.0.1", 4, 3668918509, id="IPv4 in IPv6"),
        pytest.param("::1", 6, 1751717746, id="IPv6"),
        pytest.param(None, 0, 0, id="none"),
        pytest.param("name", 0, 0, id="no address"),
    ],
)
def test_an_address_has_a_protocol_and_a_hash(address, protocol, number):
    """0 where nothing was connected to."""
    shown = probed.of_outcome(Outcome(address=address, phases={"resolve": 0.25}))
    assert shown == {
        probed.IP_PROTOCOL: {(): protocol},
        probed.IP_ADDR_HASH: {(): number},
        probed.DNS_LOOKUP_TIME: {(): 0.25},
    }


def test_tls_is_shown_where_it_was():
    """The leaf's own words, the chain's times."""
    leaf = trustme.CA().issue_cert("web.example", common_name="web.example")
    der = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).public_bytes(serialization.Encoding.DER)
    shown = probed.of_outcome(Outcome(address="::1", tls=facts(der)))
    assert shown[probed.EARLIEST_EXPIRY] == {(): 1_800_000_000.0}
    assert shown[probed.LAST_CHAIN_EXPIRY] == {(): 1_900_000_000.0}
    assert shown[probed.TLS_VERSION] == {("TLS 1.2",): 1.0}
    assert shown[probed.TLS_CIPHER] == {("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",): 1.0}
    ((_, subject, _, names, _),) = shown[probed.LAST_CHAIN_INFO]
    assert subject.startswith("CN=web.example,")
    assert names == "web.example"


@pytest.mark.parametrize("certificate", [b"", b"no certificate"], ids=["none", "damaged"])
def test_a_certificate_that_cannot_be_read_is_left_out(certificate):
    """The rest is shown all the same."""
    shown = probed.of_tls(facts(certificate))
    assert probed.LAST_CHAIN_INFO not in shown
    assert probed.TLS_VERSION in shown


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
        ("DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
        ("PSK-NULL-SHA", "PSK-NULL-SHA"),
    ],
)
def test_ciphers_have_the_names_of_iana(openssl, iana):
    """blackbox_exporter shows Go's names, which are these (RFC 5289, RFC 7905, RFC 5246)."""
    assert probed.cipher_name(openssl) == iana


def test_families_are_well_formed():
    """Names, types and help pass the check of the exposition."""
    for family in (*probed.ADDRESS_FAMILIES, *probed.TLS_FAMILIES, probed.FAILED_DUE_TO_REGEX):
        checked(family)
