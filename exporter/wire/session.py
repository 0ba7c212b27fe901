"""TLS on bytes in memory: what came is fed in, what must be sent is taken out."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from exporter.wire import certificates, reasons
from exporter.wire.call import WireError
from exporter.wire.line import CHUNK

if TYPE_CHECKING:
    from exporter.wire.call import TlsFacts


class Session:
    """One side of one TLS connection. Every method may raise WireError of the cause "tls"."""

    __slots__ = ("_incoming", "_name", "_outgoing", "_tls")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._name = server_name
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)
        except ssl.SSLError as error:
            raise reasons.of_tls(error, server_name) from None
        except ValueError:  # an empty name, one that begins with a dot, one that IDNA cannot write
            raise WireError("tls", f"TLS cannot ask for a server of the name {server_name!r}") from None

    def feed(self, data: bytes) -> None:
        """Take what came; nothing is the end of the connection."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Return what must be sent now, if anything."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise reasons.of_tls(error, self._name) from None
        return True

    def seal(self, data: bytes) -> bytes:
        """Return these bytes as they must be sent."""
        # A memory BIO takes everything, so one write of OpenSSL may be shorter only by its own records.
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        return self._outgoing.read()

    def read(self) -> bytes | None:
        """Return what can be read; None when more must come first, nothing at the end."""
        try:
            return self._tls.read(CHUNK)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise reasons.of_tls(error, self._name) from None

    def facts(self) -> TlsFacts:
        """Return what the handshake showed."""
        return certificates.facts_of(self._tls)
