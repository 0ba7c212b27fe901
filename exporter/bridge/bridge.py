"""The bridge while it runs: what the webhook, the scrape and the pages ask of it, and its four loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from exporter import alerts
from exporter.bridge.intake import Intake
from exporter.bridge.keeper import Keeper
from exporter.bridge.options import DEFAULT, NOTIFICATIONS, RESTARTS
from exporter.bridge.reading import Reading
from exporter.bridge.terms import terms
from exporter.process_alarms.alarms import Alarms
from exporter.silences import Silences
from exporter.store import backlog, circuits, counters, incidents
from exporter.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.acting import Parts
    from exporter.bridge.receipts import Receipt
    from exporter.circuit import Circuit, Key
    from exporter.config import Configuration
    from exporter.model import Clock, ProbeParts
    from exporter.services.maintenance import Maintenance
    from exporter.store.store import Store

APART: Final = 256 * 1024
"""Bytes from which a payload is read in a thread: 5 ms and more would keep everybody else waiting."""


class Bridge:
    """Receives alerts, keeps incidents and works off the backlog."""

    def __init__(self, store: Store, clock: Clock, replica: str, configuration: Configuration) -> None:
        """`replica` names this process among those that share the store."""
        self.queues: tuple[str, ...] = ()
        """Every queue that is configured or built in."""
        self.acting: tuple[tuple[str, str], ...] = ()
        """Each queue that is worked off, with the kind of its action."""
        self.restarting: tuple[tuple[str, str], ...] = ()
        """The queue of restarts with each kind of them."""
        self._store = store
        self._clock = clock
        self._scope = counters.scope_of(store, replica)
        self._reading = Reading(store.where)
        self.worker = Worker(store, clock, replica, self._scope)
        self.alarms = Alarms(store, clock, self._scope, self.worker.wake)
        self.worker.around.alarms = self.alarms
        self.intake = Intake(store, clock, self._scope, terms(configuration), self.worker.wake)
        self.keeper = Keeper(store, clock, self._scope, self.intake, self.worker.wake)

    def adopt(self, configuration: Configuration, parts: Parts, probing: ProbeParts, maintenance: Maintenance) -> None:
        """Take a configuration: what is decided from now on is decided by it."""
        self.configuration = configuration
        self.queues = tuple(sorted({*configuration.queues, RESTARTS, NOTIFICATIONS, *_default(configuration)}))
        self.acting = tuple(
            (name, one.action.kind) for name, one in sorted(configuration.queues.items()) if one.action is not None
        )
        restarts = {one.restart.kind for one in configuration.services.values() if one.restart is not None}
        self.restarting = tuple((RESTARTS, kind) for kind in sorted(restarts))
        self.intake.terms = terms(configuration)
        self.keeper.retention = configuration.incidents.retention
        self.keeper.finished_retention = configuration.backlog.retention
        self.keeper.restarts_retention = configuration.restarts.retention
        silences = Silences(configuration.alertmanager, self._clock, parts.permits)
        self.worker.around.silences = silences if silences.asks else None
        self.alarms.adopt(configuration, probing.databases)
        self.worker.adopt(configuration, parts, probing, maintenance)

    @property
    def trouble(self) -> str | None:
        """Why the store cannot take what is decided."""
        return self.intake.trouble or self.keeper.trouble or self.worker.trouble or self.alarms.trouble

    def start(self) -> None:
        """Begin to receive, to look after incidents and alarms, and to work."""
        self.intake.start()
        self.keeper.start()
        self.worker.start()
        self.alarms.start()

    async def receive(self, body: bytes) -> Receipt:
        """Take one payload; what it says is on disk when this returns.

        Raises PayloadError for what cannot be read, OverloadedError and StoreError for what should be sent again.
        """
        now = self._clock.time()
        if len(body) < APART:
            delivery = alerts.parse(body, now)
        else:
            delivery = await asyncio.to_thread(alerts.parse, body, now)
        return await self.intake.take(delivery)

    async def totals(self, families: Sequence[str]) -> Mapping[str, Mapping[tuple[str, ...], float]]:
        """Return the totals that this process exports, by family and label values."""
        return await self._reading.told(
            ("totals", *families), lambda: counters.totals(self._store, self._scope, families)
        )

    async def incident_counts(self) -> Mapping[str, int]:
        """Return how many incidents there are by state."""
        return await self._reading.told(("incidents",), lambda: incidents.counts(self._store))

    async def item_counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many items there are by queue and state."""
        return await self._reading.told(("items",), lambda: backlog.counts(self._store))

    async def held_counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many items are held now, by queue and reason."""
        return await self._reading.told(("held",), lambda: backlog.held(self._store))

    async def oldest_pending(self) -> Mapping[str, float]:
        """Return since when the oldest pending item of each queue is due."""
        return await self._reading.told(("oldest",), lambda: backlog.oldest_pending(self._store))

    async def circuits(self) -> tuple[Mapping[Key, Circuit], float]:
        """Return the circuits that were ever stepped, and the time by the clock that they run by."""
        return await self._reading.told(("circuits",), lambda: circuits.listed(self._store))

    def hurry(self) -> None:
        """Give actions that run no more grace, now or at the end."""
        self.worker.hurry()

    async def close(self, grace: float) -> None:
        """Store what waits, let actions that run end within `grace` seconds, and give back what is left."""
        await self.intake.close()
        await self.worker.close(grace)
        await self.alarms.close()
        await self.keeper.close()


def _default(configuration: Configuration) -> tuple[str, ...]:
    """Return the queue of the command line where the configuration does not name the only one."""
    return () if len(configuration.queues) == 1 or configuration.backlog.queue else (DEFAULT,)
