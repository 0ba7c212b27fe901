"""The program while it runs: what the web asks of it, and how a new configuration takes the place of the old one."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from typing import TYPE_CHECKING, Any, Final

from exporter import __version__, acting, interpreter, logs, probing
from exporter.alerts import PayloadError
from exporter.bridge.bridge import Bridge
from exporter.errors import InvalidConfigurationError, UnknownCollectorError, WatchbridgeError
from exporter.guard import Guard
from exporter.kinds import words
from exporter.model import Reload
from exporter.ondemand import OnDemand
from exporter.scrape import Scrape
from exporter.services.watch import Watch
from exporter.sources import families, generation
from exporter.store.collector_runs import recall, remember
from exporter.store.options import key_ring
from exporter.telemetry import Telemetry
from exporter.web.services import Health, Receipt, ServiceState, SourceState
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.config import Configuration
    from exporter.config.options import Secret
    from exporter.exposition import Answer
    from exporter.model import Clock
    from exporter.sources import Generation
    from exporter.store.store import Store
    from exporter.web.services import ProbeRefusal, ProbeRequest

log: Final = logging.getLogger(__name__)

RETIRE_PATIENCE: Final = 125.0
"""Seconds in which scrapes that began before a reload may end: a little more than the longest deadline."""

ACTIONS_GRACE: Final = 10.0
"""Seconds that actions under way get at the end; with those of requests and probes less than Kubernetes' 30."""

STORE_PATIENCE: Final = 2.0
"""Seconds in which the store must answer a health check."""


_RECEIVED: Final = ("accepted", "duplicates", "late", "quarantined", "refused", "truncated")


def _fixed(configuration: Configuration) -> tuple[object, ...]:
    """Return what a reload cannot change."""
    scrape = configuration.scrape
    return configuration.listen, configuration.store, scrape.timeout, scrape.offset


def _refuse_emptied(configuration: Configuration) -> None:
    """Refuse an empty file: it is a configuration, but on a reload it is one that somebody is just writing."""
    if configuration.path is not None and configuration.blank:
        told = f"{configuration.path} says nothing: write the configuration into it and reload again"
        raise InvalidConfigurationError((told,))


def _secrets(made: Generation) -> frozenset[str]:
    return made.configuration.secrets | made.modules.secrets


def _taken_in(look: asyncio.Task[Any]) -> None:
    """Take in how a look ended that nobody waits for any more: the loop would log it as never retrieved."""
    if not look.cancelled():
        look.exception()


def _replica(configuration: Configuration) -> str:
    """Return the name of this process among those that share the store."""
    return configuration.replica or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"


async def _retire(scrape: Scrape, old: Generation, fresh: Generation, earlier: asyncio.Task[None] | None) -> None:
    """Let the scrapes that began under the old configuration end under it, and those before them first."""
    try:
        if earlier is not None:
            await asyncio.wait({earlier})
        await scrape.drain(RETIRE_PATIENCE)
    finally:
        await scrape.close()
        await old.close(keep=fresh.databases)


class Running:
    """What is behind the pages: the sources of the configuration now in force, the store, and how both are."""

    def __init__(self, load: Callable[[], Configuration], first: Configuration, store: Store, clock: Clock) -> None:
        """Build what the first configuration names; `load` gives the next one. Raises ConfigurationError."""
        self.version = __version__
        self.clock = clock
        self.started = clock.time()
        self.stopping = False
        self._load = load
        self._store = store
        # A full disk can still be read: one does not speak for the other.
        self._unread: str | None = None
        self._unwritten: str | None = None
        self._look: asyncio.Task[Any] | None = None
        self._reloading = asyncio.Lock()
        self._collectors = words("collectors")
        self._state = Reload(successful=True, success_at=self.started)
        self._wire = Wire(clock=clock)
        replica = _replica(first)
        self.watch = Watch(store, clock, replica, first, key_ring(first.store), socket.gethostname())
        self.bridge = Bridge(store, clock, replica, first)
        self._generation: Generation = generation(first, clock, self._state, None, self.watch, self.bridge)
        logs.REDACTION.learn(_secrets(self._generation))
        self._demand = self._adopted(self._generation)
        self._scrape = Scrape(self._generation.sources, first.scrape, clock)
        self._telemetry = Telemetry(families())
        self._retiring: asyncio.Task[None] | None = None

    def _adopted(self, made: Generation) -> OnDemand:
        """Let the services of a configuration be watched, and return what answers `/probe` under it."""
        guard = Guard(made.configuration.probing.allow)
        parts = probing.Parts(wire=self._wire, databases=made.databases, clock=self.clock, permits=guard.configured)
        self.watch.adopt(made.configuration, parts)
        acts = acting.Parts(self.clock, made.configuration.email, made.configuration.alertmanager, guard.configured)
        self.bridge.adopt(made.configuration, acts, parts, self.watch.maintenance)
        wanted = made.configuration.probing.concurrency
        if (places := interpreter.affordable(wanted)) < wanted:
            log.warning("%d probes run at once, not %d: raise the limit of open files (ulimit -n)", places, wanted)
            self.watch.scheduler.resize(places)
        for warning in made.modules.warnings:
            log.warning("%s", warning)
        return OnDemand(made.modules.choices, made.modules.refused, self.watch.named, guard, parts)

    async def probe(self, request: ProbeRequest) -> Answer | ProbeRefusal:
        """Probe what a request asks for and return its metrics, or its story when `debug` is set; never raises."""
        return await self._demand.probe(request)

    @property
    def webhook_secret(self) -> Secret | None:
        """The bearer token of those who may send alerts."""
        secret: Secret | None = self._generation.configuration.alertmanager.bearer_token
        return secret

    def count_delivery(self, code: int) -> None:
        """Count the status of an answer to a delivery."""
        self.bridge.intake.answered(code)

    async def receive(self, body: bytes, sender: str) -> Receipt:
        """Take a delivery of Alertmanager's; what it says is on disk where no problem is told."""
        try:
            stored = await self.bridge.receive(body)
        except PayloadError as error:
            log.warning("a delivery cannot be read: %s", error.sentence, extra={"fields": {"sender": sender}})
            return Receipt(problem=(error.status, error.word, error.sentence))
        except WatchbridgeError as error:
            log.warning("a delivery cannot be stored: %s", error, extra={"fields": {"sender": sender}})
            return Receipt(problem=(503, "cannot_store", str(error)))
        return Receipt(**{name: getattr(stored, name) for name in _RECEIVED})

    async def scrape(
        self, names: frozenset[str] | None, timeout: float, accept: str | None, accept_encoding: str | None
    ) -> Answer:
        """Answer a scrape; UnknownCollectorError names the collectors there are."""
        for name in sorted(names or ()):
            if name not in self._collectors:
                raise UnknownCollectorError(word=name, known=", ".join(self._collectors))
        return await self._telemetry.answer(self._scrape, names, timeout, accept, accept_encoding)

    @property
    def _trouble(self) -> str | None:
        return self._unread or self._unwritten or self.watch.trouble or self.bridge.trouble

    def readiness(self) -> str | None:
        """Return why no work can be done, or None."""
        return "it is shutting down" if self.stopping else self._trouble

    async def health(self) -> Health:
        """Return whether the store answers and which sources cannot be read."""
        await self.look_after_store()
        if trouble := self._trouble:
            return Health("unhealthy", {"store": "unhealthy"}, trouble)
        details = {"store": "healthy"}
        for outlet in self._scrape.outlets:
            details["/".join(outlet.key)] = "healthy" if outlet.failing is None else "degraded"
        failing = any(state != "healthy" for state in details.values())
        return Health("degraded" if failing else "healthy", details)

    def sources(self) -> Iterable[SourceState]:
        """Yield the configured sources and how their last read went."""
        for outlet in self._scrape.outlets:
            read = None if outlet.last is None and outlet.failing is None else outlet.failing is None
            reason = None if outlet.failing is None else logs.REDACTION.apply(outlet.failing)
            yield SourceState(*outlet.key, read, outlet.last_success, reason)

    def services(self) -> Iterable[ServiceState]:
        """Yield the services that this process probes and how they are."""
        for standing in sorted(self.watch.board, key=lambda one: one.service.key):
            service = standing.service
            yield ServiceState(
                service.client,
                service.name,
                standing.state,
                standing.since,
                logs.REDACTION.apply(standing.reason),
                standing.ran_at,
                self.watch.scheduler.next_run(service.id),
            )

    async def reload(self) -> None:
        """Load the configuration again. A mistake in it changes nothing but the metric that says so, and is raised."""
        async with self._reloading:
            try:
                # Reading files and checking them takes a moment, and a scrape may be under way.
                configuration = await asyncio.to_thread(self._load)
                _refuse_emptied(configuration)
                fresh = generation(configuration, self.clock, self._state, self._generation, self.watch, self.bridge)
                if _fixed(configuration) != _fixed(self._generation.configuration):
                    log.warning("`listen`, `store`, `scrape.timeout` and `scrape.offset` take effect at the next start")
                logs.set_up(configuration.log)
            except WatchbridgeError as error:
                self._state.successful = False
                log.error("the configuration was not reloaded, the old one stays: %s", error)  # noqa: TRY400 - a sentence
                raise
            except Exception:
                self._state.successful = False
                log.exception("the configuration was not reloaded, the old one stays")
                raise
            self._adopt(fresh)
            self._state.successful, self._state.success_at = True, self.clock.time()
            log.info("the configuration was reloaded", extra={"fields": {"services": len(configuration.services)}})

    def _adopt(self, fresh: Generation) -> None:
        """Put a new generation in the place of the running one."""
        configuration, old, old_scrape = fresh.configuration, self._generation, self._scrape
        logs.REDACTION.learn(_secrets(fresh) | _secrets(old))
        for warning in configuration.warnings:
            log.warning("%s", warning)
        scrape = Scrape(fresh.sources, configuration.scrape, self.clock)
        scrape.adopt(old_scrape)
        self._generation, self._scrape = fresh, scrape
        self._demand = self._adopted(fresh)
        self._retiring = asyncio.create_task(_retire(old_scrape, old, fresh, self._retiring))

    def hurry(self) -> None:
        """Give actions that run no more grace."""
        self.bridge.hurry()

    async def recall(self) -> None:
        """Take up when each source was last read, before this process was started."""
        self._scrape.recall(await recall(self._store))

    async def look_after_store(self) -> None:
        """See whether the store answers: readiness says so until the next look."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(recall(self._store))
            self._look.add_done_callback(_taken_in)
        # Not cancelled when it is late: unwinding would take as long again, and the next look asks how it ended.
        done, _ = await asyncio.wait({self._look}, timeout=STORE_PATIENCE)
        if not done:
            self._unread = f"the store did not answer within {STORE_PATIENCE:g} s"
            return
        error = None if self._look.cancelled() else self._look.exception()
        if error is not None and not isinstance(error, WatchbridgeError):
            raise error
        self._unread = None if error is None else str(error)

    async def remember(self) -> None:
        """Write down when each source was last read; a store that cannot take it makes us not ready, nothing worse."""
        try:
            await remember(self._store, self._scrape.successes())
        except WatchbridgeError as error:
            if self._unwritten is None:
                log.error("the store cannot be written: %s", error)  # noqa: TRY400 - a sentence, not a traceback
            self._unwritten = str(error)
        else:
            self._unwritten = None

    async def close(self) -> None:
        """End actions, probes and reads that are under way, write down what they knew, and close the databases."""
        await self.bridge.close(ACTIONS_GRACE)
        await self.watch.close()
        await self._wire.close()
        await self._scrape.close()
        if self._look is not None:
            self._look.cancel()
        if self._retiring is not None:
            self._retiring.cancel()
            await asyncio.wait({self._retiring})
        await self.remember()
        self._telemetry.close()
        await self._generation.close(keep={})
