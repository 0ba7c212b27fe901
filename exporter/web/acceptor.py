"""What happens to a new connection before the first byte of HTTP: the cap, and TLS with the context of the moment."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from exporter.web.tls import is_allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.web.access import Access, WatchedAccess
    from exporter.web.limits import Connections
    from exporter.web.logging_limit import Limited

_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0


class Acceptor(asyncio.Protocol):
    """The first protocol of a connection; it hands over to the one that speaks HTTP.

    TLS is begun here, connection by connection, and not by the listening server: so a renewed certificate holds for
    the next connection, and the bytes unsent below TLS can be seen.
    """

    def __init__(
        self,
        connections: Connections,
        access: WatchedAccess,
        speak: Callable[[], asyncio.Protocol],
        complaints: Limited,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._connections = connections
        self._access = access
        self._speak = speak
        self._complaints = complaints
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once when there are too many."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server hands out
        if not self._connections.take(transport):
            transport.abort()
            self._complaints.warning("Too many connections are open", {"open": len(self._connections)})
            return
        access = self._access.current()
        if access.context is None:
            protocol = self._speak()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return
        task = asyncio.get_running_loop().create_task(self._secure(transport, access, access.context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _secure(self, transport: asyncio.Transport, access: Access, context: ssl.SSLContext) -> None:
        protocol = self._speak()
        # Until the handshake is done the HTTP protocol is not told of the connection, only then it may count it.
        bridge = _Bridge(protocol)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                bridge,
                context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            transport.abort()
            self._complaints.warning("A TLS handshake failed", {"kind": getattr(error, "reason", None) or str(error)})
            return
        peer = secured.get_extra_info("peercert") if secured is not None else None
        if secured is None or (access.config.tls and not is_allowed(peer, access.config.tls.allowed_sans)):
            transport.abort()
            self._complaints.warning("A client certificate names nobody of client_allowed_sans", {})
            return
        bridge.open(secured)


class _Bridge(asyncio.Protocol):
    """Keeps what comes before the handshake has been judged, which TLS 1.3 clients may send at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._early: list[bytes] = []
        self._is_lost = False

    def open(self, transport: asyncio.Transport) -> None:
        """Hand over; a connection that is lost already is not handed over."""
        if self._is_lost:
            transport.abort()
            return
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)
        for data in self._early:
            self._protocol.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._is_lost = True
