"""What `/probe` shows of addresses and TLS, alike for all kinds that connect: blackbox_exporter's names and words."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from exporter import certificates
from exporter.labels import encodable
from exporter.model import Family
from exporter.wire.certificates import LARGE

if TYPE_CHECKING:
    from exporter.model import Labels, Samples
    from exporter.wire.call import Outcome, TlsFacts

# Names and words of blackbox_exporter (prober/utils.go and prober/prober.go): its users' rules go on working.
DNS_LOOKUP_TIME: Final = Family(
    "probe_dns_lookup_time_seconds", "gauge", "Returns the time taken for probe dns lookup in seconds"
)
IP_PROTOCOL: Final = Family("probe_ip_protocol", "gauge", "Specifies whether probe ip protocol is IP4 or IP6")
IP_ADDR_HASH: Final = Family(
    "probe_ip_addr_hash",
    "gauge",
    "Specifies the hash of IP address. It's useful to detect if the IP address changes.",
)
EARLIEST_EXPIRY: Final = Family("probe_ssl_earliest_cert_expiry", "gauge", "Returns last SSL chain expiry in unixtime")
LAST_CHAIN_EXPIRY: Final = Family(
    "probe_ssl_last_chain_expiry_timestamp_seconds", "gauge", "Returns last SSL chain expiry in timestamp"
)
LAST_CHAIN_INFO: Final = Family(
    "probe_ssl_last_chain_info",
    "gauge",
    "Contains SSL leaf certificate information",
    ("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber"),
)
TLS_VERSION: Final = Family(
    "probe_tls_version_info", "gauge", "Returns the TLS version used or NaN when unknown", ("version",)
)
TLS_CIPHER: Final = Family(
    "probe_tls_cipher_info", "gauge", "Returns the TLS cipher negotiated during handshake", ("cipher",)
)
FAILED_DUE_TO_REGEX: Final = Family("probe_failed_due_to_regex", "gauge", "Indicates if probe failed due to regex")

ADDRESS_FAMILIES: Final = (DNS_LOOKUP_TIME, IP_PROTOCOL, IP_ADDR_HASH)
TLS_FAMILIES: Final = (EARLIEST_EXPIRY, LAST_CHAIN_EXPIRY, LAST_CHAIN_INFO, TLS_VERSION, TLS_CIPHER)

_EXCHANGES: Final = {"ECDHE-ECDSA-": "ECDHE_ECDSA", "ECDHE-RSA-": "ECDHE_RSA", "DHE-RSA-": "DHE_RSA"}


def of_outcome(outcome: Outcome) -> Samples:
    """Return what a call shows of its address and of TLS; the latter only when the handshake was done."""
    found = of_address(outcome.address, outcome.phases.get("resolve", 0.0))
    if outcome.tls is not None:
        found.update(of_tls(outcome.tls))
    return found


def of_address(address: str | None, lookup: float) -> Samples:
    """Return the numeric address's protocol and hash (0 without one) and the seconds that looking it up took."""
    numeric = _numeric(address)
    return {
        DNS_LOOKUP_TIME: {(): lookup},
        IP_PROTOCOL: {(): float(numeric.version) if numeric else 0.0},
        IP_ADDR_HASH: {(): float(_fnv1a(numeric.packed)) if numeric else 0.0},
    }


def of_tls(tls: TlsFacts) -> Samples:
    """Return the expiry times (seconds since 1970), version, cipher and the server's own certificate."""
    found: Samples = {
        EARLIEST_EXPIRY: {(): tls.earliest_expiry},
        LAST_CHAIN_EXPIRY: {(): tls.last_chain_expiry},
        TLS_VERSION: {(tls.version,): 1.0},
        TLS_CIPHER: {(cipher_name(tls.cipher),): 1.0},
    }
    if tls.certificates and (labels := _chain_labels(tls.certificates[0])) is not None:
        found[LAST_CHAIN_INFO] = {labels: 1.0}
    return found


def cipher_name(name: str) -> str:
    """Return the IANA name of a cipher suite that OpenSSL names, for those still in use; others as they are."""
    if name.startswith("TLS_"):
        return name
    exchange, rest = next(
        ((word, name.removeprefix(prefix)) for prefix, word in _EXCHANGES.items() if name.startswith(prefix)),
        ("RSA", name),
    )
    words = rest.split("-")
    if words[0] in {"AES128", "AES256"} and len(words) > 1:
        mode = words[1:] if words[1] in {"GCM", "CCM"} else ["CBC", *words[1:]]
        return "_".join(["TLS", exchange, "WITH", "AES", words[0][3:], *mode])
    if rest == "CHACHA20-POLY1305":
        return f"TLS_{exchange}_WITH_CHACHA20_POLY1305_SHA256"
    return name


def _chain_labels(der: bytes) -> Labels | None:
    # A server may show another certificate of 100 KiB each time: those are not kept.
    return _labels_of(der) if len(der) < LARGE else _labels_of.__wrapped__(der)


@lru_cache(maxsize=1024)
def _labels_of(der: bytes) -> Labels | None:
    try:
        own = certificates.read(der)
    except ValueError:
        return None
    words = (own.fingerprint, own.subject, own.issuer, ",".join(own.dns_names), own.serial_number)
    return tuple(encodable(word) for word in words)


def _numeric(address: str | None) -> IPv4Address | IPv6Address | None:
    if address is None:
        return None
    try:
        numeric = ip_address(address)
    except ValueError:
        return None
    return (numeric.ipv4_mapped or numeric) if isinstance(numeric, IPv6Address) else numeric


def _fnv1a(data: bytes) -> int:
    value = 0x811C9DC5
    for octet in data:
        value = (value ^ octet) * 0x01000193 & 0xFFFFFFFF
    return value
