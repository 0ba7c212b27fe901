"""TLS as a client: options of a probe, and contexts that equal options share."""

from __future__ import annotations

import ssl
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from exporter.config import files
from exporter.config.options import option

if TYPE_CHECKING:
    from collections.abc import Iterable

TlsVersion: TypeAlias = Literal["TLS10", "TLS11", "TLS12", "TLS13"]

CONTEXTS: Final = 256
"""Contexts that are kept; each holds its authorities in memory, a few MiB with the system's own."""
_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_OLD: Final = {"TLS10", "TLS11"}
_Stamp: TypeAlias = "tuple[tuple[int, int, int] | None, ...]"
_lock = threading.Lock()
_contexts: OrderedDict[TlsOptions, tuple[_Stamp, ssl.SSLContext]] = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """How a server is checked, and what we show it."""

    ca_file: Path | None = option(None, help="PEM file of the authorities to trust; left out: those of the system.")
    cert_file: Path | None = option(None, help="PEM file of our client certificate, with its chain.")
    key_file: Path | None = option(None, help="PEM file of its unencrypted key; left out: it is in `cert_file`.")
    server_name: str | None = option(None, help="The name the certificate must have; left out: the host's.", minimum=1)
    insecure_skip_verify: bool = option(False, help="Accept every certificate.")  # noqa: FBT003 - a default
    min_version: TlsVersion | None = option(None, help="The oldest version to speak; left out: TLS12.")
    max_version: TlsVersion | None = option(None, help="The newest version to speak.")

    def problems(self, configuration: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with the files, and what contradicts itself."""
        del configuration
        if self.key_file and not self.cert_file:
            yield ("key_file",), "a key alone is of no use: give its certificate as cert_file too"
            return
        if self.min_version and self.max_version and self.min_version > self.max_version:
            yield ("min_version",), f"{self.min_version} is newer than max_version, {self.max_version}"
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for key, load in (("ca_file", _trust), ("cert_file", _show)):
            try:
                load(context, self)
            except ValueError as error:
                yield (key,), str(error)


def client_context(options: TlsOptions | None) -> ssl.SSLContext:
    """Return the context for these options; ValueError says in one sentence what is wrong with a file.

    Equal options share one, whatever name they ask for, until one of their files changes. May be called from any
    thread.
    """
    # The name is asked for by each connection, not by the context.
    options = replace(options, server_name=None) if options else TlsOptions()
    stamp = _stamp(options)
    with _lock:
        known = _contexts.get(options)
        if known is not None and known[0] == stamp:
            _contexts.move_to_end(options)
            return known[1]
    context = _made(options)
    with _lock:
        _contexts[options] = (stamp, context)
        _contexts.move_to_end(options)
        if len(_contexts) > CONTEXTS:
            _contexts.popitem(last=False)
    return context


def _stamp(options: TlsOptions) -> _Stamp:
    trusted = None if options.insecure_skip_verify else options.ca_file or _SYSTEM_AUTHORITIES
    return tuple(map(_state, filter(None, (trusted, options.cert_file, options.key_file))))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


_PATHS: Final = ssl.get_default_verify_paths()
_SYSTEM_AUTHORITIES: Final = Path(_PATHS.cafile or _PATHS.openssl_cafile)


def _made(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Each call is a full handshake, so tickets would only be work.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, options)
    _show(context, options)
    _limit(context, options)
    return context


def _limit(context: ssl.SSLContext, options: TlsOptions) -> None:
    oldest = options.min_version or (options.max_version if options.max_version in _OLD else None)
    with warnings.catch_warnings():
        # The old versions are deprecated, and named by someone whose server has no other.
        warnings.simplefilter("ignore", DeprecationWarning)
        if oldest:
            context.minimum_version = _VERSIONS[oldest]
        elif context.minimum_version < ssl.TLSVersion.TLSv1_2:
            # Some systems leave it to the configuration of OpenSSL, which others do not have.
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.max_version:
            context.maximum_version = _VERSIONS[options.max_version]
    if oldest in _OLD:
        # They sign with SHA-1, which OpenSSL refuses otherwise.
        context.set_ciphers("DEFAULT@SECLEVEL=0")


def _trust(context: ssl.SSLContext, options: TlsOptions) -> None:
    path = options.ca_file
    if path is None:
        context.load_default_certs()
        return
    text = _read(path, "ca_file")
    try:
        context.load_verify_locations(cadata=text.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise ValueError(f"{str(path)!r} holds no PEM certificate") from None


def _show(context: ssl.SSLContext, options: TlsOptions) -> None:
    if options.cert_file is None:
        return
    key = options.key_file or options.cert_file
    for path, name in ((options.cert_file, "cert_file"), (key, "key_file")):
        _read(path, name)
    try:
        context.load_cert_chain(options.cert_file, key, password=_refuse_password)
    except ssl.SSLError as error:
        what = f"it and {str(key)!r} must be an unencrypted PEM pair"
        if error.reason == "KEY_VALUES_MISMATCH":
            what = f"the key in {str(key)!r} does not belong to it"
        raise ValueError(f"{str(options.cert_file)!r} cannot be used: {what}") from None


def _refuse_password() -> str:
    # Without this, OpenSSL would ask on the terminal and wait for ever.
    raise ValueError("the key is encrypted, and nobody is there to type its password: give an unencrypted one")


def _read(path: Path, name: str) -> bytes:
    # Never by opening it plainly: a pipe would wait for its writer, and every probe with it.
    try:
        return files.read(path, _FILE_LIMIT).data
    except ValueError as error:
        raise ValueError(f"{name} {str(path)!r} {error}") from None


_FILE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a PEM file: a bundle of all public authorities has a fiftieth of it."""
