"""What goes down again before its alert has resolved: its item, which is done, is wanted once more.

An alert that fires anew soon after its end may never be told as resolved: Alertmanager tells of an end only with its
next group. Without this, what dies again minutes after a restart that helped would be left alone for as long as that.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from exporter import probing
from exporter.bridge.options import RESTARTS
from exporter.errors import WatchbridgeError
from exporter.store import audit, restart_facts, service_leases, service_restarts
from exporter.store.audit import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.model import Clock, ProbeParts
    from exporter.restarting.strategy import Check, Restartable
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.restarts")

EVERY: Final = 30.0
"""Seconds between two looks, and after a restart before the first one."""
TWICE: Final = 2.0
"""Seconds after which it is looked again at what was found down: one probe that fails is no failure."""
AT_ONCE: Final = 20
"""Services that are looked at at once."""

AGAIN: Final = "it is down again, and its alert fires still"


class Vigil:
    """Looks, now and then, at services whose restart helped and whose alert fires still."""

    def __init__(self, store: Store, clock: Clock, woken: Callable[[], None]) -> None:
        """`woken` is called when an item is wanted again."""
        self._store = store
        self._clock = clock
        self._woken = woken
        self._terms: Restartable | None = None
        self._parts: ProbeParts | None = None
        self._looked_at = clock.monotonic()
        self._looking: asyncio.Task[None] | None = None

    def adopt(self, terms: Restartable, parts: ProbeParts) -> None:
        """Take a configuration."""
        self._terms, self._parts = terms, parts

    def begin(self) -> None:
        """Begin a look, where one is due and none is under way."""
        now = self._clock.monotonic()
        is_looking = self._looking is not None and not self._looking.done()
        if self._terms is None or not self._terms.ours or is_looking or now - self._looked_at < EVERY:
            return
        self._looked_at = now
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            await self.look()
        except WatchbridgeError as error:  # the store says so itself; the next look is soon
            log.debug("it was not looked at what was restarted: %s", error)
        except Exception:
            log.exception("it could not be looked at what was restarted")

    async def look(self) -> None:
        """Look once; what is down again is wanted again. StoreError when the store cannot be asked."""
        assert self._terms is not None  # noqa: S101 -- `begin` and tests adopt one first
        before = self._clock.time() - EVERY
        found = await restart_facts.helped(self._store, RESTARTS, before)
        checks: dict[str, Check] = {}
        for service in sorted({one.service for one in found} & self._terms.ours):
            strategy = self._terms.strategies[service]
            if (check := strategy.probe or strategy.verify) is not None:
                checks[service] = check
        down = await self._down(checks)
        if down:
            await asyncio.sleep(TWICE)
            down = await self._down({name: checks[name] for name in down})
        again = [one for one in found if one.service in down]
        if again:
            await self._want(again)

    async def _down(self, checks: dict[str, Check]) -> set[str]:
        places = asyncio.Semaphore(AT_ONCE)

        async def is_down(check: Check) -> bool:
            assert self._parts is not None  # noqa: S101 -- they come with the terms
            async with places:
                reading = await probing.run(check.kind, check.options, self._parts, check.timeout)
            return reading.state == "down"

        answers = await asyncio.gather(*(is_down(check) for check in checks.values()))
        return {name for name, answer in zip(checks, answers, strict=True) if answer}

    async def _want(self, items: list[restart_facts.Helped]) -> None:
        now = self._clock.time()
        async with service_leases.deciding(self._store) as (connection, _):
            again = await restart_facts.wanted_again(connection, [one.item for one in items], AGAIN, now)
            await service_restarts.outdated(connection, {one.service for one in items if one.item in again})
            entries = [Entry(now, "watchbridge", "reopened", "item", number, AGAIN) for number in sorted(again)]
            await audit.added(connection, entries)
        for one in items:
            if one.item in again:
                log.warning("%s: %s", one.service, AGAIN, extra={"fields": {"item": one.item, "queue": RESTARTS}})
        if again:
            self._woken()

    async def close(self) -> None:
        """Look no longer."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=1.0)
