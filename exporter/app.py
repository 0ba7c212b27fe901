"""The composition root: the one module that knows all parts, starts them in order and ends them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Any, Final

from aiohttp import http_parser

from exporter import __version__, interpreter, logs
from exporter.clock import SystemClock
from exporter.running import Running
from exporter.store.store import Store
from exporter.web import Web

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.config import Configuration
    from exporter.model import Clock

log: Final = logging.getLogger(__name__)

REMEMBER_EVERY: Final = 30.0
"""Seconds between two writes of what was read with success: a kill loses no more than that."""

LOOK_EVERY: Final = 5.0
"""Seconds between two looks at whether the store answers, which readiness tells."""

SHUTDOWN_GRACE: Final = 10.0
"""Seconds that requests under way get; Kubernetes allows 30 in all."""


class Application:
    """The life of the process: start, serve until told to stop, end in reverse order."""

    def __init__(
        self,
        load: Callable[[], Configuration],
        *,
        telemetry_path: str = "/metrics",
        clock: Clock | None = None,
        started: Callable[[tuple[str, ...]], None] | None = None,
        reloads: bool = True,
    ) -> None:
        """Take how the configuration is loaded, now and at each reload; `started` is told the URLs once they answer.

        With `reloads` False, SIGHUP ends it like SIGTERM: what belongs to a terminal ends with that.
        """
        self._load = load
        self._telemetry_path = telemetry_path
        self._clock: Clock = clock or SystemClock()
        self._started = started
        self._reloads_on_hangup = reloads
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reloads: set[asyncio.Task[None]] = set()
        self._running: Running | None = None

    async def run(self) -> None:
        """Serve until a signal or `stop`. Raises WatchbridgeError when it cannot start."""
        interpreter.settle()
        configuration = self._load()
        logs.REDACTION.learn(configuration.secrets)
        logs.set_up(configuration.log)
        for warning in configuration.warnings:
            log.warning("%s", warning)
        async with contextlib.AsyncExitStack() as stack:
            running = await self._start(configuration, stack)
            await self._stopping.wait()
            running.stopping = True
            log.info("shutting down")
        log.info("ended")

    def stop(self) -> None:
        """Ask the program to end; a second time: at once."""
        if not self._stopping.is_set():
            self._stopping.set()
            return
        self._hurry.set()
        if self._running is not None:
            self._running.hurry()

    async def _start(self, configuration: Configuration, stack: contextlib.AsyncExitStack) -> Running:
        self._listen_to_signals({"SIGTERM": self.stop, "SIGINT": self.stop})
        if not self._reloads_on_hangup and not _hangup_is_ignored():
            self._listen_to_signals({"SIGHUP": self.stop})
        store = await Store.open(configuration.store, self._clock, exclusive=True)
        stack.push_async_callback(store.close)
        running = self._running = Running(self._load, configuration, store, self._clock)
        stack.push_async_callback(running.close)
        await running.recall()
        stack.push_async_callback(_ended, asyncio.create_task(_keep_remembering(running)))
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            # Most request-smuggling holes of aiohttp were in the parser written in Python.
            log.warning("aiohttp runs without its C extensions: install a wheel of it for this platform")
        web = Web(
            configuration.listen,
            running,
            telemetry_path=self._telemetry_path,
            scrape_timeout=configuration.scrape.timeout,
            scrape_offset=configuration.scrape.offset,
        )
        stack.push_async_callback(self._stop_web, web)
        await running.watch.prepare()
        running.bridge.start()
        await web.start()
        running.watch.start()
        stack.callback(interpreter.released)
        interpreter.loaded()
        if self._reloads_on_hangup:
            self._listen_to_signals({"SIGHUP": self._reload_soon})
        for url in web.addresses:
            log.info("listening", extra={"fields": {"url": url, "version": __version__}})
        if self._started is not None:
            self._started(tuple(web.addresses))
        return running

    async def _stop_web(self, web: Web) -> None:
        """Let requests under way end, or not when a second signal says so."""
        ending = asyncio.create_task(web.stop(SHUTDOWN_GRACE))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({ending, hurried}, return_when=asyncio.FIRST_COMPLETED)
        await _ended(hurried)
        await _ended(ending)

    def _listen_to_signals(self, handlers: dict[str, Callable[[], None]]) -> None:
        loop = asyncio.get_running_loop()
        for name, handler in handlers.items():
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, handler)
            except NotImplementedError:  # Windows' loop
                signal.signal(number, lambda *_, act=handler: loop.call_soon_threadsafe(act))

    def _reload_soon(self) -> None:
        async def reload() -> None:
            with contextlib.suppress(Exception):  # already logged, and on the metric
                if self._running is not None:
                    await self._running.reload()
                    interpreter.loaded()

        task = asyncio.create_task(reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def _hangup_is_ignored() -> bool:
    """Return whether nohup, or whoever started us, wants us to outlive the terminal."""
    number = getattr(signal, "SIGHUP", None)
    return number is not None and signal.getsignal(number) is signal.SIG_IGN


async def _keep_remembering(running: Running) -> None:
    """Look after the store for as long as we run; nothing that goes wrong once may end that."""
    loop = asyncio.get_running_loop()
    due = loop.time() + REMEMBER_EVERY
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            await running.look_after_store()
            if loop.time() >= due:
                due = loop.time() + REMEMBER_EVERY
                await running.remember()
        except Exception:
            log.exception("the store could not be looked after")


async def _ended(task: asyncio.Task[Any]) -> None:
    """End a task of ours and take in how it ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
