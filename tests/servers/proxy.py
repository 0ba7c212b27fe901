"""A TCP proxy that misbehaves on demand, between a client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Literal
from urllib.parse import urlsplit

from servers.programs import HOST

Mode = Literal["pass", "blackhole", "reset", "delay"]
CHUNK = 65536
CONNECT_SECONDS = 5.0
# SO_LINGER of zero seconds: closing sends RST instead of FIN (tcp(7), socket(7)).
LINGER = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards loopback connections to a port; `mode` may be set from any thread while connections are open.

    - `pass`: bytes go through.
    - `blackhole`: connections are taken and bytes accepted, nothing is ever answered or closed, as when a firewall
      drops every packet. A connection that lost bytes stays silent when the mode changes back.
    - `reset`: open connections get a RST, new ones too.
    - `delay`: each piece waits `delay` seconds before it goes on.
    """

    def __init__(self, port: int, delay: float = 0.2) -> None:
        self.target = port
        self.delay = delay
        self.accepted = 0
        self.port = 0
        self._mode: Mode = "pass"
        self._writers: set[asyncio.StreamWriter] = set()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._thread.start()
        self._started.wait(CONNECT_SECONDS)

    @property
    def mode(self) -> Mode:
        """Return how connections are treated now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "reset":
            asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(CONNECT_SECONDS)

    def url(self, url: str) -> str:
        """Return a URL of the server, leading through the proxy."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{account}@{HOST}:{self.port}" if account else f"{HOST}:{self.port}").geturl()

    def close(self) -> None:
        """End all connections and stop listening."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._finished.set)
            self._thread.join(CONNECT_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._finished = asyncio.Event()
        server = await asyncio.start_server(self._connected, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._finished.wait()
        server.close()
        await self._reset()

    async def _reset(self) -> None:
        for writer in tuple(self._writers):
            with contextlib.suppress(OSError):  # it is closed already
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            if self._mode == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            elif self._mode == "blackhole":
                await self._swallow(reader)
            else:
                await self._join(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, upstream_writer = await asyncio.wait_for(asyncio.open_connection(HOST, self.target), CONNECT_SECONDS)
        self._writers.add(upstream_writer)
        pumps = [
            asyncio.ensure_future(self._pump(reader, upstream_writer)),
            asyncio.ensure_future(self._pump(upstream, writer)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers.discard(upstream_writer)
            upstream_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            piece = await reader.read(CHUNK)
            if self._mode == "delay":
                await asyncio.sleep(self.delay)
            if self._mode == "blackhole":
                await self._swallow(reader)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(CHUNK):
                pass
        await self._finished.wait()
