"""Errors of the system and of TLS as a person understands them."""

from __future__ import annotations

import errno
import os
import ssl
from typing import TYPE_CHECKING, Final

from exporter.wire.call import WireError

if TYPE_CHECKING:
    from exporter.wire.call import Family

DOING: Final = {
    "connect": "connecting",
    "tls": "setting up TLS",
    "processing": "waiting for the first byte",
    "transfer": "receiving the rest",
}
"""What is done in each phase that has a connection."""

_VERIFY: Final = {
    9: "the certificate is not valid yet: compare the clocks",
    10: "the certificate, or one that it depends on, has expired",
    18: "the certificate is self-signed: name it in ca_file if it is right",
    19: "the certificate's chain ends in an authority of its own that is not known here: name that in ca_file",
    20: "the certificate is from an authority that is not known here: name that in ca_file",
    21: "the certificate is from an authority that is not known here, or the server leaves an intermediate out",
    23: "the certificate has been revoked",
    26: "the certificate is not made for servers",
}
"""By the numbers of OpenSSL's x509_vfy.h."""
_WRONG_NAME: Final = {62, 64}

_NOT_TLS: Final = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "BAD_RECORD_TYPE",
    "UNEXPECTED_MESSAGE",
    "INVALID_SESSION_ID",
    "LENGTH_MISMATCH",
    "ENCRYPTED_LENGTH_TOO_LONG",
}
_OTHER_VERSION: Final = {
    "UNSUPPORTED_PROTOCOL",
    "WRONG_SSL_VERSION",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "NO_PROTOCOLS_AVAILABLE",
    "VERSION_TOO_LOW",
    "UNSUPPORTED_SSL_VERSION",
}
_WANTS_CERTIFICATE: Final = {"TLSV13_ALERT_CERTIFICATE_REQUIRED"}
_REFUSES_CERTIFICATE: Final = {
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
}
_OTHER: Final = {
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer refused the handshake: give a client certificate if it wants one",
    "TLSV1_UNRECOGNIZED_NAME": "the peer does not know the server name that it was asked for",
}
_CONNECT: Final = {
    errno.ECONNREFUSED: "refused the connection: nothing listens there, or a firewall rejects it",
    errno.EHOSTUNREACH: "cannot be reached: no host answers there",
    errno.ENETUNREACH: "cannot be reached: there is no route to its network",
    errno.ETIMEDOUT: "did not answer",
    errno.ECONNRESET: "reset the connection",
}
_OURS: Final = {
    errno.EMFILE: "this process has no file descriptor left: raise its limit of open files",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no memory for sockets left",
    errno.ENOMEM: "this machine has no memory for sockets left",
    errno.EADDRNOTAVAIL: "this machine has no free port, or not that source address, to connect from",
    errno.EAFNOSUPPORT: "this machine does not speak the protocol of that address",
}


def of_no_address(host: str, prefer: Family | None) -> WireError:
    """Return that a name, or a numeric host, has no address of the protocol that is asked for."""
    protocol = {"ip4": "IPv4", "ip6": "IPv6"}.get(prefer or "", "usable")
    return WireError("resolve", f"{host!r} has no {protocol} address")


def of_slow_name(host: str, seconds: float) -> WireError:
    """Return that a look-up did not end in time."""
    return WireError("resolve", f"the name {host!r} was not found out within {seconds:g} s: the name server is silent")


def of_guard(address: str) -> WireError:
    """Return that an address must not be connected to."""
    return WireError("refused", f"connections to {address} are not allowed")


def of_lateness(seconds: float, phase: str, where: str, *, unsent: bool) -> WireError:
    """Return that the time was over in a phase that has a connection, or is to have one."""
    doing = f"connecting to {where}" if phase == "connect" else DOING[phase]
    if unsent:
        doing = "sending: the peer does not read"
    return WireError("timeout", f"no answer within {seconds:g} s while {doing}")


def of_connecting(address: str, port: int, code: int) -> WireError:
    """Return why an address could not be connected to, by the system's error number."""
    ours = _OURS.get(code)
    if ours:
        return WireError("system", f"no connection to {address} port {port}: {ours}")
    words = _CONNECT.get(code) or f"cannot be reached: {os.strerror(code)}"
    return WireError("connect", f"{address} port {port} {words}")


def of_talking(error: OSError, doing: str) -> WireError:
    """Return why an open connection broke."""
    if error.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
        return WireError("connect", f"the peer reset the connection while {doing}")
    return WireError("connect", f"the connection broke while {doing}: {error.strerror or type(error).__name__}")


def of_tls(error: ssl.SSLError, server_name: str) -> WireError:
    """Return why TLS failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return WireError("tls", _verification(error, server_name))
    return WireError("tls", _handshake(error))


def _verification(error: ssl.SSLCertVerificationError, server_name: str) -> str:
    code = error.verify_code
    if code in _WRONG_NAME:
        return f"the certificate is not made out to {server_name!r}"
    return _VERIFY.get(code) or f"the certificate is not accepted: {error.verify_message or 'no reason given'}"


def _handshake(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "the peer closed the connection during the TLS handshake"
    if reason in _NOT_TLS:
        return "the peer does not speak TLS on this port"
    if reason in _OTHER_VERSION:
        return "the peer and we share no version of TLS"
    if reason in _WANTS_CERTIFICATE:
        return "the peer asks for a client certificate: give cert_file and key_file"
    if reason in _REFUSES_CERTIFICATE:
        return "the peer refuses our client certificate, or the lack of one"
    return _OTHER.get(reason) or f"TLS failed: {reason.replace('_', ' ').lower() or 'no reason given'}"
