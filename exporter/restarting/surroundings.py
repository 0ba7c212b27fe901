"""What is looked at just before it is decided whether something may be done: parents, silences, alarms.

None of it is in the store, so it is asked before the transaction begins, and never for longer than it must.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from exporter import order, probing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

    from exporter.model import Clock, ProbeParts, Reading
    from exporter.restarting.strategy import Check, Restartable

log: Final = logging.getLogger("exporter.restarts")

FRESH: Final = 3.0
"""Seconds for which what was seen may be decided on."""
LONGEST: Final = 30.0
"""Seconds that looking around may take; who was not seen by then is as it was before."""
AT_ONCE: Final = 20
"""Parents that are looked at at once."""


class Silenced(Protocol):
    """Who knows what Alertmanager silences."""

    async def refresh(self) -> None:
        """Ask it, unless that was done just now; never raises."""
        ...

    def reason(self, labels: Mapping[str, str]) -> str | None:
        """Return why an alert is silenced, None where it is not."""
        ...


class Alarming(Protocol):
    """Who knows which processes are in alarm."""

    async def refresh(self) -> None:
        """Read their tables, unless that was done just now; never raises."""
        ...

    def standing(self, context: Mapping[str, Any]) -> bool | None:
        """Return whether the alarm that led to an item stands, None where that cannot be read."""
        ...

    async def clear(self, service: str) -> list[str]:
        """Clear the alarm of a service; return a sentence for each that could not be; never raises."""
        ...


class Surroundings:
    """What was seen around the services that are to be restarted."""

    def __init__(self, clock: Clock, woken: Callable[[], None]) -> None:
        """`woken` is called when a look has ended."""
        self.silences: Silenced | None = None
        self.alarms: Alarming | None = None
        self.down: dict[str, str] = {}
        """Parents that the last look found down, each with the reason."""
        self.up: frozenset[str] = frozenset()
        """Parents that the last look found up or degraded."""
        self._clock = clock
        self._woken = woken
        self._terms: Restartable | None = None
        self._parts: ProbeParts | None = None
        self._seen: frozenset[str] = frozenset()
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None

    def adopt(self, terms: Restartable, parts: ProbeParts) -> None:
        """Take a configuration."""
        self._terms, self._parts = terms, parts
        self._looked_at = None

    def forget(self) -> None:
        """Look anew before the next decision: something was restarted."""
        self._looked_at = None

    def ready(self, services: Collection[str]) -> bool:
        """Return whether it was looked around for services just now; else begin to, and wake who waits at the end."""
        if self._looking is not None and not self._looking.done():
            return False
        now = self._clock.monotonic()
        is_fresh = self._looked_at is not None and now - self._looked_at <= FRESH
        if is_fresh and self._seen.issuperset(services):
            return True
        self._looking = asyncio.create_task(self._look(frozenset(services)))
        return False

    async def _look(self, services: frozenset[str]) -> None:
        try:
            await self.look(services)
        finally:
            self._woken()

    async def look(self, services: frozenset[str]) -> None:
        """Look around for services; never raises."""
        asked: list[Coroutine[Any, Any, None]] = [self._parents(services)]
        asked += [one.refresh() for one in (self.silences, self.alarms) if one is not None]
        tasks = [asyncio.create_task(one) for one in asked]
        try:
            _, late = await asyncio.wait(tasks, timeout=LONGEST)
            for task in late:
                task.cancel()
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                log.error("it could not be looked around before a restart", exc_info=error)
        self._seen, self._looked_at = services, self._clock.monotonic()

    async def _parents(self, services: frozenset[str]) -> None:
        if self._terms is None:
            return
        wanted = {one for name in services for one in order.ancestors(name, self._terms.parents)}
        checks = {name: self._terms.probes[name] for name in sorted(wanted) if name in self._terms.probes}
        places = asyncio.Semaphore(AT_ONCE)
        readings = await asyncio.gather(*(self._probed(check, places) for check in checks.values()))
        found = dict(zip(checks, readings, strict=True))
        self.down = {name: one.reason for name, one in found.items() if one.state == "down"}
        self.up = frozenset(name for name, one in found.items() if one.success)

    async def _probed(self, check: Check, places: asyncio.Semaphore) -> Reading:
        assert self._parts is not None  # noqa: S101 -- they come with the terms
        async with places:
            return await probing.run(check.kind, check.options, self._parts, check.timeout)

    async def close(self) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=1.0)
