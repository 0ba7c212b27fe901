"""TLS contexts from checked options, and what is asked of a client's certificate."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.web.tls_options import TlsOptions


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Return a context for accepting connections; ValueError says what is wrong with certificate, key or CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = options.versions
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not options.server_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        if options.ciphers:
            context.set_ciphers(":".join(options.ciphers))
        _set_curves(context, options.curves)
    except (ssl.SSLError, ValueError):
        raise ValueError("TLS here does not know a cipher suite or a curve that is named") from None
    _load_pair(context, options)
    if options.client_ca:
        _trust(context, options.client_ca)
    context.verify_mode = options.client_auth
    return context


def is_allowed(peer: Mapping[str, Any] | None, allowed: frozenset[str]) -> bool:
    """Return whether a verified certificate names one of the allowed clients; everyone is when none is named."""
    if not allowed:
        return True
    return any(_written(kind, value) in allowed for kind, value in (peer or {}).get("subjectAltName", ()))


def _written(kind: str, value: str) -> str:
    if kind != "IP Address":
        return value
    try:
        return str(ipaddress.ip_address(value.strip()))
    except ValueError:
        return value


def _set_curves(context: ssl.SSLContext, curves: tuple[str, ...]) -> None:
    if len(curves) == 1:
        context.set_ecdh_curve(curves[0])
    elif curves:
        getattr(context, "set_groups")(":".join(curves))  # noqa: B009 - only newer Pythons have it


def _trust(context: ssl.SSLContext, bundle: bytes) -> None:
    try:
        context.load_verify_locations(cadata=bundle.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ValueError("client_ca holds no PEM certificate") from None


def _load_pair(context: ssl.SSLContext, options: TlsOptions) -> None:
    try:
        with _as_file(options.cert) as cert, _as_file(options.key) as key:
            context.load_cert_chain(cert, key, password=_refuse_password)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise ValueError(
            "key does not belong to cert" if mismatch else "cert and key must be an unencrypted PEM pair"
        ) from None
    except OSError as error:
        raise ValueError(f"cert and key cannot be handed to TLS ({error.strerror})") from None


def _refuse_password() -> str:
    # Without this, OpenSSL would ask on the terminal and wait for ever.
    raise ValueError("key is encrypted, and nobody is there to type its password: give an unencrypted one")


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Lend a path to `content`: TLS in Python reads pairs from files only. On Linux it is memory, never a disk."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pem"
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield str(path)
        return
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
