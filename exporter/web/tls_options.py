"""The section `tls_server_config` of a web configuration, checked: Go's names become OpenSSL's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.web.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# https://pkg.go.dev/crypto/tls#CipherSuites is what exporter-toolkit takes.
CIPHERS: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
CIPHERS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Always on with TLS 1.3, in Go as here: naming them changes nothing."""
CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
VERSIONS: Mapping[str, ssl.TLSVersion] = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH: Mapping[str, ssl.VerifyMode] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_TEXTS = (
    *("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"),
    *("client_auth_type", "min_version", "max_version"),
)
_LISTS = ("client_allowed_sans", "cipher_suites", "curve_preferences")
_KNOWN = (*_TEXTS, *_LISTS, "prefer_server_cipher_suites")


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What a TLS context is made of; certificates and keys are PEM bytes, names are OpenSSL's."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes = b""
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    allowed_sans: frozenset[str] = frozenset()
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ciphers: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    server_order: bool = True


def tls_options(section: Any, folder: Path) -> tuple[TlsOptions | None, tuple[Path, ...], list[str]]:
    """Return the options (None with mistakes), the files they came from, and the mistakes."""
    if not isinstance(section, dict):
        return None, (), ["tls_server_config must be a mapping"]
    mistakes = [*_shape_mistakes(section)]
    if not mistakes:
        mistakes = [
            *_pair_mistakes(section),
            *_name_mistakes(section),
            *_version_mistakes(section),
            *_client_mistakes(section),
        ]
    if mistakes:
        return None, (), [f"tls_server_config.{mistake}" for mistake in mistakes]
    files = tuple(folder / section[key] for key in ("cert_file", "key_file", "client_ca_file") if section.get(key))
    try:
        return _options(section, folder), files, []
    except ValueError as error:
        return None, files, [f"tls_server_config: {error}"]


def _options(section: Mapping[str, Any], folder: Path) -> TlsOptions:
    suites = section.get("cipher_suites", [])
    ciphers = tuple(CIPHERS[name] for name in suites if name in CIPHERS)
    lowest = VERSIONS[section.get("min_version", "TLS12")]
    return TlsOptions(
        cert=_pem(section, "cert", folder),
        key=_pem(section, "key", folder),
        client_ca=_pem(section, "client_ca", folder),
        client_auth=CLIENT_AUTH[section.get("client_auth_type", "NoClientCert")],
        allowed_sans=frozenset(section.get("client_allowed_sans", [])),
        # Suites of TLS 1.3 alone leave TLS 1.2 without any, as in Go.
        versions=(
            ssl.TLSVersion.TLSv1_3 if suites and not ciphers else lowest,
            VERSIONS[section.get("max_version", "TLS13")],
        ),
        ciphers=ciphers,
        curves=tuple(CURVES[name] for name in section.get("curve_preferences", [])),
        server_order=section.get("prefer_server_cipher_suites", True),
    )


def _pem(section: Mapping[str, Any], name: str, folder: Path) -> bytes:
    path = section.get(f"{name}_file")
    if path:
        return read_bounded(folder / path)
    text: str = section.get(name, "")
    return text.encode()


def _shape_mistakes(section: Mapping[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        if key not in _KNOWN:
            yield f"{key} is no known key, known are {', '.join(_KNOWN)}"
        elif key in _TEXTS and not isinstance(value, str):
            yield f"{key} must be text"
        elif key in _LISTS and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            yield f"{key} must be a list of texts"
        elif key == "prefer_server_cipher_suites" and not isinstance(value, bool):
            yield f"{key} must be true or false"


def _pair_mistakes(section: Mapping[str, Any]) -> Iterator[str]:
    for name in ("cert", "key", "client_ca"):
        if section.get(name) and section.get(f"{name}_file"):
            yield f"{name} and {name}_file are both given: keep one"
        if name != "client_ca" and not section.get(name) and not section.get(f"{name}_file"):
            yield f"{name}_file is missing: TLS needs a certificate and its key"


def _name_mistakes(section: Mapping[str, Any]) -> Iterator[str]:
    for suite in section.get("cipher_suites", []):
        if suite not in CIPHERS and suite not in CIPHERS_13:
            yield f"cipher_suites: {suite!r} is no secure cipher suite of Go"
    for curve in section.get("curve_preferences", []):
        if curve not in CURVES:
            yield f"curve_preferences: {curve!r} is unknown, known are {', '.join(CURVES)}"
    if len(section.get("curve_preferences", [])) > 1 and not hasattr(ssl.SSLContext, "set_groups"):
        yield "curve_preferences names several curves, and TLS in this Python can be told only one: keep one, or none"


def _version_mistakes(section: Mapping[str, Any]) -> Iterator[str]:
    for key in ("min_version", "max_version"):
        found = section.get(key, "TLS12")
        if found in ("TLS10", "TLS11"):
            yield f"{key} is {found}, which is broken (RFC 8996): use TLS12 or TLS13"
        elif found not in VERSIONS:
            yield f"{key} is {found!r}, wanted TLS12 or TLS13"
    if section.get("min_version") == "TLS13" and section.get("max_version") == "TLS12":
        yield "min_version is above max_version"


def _client_mistakes(section: Mapping[str, Any]) -> Iterator[str]:
    kind = section.get("client_auth_type", "NoClientCert")
    has_ca = bool(section.get("client_ca") or section.get("client_ca_file"))
    if kind in _UNVERIFIED:
        yield (
            f"client_auth_type is {kind}, which takes certificates that nobody checks and which TLS in Python does not "
            "offer: use RequireAndVerifyClientCert"
        )
    elif kind not in CLIENT_AUTH:
        yield f"client_auth_type is {kind!r}, wanted {', '.join(CLIENT_AUTH)}"
    elif kind == "NoClientCert" and has_ca:
        yield "client_ca_file is given, but client_auth_type asks for no certificate: use RequireAndVerifyClientCert"
    elif kind != "NoClientCert" and not has_ca:
        yield f"client_ca_file is missing: {kind} needs to know whom to trust"
    if section.get("client_allowed_sans") is not None and kind != "RequireAndVerifyClientCert":
        yield "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"
    elif section.get("client_allowed_sans") == []:
        yield "client_allowed_sans is empty, which lets nobody in: name a client or remove the key"
