"""Processes in alarm while the server runs: each leads to one restart of its service, and is cleared after that."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from exporter.process_alarms import deciding
from exporter.process_alarms.clearing import CLEAR_SECONDS, Clearing
from exporter.process_alarms.deciding import Changes, Terms
from exporter.process_alarms.noting import Noting, Told, logged
from exporter.process_alarms.options import services_by_process
from exporter.process_alarms.source import BEAT, AlarmSource
from exporter.restarting.strategy import strategy_of
from exporter.store import process_alarms, service_leases, service_restarts
from exporter.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.config import Configuration
    from exporter.databases.database import Database
    from exporter.model import Clock, Mode
    from exporter.store.process_alarms import Alarm
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.process_alarms")

REFRESH_SECONDS: Final = 5.0
"""How long those who decide wait for all sources."""
AGAIN_AFTER: Final = 300.0
"""Seconds after the end of its item after which an alarm that still stands leads to another one."""
PIECE: Final = 1000
"""Alarms that one transaction takes."""
PURGE_EVERY: Final = 3_600.0
PURGED: Final = 20_000


class Alarms:
    """Looks at the tables of process monitors for as long as the server runs."""

    def __init__(self, store: Store, clock: Clock, scope: str, stored: Callable[[], None] | None = None) -> None:
        """`scope` is under which name this process counts; `stored` is called when an item was stored."""
        self._store = store
        self._clock = clock
        self._scope = scope
        self._stored = stored
        self._terms = Terms()
        self._retention = 365 * 86_400.0
        self._sources: dict[str, AlarmSource] = {}
        self._over: dict[int, tuple[int | None, float]] = {}
        """By alarm: the item that ended, and since when (monotonic) we know."""
        self._purged = clock.monotonic()
        self._has_new_terms = False
        self._looks: set[asyncio.Task[None]] = set()
        self._trouble = Trouble(log, "process alarms cannot be kept", "process alarms can be kept again")
        self._serving: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ending = False

    def adopt(self, configuration: Configuration, databases: Mapping[str, Database]) -> None:
        """Take a configuration that was checked, and its open databases; a source that stays the same goes on."""
        mode: Mode = configuration.mode or "observe"  # type: ignore[assignment]  # it was checked
        services = configuration.services
        self._terms = Terms(services_by_process(services), frozenset(services), mode, partial(_plan, services))
        if configuration.restarts is not None:
            self._retention = configuration.restarts.retention
        earlier, self._sources = self._sources, {}
        for name, options in configuration.alarms.items():
            database, known = databases[options.database], earlier.get(name)
            if known is None or known.options != options or known.database is not database:
                known = AlarmSource(name, options, database, self._clock)
            known.is_noted = not known.is_known  # who is a service may have changed
            self._sources[name] = known
        self._has_new_terms = True
        self._changed.set()

    @property
    def trouble(self) -> str | None:
        """Why the store cannot take what is found; that a source cannot be read is none of it."""
        return self._trouble.reason

    @property
    def next_look_at(self) -> float | None:
        """When the next look is due, by the monotonic clock; None where there is no source."""
        return min((one.due_at for one in self._sources.values()), default=None)

    @property
    def failing(self) -> Mapping[str, str]:
        """Why sources cannot be read, by their names; those that can are left out."""
        return {name: one.failing for name, one in self._sources.items() if one.failing is not None}

    def start(self) -> None:
        """Begin to look."""
        self._serving = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """End after the look under way, where that is soon."""
        self._ending = True
        self._changed.set()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=2 * BEAT)
            self._serving.cancel()
            await asyncio.wait({self._serving})
        for task in tuple(self._looks):
            task.cancel()
        if self._looks:
            await asyncio.wait(self._looks)

    async def _serve(self) -> None:
        while not self._ending:
            self._changed.clear()
            await self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT if self._sources else None):
                    await self._changed.wait()

    async def tick(self) -> None:
        """Look once at what is due, and write what that changed; never raises."""
        now = self._clock.monotonic()
        due = [one for one in self._sources.values() if one.pace(now)]
        await asyncio.gather(*(one.look(now) for one in due))
        # Another replica that decides for long is no trouble of the store: what was found is written by the next look.
        with self._trouble.noted(), contextlib.suppress(service_leases.DecisionsBusyError):
            await self._note()

    async def _note(self) -> None:
        for source in tuple(self._sources.values()):
            async with source.turn:
                if source.is_known and not source.is_noted:
                    await self._note_one(source)
                    source.is_noted = True
        now = self._clock.monotonic()
        if self._has_new_terms:
            await self._end_orphans()
            self._has_new_terms = False
        if self._sources and now - self._purged >= PURGE_EVERY:
            self._purged = now
            await process_alarms.purge(self._store, self._clock.time() - self._retention, PURGED)

    async def _note_one(self, source: AlarmSource) -> None:
        known = await process_alarms.standing(self._store, source.name)
        helped = await self._helped(known)
        late = [alarm for alarm in known if alarm.id in helped and self._is_due_again(alarm)]

        def is_due(alarm: Alarm) -> bool:
            return alarm.id not in helped and self._is_due_again(alarm)

        found = deciding.changes(source.name, source.processes, known, self._terms, is_due)
        await self._write(source.name, source.options.mode, found)
        if source.options.mode != "observe":
            await self._clear_late(source, late)
        for alarm in found.ended.values():
            self._over.pop(alarm.id, None)

    async def _helped(self, known: Sequence[Alarm]) -> set[int]:
        """Return the alarms whose restart helped, which could not be cleared then: nothing is restarted for them."""
        done = [alarm for alarm in known if alarm.item_state == "done" and alarm.service is not None]
        if not done:
            return set()
        async with self._store.reading() as connection:
            newest = await service_restarts.verified(connection, {alarm.service or "" for alarm in done})
        return {alarm.id for alarm in done if (alarm.item_id or 0) <= newest.get(alarm.service or "", 0)}

    async def _clear_late(self, source: AlarmSource, alarms: Sequence[Alarm]) -> None:
        """Try anew to clear what could not be cleared after a restart that helped; the source's turn is ours."""
        for alarm in alarms:
            self._over[alarm.id] = alarm.item_id, self._clock.monotonic()
        for service in sorted({alarm.service for alarm in alarms if alarm.service is not None}):
            for sentence in await self._clearing.done(source, service):
                log.warning("%s is well after its restart, and stays in alarm: %s", service, sentence)

    async def _write(self, source: str, mode: Mode | None, found: Changes) -> None:
        noting = Noting(source, self._terms, mode or "auto", self._scope)
        told: list[Told] = []
        try:
            for part in found.parts(PIECE):
                # Nobody claims an item, or ends one, while we look for it: of all replicas one at a time does.
                async with service_leases.deciding(self._store) as (connection, _):
                    noted = await noting.write(connection, part, self._clock.time())
                told += noted.told
                if noted.enqueued and self._stored is not None:
                    self._stored()
        finally:
            logged(told, source)

    async def _end_orphans(self) -> None:
        """End the alarms of sources that are configured no more. In a shared store others may have them."""
        if self._store.dialect != "sqlite":
            return
        for name in await process_alarms.sources(self._store):
            if all(process_alarms.stored_name(one) != name for one in self._sources):
                known = await process_alarms.standing(self._store, name)
                await self._write(name, None, Changes(ended={one.head: one for one in known}))

    def _is_due_again(self, alarm: Alarm) -> bool:
        now = self._clock.monotonic()
        if not deciding.is_over(alarm):
            self._over.pop(alarm.id, None)
            return False
        item, since = self._over.get(alarm.id, (None, now))
        if alarm.id not in self._over or item != alarm.item_id:
            self._over[alarm.id] = alarm.item_id, now
            return False
        return now - since >= AGAIN_AFTER

    async def refresh(self) -> None:
        """Look at every source anew where the last look is older than a second; never raises.

        Within `REFRESH_SECONDS`: what is not known by then cannot be known.
        """
        now = self._clock.monotonic()
        looks = {asyncio.create_task(one.look(one.look_again(now))): one for one in self._sources.values()}
        if not looks:
            return
        self._looks.update(looks)
        for task in looks:
            task.add_done_callback(self._looks.discard)
        _, late = await asyncio.wait(looks, timeout=REFRESH_SECONDS)
        for task in late:
            looks[task].is_known = False
        if any(not one.is_noted for one in self._sources.values()):
            self._changed.set()

    def standing(self, context: Mapping[str, Any]) -> bool | None:
        """Return whether the alarm that an item was made for stands, by its context; None where nobody can know.

        It stands as well where another process of the same service is in alarm: that one has no item of its own.
        """
        alarm = context.get("alarm")
        if not isinstance(alarm, dict):
            return None
        own = self._sources.get(str(alarm.get("source")))
        service, number = alarm.get("service"), alarm.get("process_id")
        in_doubt = own is None or not own.is_known
        for source in self._sources.values():
            stands = any(
                self._terms.service(one) == service if service else (source is own and one.id == number)
                for one in source.processes
            )
            if stands and source.is_known:
                return True
            in_doubt = in_doubt or stands
        return None if in_doubt else False

    async def clear(self, service: str) -> list[str]:
        """Let the tables say that the processes of a service are in alarm no more; return a sentence for each failure.

        Only after a restart of it that was verified. Never raises, and ends in time. A source whose mode is observe is
        never written to.
        """
        sources = [one for one in self._sources.values() if one.options.mode != "observe"]
        failures = await asyncio.gather(*(self._cleared(one, service) for one in sources))
        return [sentence for found in failures for sentence in found]

    async def _cleared(self, source: AlarmSource, service: str) -> list[str]:
        try:
            async with asyncio.timeout(CLEAR_SECONDS), source.turn:
                return await self._clearing.done(source, service)
        except TimeoutError:
            what = f"the alarm of {service!r} in {source.name!r} was not cleared"
            return [f"{what}: that took longer than {CLEAR_SECONDS:g} s"]

    @property
    def _clearing(self) -> Clearing:
        return Clearing(self._store, self._clock, self._scope, self._terms)


def _plan(services: Mapping[str, Any], service: str) -> str:
    """Return in words what would be run for a service."""
    strategy = strategy_of(service, services[service])
    plan = "nothing, as it has no `restart`" if strategy is None else strategy.plan()
    return plan if isinstance(plan, str) else plan.sentence
