"""What probes call: one call, one outcome, whatever happens on the network."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from exporter.clock import SystemClock
from exporter.wire import reasons
from exporter.wire.addresses import numeric, ordered
from exporter.wire.call import Outcome, WireError
from exporter.wire.connection import Connection
from exporter.wire.engine import CLOSED, Engine
from exporter.wire.names import Lookup, Names

if TYPE_CHECKING:
    from exporter.model import Clock
    from exporter.wire.call import Call, Conversation, Family

CLOSING_SECONDS: Final = 0.5
"""How long `close` waits for the thread, and half as long for look-ups that hang."""


class Wire:
    """The connections of all probes of this process. Making it costs nothing: the thread starts with the first call."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._now = (clock or SystemClock()).monotonic
        self._names = Names(self._now)
        self._engine: Engine | None = None
        self._closed = False

    async def call(self, call: Call, conversation: Conversation, timeout: float) -> Outcome:
        """Make a connection and hold the conversation; return how it went, within about `timeout` seconds.

        The time counts from when the thread takes the call up, so that a program that is late is not booked to the
        target. Never raises but for a cancellation, which closes the connection.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            engine = self._started()
        except WireError as error:
            return Outcome(error=error)
        connection = Connection(call, conversation, timeout, future)
        if not engine.submit(connection):
            return Outcome(error=CLOSED)
        try:
            return await future
        except asyncio.CancelledError:
            engine.send(connection.give_up)
            raise

    async def resolve(self, host: str, prefer: Family | None, fallback: bool, timeout: float) -> tuple[str, ...]:  # noqa: FBT001 - as in `Call`
        """Return the numeric addresses of a name in the order in which they would be tried.

        A numeric host is its own address. Raises WireError, of the cause "resolve", when there is none in time.
        """
        known = numeric(host)
        found = (known,) if known else (await self._looked_up(host, timeout)).addresses
        addresses = ordered(found, prefer, fallback=fallback)
        if not addresses:
            raise reasons.of_no_address(host, prefer)
        return tuple(f"{one.host}%{one.scope}" if one.scope else one.host for one in addresses)

    async def close(self) -> None:
        """End every call and the threads, within a second; calls are answered with an error from now on."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            engine.close(lambda: _tell(loop, ended))
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await ended.wait()
                engine.join(CLOSING_SECONDS)
        await self._names_ended()

    async def _names_ended(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        threads = self._names.close(lambda: _tell(loop, ended))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS / 2):
                await ended.wait()
            for thread in threads:
                thread.join(CLOSING_SECONDS / 2)

    def _started(self) -> Engine:
        if self._closed:
            raise CLOSED
        if self._engine is None or self._engine.over:
            try:
                engine = Engine(self._now, self._names)
                engine.start()
            except (OSError, RuntimeError):
                raise WireError("system", "the thread of probes cannot be started: raise the limits") from None
            self._engine = engine
        return self._engine

    async def _looked_up(self, host: str, timeout: float) -> Lookup:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Lookup] = loop.create_future()

        def told(lookup: Lookup) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there
                loop.call_soon_threadsafe(_set, future, lookup)

        self._names.ask(host, told)
        try:
            async with asyncio.timeout(timeout):
                lookup = await future
        except TimeoutError:
            raise reasons.of_slow_name(host, timeout) from None
        finally:
            self._names.forget(host, told)
        if lookup.error:
            raise lookup.error
        return lookup


def _set(future: asyncio.Future[Lookup], lookup: Lookup) -> None:
    if not future.done():
        future.set_result(lookup)


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits there
        loop.call_soon_threadsafe(ended.set)
