"""What is looked at just before it is decided whether something may be done: parents, silences, alarms.

None of it is in the store, so it is asked before the transaction begins. Each parent is looked at by itself: one whose
probe hangs keeps nothing waiting but what hangs on it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from exporter import order, probing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping

    from exporter.model import Clock, ProbeParts, Reading
    from exporter.restarting.strategy import Restartable

log: Final = logging.getLogger("exporter.restarts")

FRESH: Final = 3.0
"""Seconds for which what was seen may be decided on."""
LONGEST: Final = 20.0
"""Seconds that a look may take; how a parent is that was not seen by then nobody knows, so what hangs on it waits."""
AT_ONCE: Final = 50
"""Parents that are looked at at once."""
_OTHERS: Final = ""
"""What stands for Alertmanager and the tables of alarms among the names of parents: no service has it."""


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
        self._clock = clock
        self._woken = woken
        self._terms: Restartable | None = None
        self._parts: ProbeParts | None = None
        self._seen: dict[str, tuple[float, Reading | None]] = {}
        """By parent: when it was looked at, and how it was; None: that could not be seen."""
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._old: set[asyncio.Task[None]] = set()
        self._turn = 0
        """Grows when what was seen is forgotten: a look that began before says nothing either."""

    def adopt(self, terms: Restartable, parts: ProbeParts) -> None:
        """Take a configuration."""
        self._terms, self._parts = terms, parts
        self.forget()

    def forget(self) -> None:
        """Look anew before the next decision: something was restarted, or is configured otherwise."""
        self._seen.clear()
        self._old |= {one for one in self._looking.values() if not one.done()}
        self._looking.clear()
        self._turn += 1

    @property
    def down(self) -> dict[str, str]:
        """Parents that were just found down, or that could not be looked at, each with the reason."""
        found = {}
        for name, reading in self._fresh().items():
            if reading is None:
                found[name] = f"it could not be looked at within {LONGEST:g} s"
            elif reading.state == "down":
                found[name] = reading.reason
        return found

    @property
    def up(self) -> frozenset[str]:
        """Parents that were just found up or degraded."""
        return frozenset(name for name, one in self._fresh().items() if one is not None and one.success)

    def _fresh(self) -> dict[str, Reading | None]:
        now = self._clock.monotonic()
        return {name: one for name, (at, one) in self._seen.items() if name != _OTHERS and now - at <= FRESH}

    def ready(self, services: Collection[str]) -> frozenset[str] | None:
        """Return those of some services around which was looked just now; of the others that begins.

        Who waits is woken at the end of each look. None where it is not known either what is silenced.
        """
        now = self._clock.monotonic()
        missing = {name: [one for one in self._around(name) if self._is_stale(one, now)] for name in services}
        self._begin({one for stale in missing.values() for one in stale} | self._others(now))
        if self._others(now):
            return None
        return frozenset(name for name, stale in missing.items() if not stale)

    def _around(self, service: str) -> tuple[str, ...]:
        """Return what is looked at for a service: what it needs, as far as that has a probe."""
        assert self._terms is not None  # noqa: S101 -- nothing is asked before a configuration was adopted
        return tuple(one for one in order.ancestors(service, self._terms.parents) if one in self._terms.probes)

    def _is_stale(self, name: str, now: float) -> bool:
        return name not in self._seen or now - self._seen[name][0] > FRESH

    def _others(self, now: float) -> frozenset[str]:
        """Return what stands for Alertmanager and the alarms, where those are to be asked."""
        is_asked = self.silences is not None or self.alarms is not None
        return frozenset({_OTHERS}) if is_asked and self._is_stale(_OTHERS, now) else frozenset()

    def _begin(self, names: Collection[str]) -> None:
        self._looking = {name: task for name, task in self._looking.items() if not task.done()}
        self._old = {one for one in self._old if not one.done()}
        for name in sorted(set(names) - self._looking.keys())[: max(0, AT_ONCE - len(self._looking) - len(self._old))]:
            self._looking[name] = asyncio.create_task(self._look(name))

    async def _look(self, name: str) -> None:
        turn = self._turn
        reading: Reading | None = None
        try:
            async with asyncio.timeout(LONGEST):
                reading = await (self._ask() if name == _OTHERS else self._probed(name))
        except TimeoutError:
            pass
        except Exception:
            log.exception("it could not be looked around before a restart")
        if turn == self._turn:
            self._seen[name] = self._clock.monotonic(), reading
        self._woken()

    async def _ask(self) -> None:
        asked: list[Coroutine[Any, Any, None]] = [
            one.refresh() for one in (self.silences, self.alarms) if one is not None
        ]
        await asyncio.gather(*asked)

    async def _probed(self, name: str) -> Reading | None:
        if self._terms is None or self._parts is None or (check := self._terms.probes.get(name)) is None:
            return None
        return await probing.run(check.kind, check.options, self._parts, check.timeout)

    async def look(self, services: Collection[str]) -> None:
        """Look around for services, and wait for the end of that; never raises."""
        for _ in range(2):  # what was seen first may be stale when the last is seen
            self.ready(services)
            if self._looking:
                await asyncio.wait(self._looking.values(), timeout=LONGEST + 1.0)

    async def close(self) -> None:
        """Look no longer."""
        tasks = {*self._looking.values(), *self._old}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
