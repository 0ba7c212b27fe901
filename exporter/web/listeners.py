"""The listeners of the configuration: started together, each with what it serves, and stopped in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.web import limits
from exporter.web.acceptor import Acceptor
from exporter.web.access import WatchedAccess
from exporter.web.logging_limit import Limited
from exporter.web.metrics import DEFAULT_TIMEOUT, OFFSET
from exporter.web.protocol import Connection
from exporter.web.routes import Served, application
from exporter.web.sockets import listening_sockets, url

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from exporter.web.options import ListenerOptions
    from exporter.web.services import Services

logger = logging.getLogger(__name__)

_CUT = 0.5
"""Seconds beyond the grace in which a handler that will not end is cancelled."""


class Listener:
    """One listener: its sockets, its connections, and what it serves."""

    def __init__(self, options: ListenerOptions, services: Services, served: Served) -> None:
        """Read the web configuration; WebConfigError when it is bad."""
        self._options = options
        self._access = WatchedAccess(options.web_config, services.clock)
        self._complaints = Limited(logger, services.clock)
        self._connections = limits.Connections(services.clock, limits.CONNECTIONS, limits.WRITE_DEADLINE)
        app = application(options, services, self._access, served)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CUT)
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, as URLs; known once it is bound."""
        secure = self._access.current().context is not None
        return tuple(url(each, secure=secure) for each in self._sockets)

    async def bind(self) -> None:
        """Take the addresses; ListenError when one cannot be had."""
        self._sockets = await listening_sockets(self._options.address)

    async def serve(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        server = self._runner.server
        loop = asyncio.get_running_loop()
        assert server is not None  # noqa: S101 - a runner has one after its setup

        def accept() -> asyncio.Protocol:
            def speak() -> asyncio.Protocol:
                return Connection(server, loop, self._complaints)

            return Acceptor(self._connections, self._access, speak, self._complaints, self._tasks)

        for each in self._sockets:
            self._servers.append(await loop.create_server(accept, sock=each))
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, grace: float) -> None:
        """Stop accepting, let what runs end within `grace` seconds, then cut the rest."""
        for accepting in self._servers:
            accepting.close()
        for each in self._sockets:
            each.close()
        for task in (*self._tasks, *([self._sweeper] if self._sweeper else [])):
            task.cancel()
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace + _CUT):
                    await server.shutdown(grace)
        self._connections.abort()
        await self._runner.cleanup()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(limits.SWEEP_EVERY)
            self._connections.sweep()


class Web:
    """All listeners of the configuration."""

    def __init__(
        self,
        listeners: Sequence[ListenerOptions],
        services: Services,
        *,
        telemetry_path: str = "/metrics",
        scrape_timeout: float = DEFAULT_TIMEOUT,
        scrape_offset: float = OFFSET,
    ) -> None:
        """Read every web configuration; WebConfigError when one is bad. Times are in seconds."""
        served = Served(telemetry_path=telemetry_path, scrape_timeout=scrape_timeout, scrape_offset=scrape_offset)
        self._bodies = served.bodies
        self._listeners = [Listener(options, services, served) for options in listeners]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where we listen, as URLs in the order of the configuration; known once started."""
        return tuple(address for listener in self._listeners for address in listener.addresses)

    async def start(self) -> None:
        """Take all addresses and begin to answer; ListenError when one cannot be had, and then none is kept."""
        try:
            for listener in self._listeners:
                await listener.bind()
            for listener in self._listeners:
                await listener.serve()
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace: float) -> None:
        """Stop accepting, let running requests end within `grace` seconds, close what is idle, then cut the rest."""
        self._bodies.close()
        await asyncio.gather(*(listener.stop(grace) for listener in self._listeners))
