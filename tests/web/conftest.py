"""A server on real sockets over services that a test can turn as it likes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bcrypt
import pytest

from exporter.clock import SystemClock
from exporter.exposition import Answer
from exporter.web.listeners import Web
from exporter.web.options import ListenerOptions
from exporter.web.services import Health, Receipt, SourceState

if TYPE_CHECKING:
    from exporter.config.options import Secret


@dataclass
class Turnable:
    """Services whose answers are fields."""

    version: str = "1.2.3"
    started: float = 0.0
    clock: SystemClock = field(default_factory=SystemClock)
    answer: Answer = Answer(b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")  # noqa: RUF009
    scrapes: list = field(default_factory=list)
    wait: asyncio.Event | None = None
    error: Exception | None = None
    reloads: int = 0
    not_ready: str | None = None
    how: Health = Health("healthy")  # noqa: RUF009
    listed: tuple = (SourceState("packages", "npm", success=True),)
    watched: tuple = ()
    stopping: bool = False
    webhook_secret: Secret | None = None
    receipt: Receipt = Receipt(accepted=1)  # noqa: RUF009
    received: list = field(default_factory=list)
    delivered: list = field(default_factory=list)

    async def scrape(self, names, timeout, accept, accept_encoding):
        self.scrapes.append((names, timeout, accept, accept_encoding))
        if self.wait is not None:
            await self.wait.wait()
        if self.error is not None:
            raise self.error
        return self.answer

    async def reload(self):
        self.reloads += 1
        if self.error is not None:
            raise self.error

    def readiness(self):
        return self.not_ready

    async def health(self):
        if self.error is not None:
            raise self.error
        return self.how

    def sources(self):
        return self.listed

    def services(self):
        return self.watched

    async def receive(self, body, sender):
        self.received.append((body, sender))
        if self.wait is not None:
            await self.wait.wait()
        if self.error is not None:
            raise self.error
        return self.receipt

    def count_delivery(self, code):
        self.delivered.append(code)


@pytest.fixture
def services():
    made = Turnable()
    made.started = made.clock.time()
    return made


@pytest.fixture
async def serve(services):
    """Start listeners (options, or keywords of one) and return their URLs; they are stopped with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*options, telemetry_path="/metrics", **one):
            listeners = options or (ListenerOptions(address="127.0.0.1:0", **one),)
            web = Web(listeners, services, telemetry_path=telemetry_path)
            await web.start()
            stack.push_async_callback(web.stop, 0.2)
            start.web = web
            return web.addresses

        yield start


@pytest.fixture
async def talk():
    """Send bytes on a raw connection and return everything until the server closes it (or five seconds)."""

    async def send(url, data, *, end=False, seconds=5.0):
        host, _, port = url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(data)
        if end:
            writer.write_eof()
        try:
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    return send


@pytest.fixture
def eventually():
    """Wait until a condition holds, ten seconds at most."""

    async def wait(holds):
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def hashed():
    """Return the bcrypt hash of `wonderland`, at the lowest cost."""
    return bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()
