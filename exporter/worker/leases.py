"""The items that are ours, and their leases: renewed for as long as something runs, and never outlived by it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from exporter.errors import WatchbridgeError
from exporter.worker.lease_books import fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from exporter.model import Clock
    from exporter.store.backlog_rows import BacklogItem
    from exporter.worker.runs import Run

log: Final = logging.getLogger("exporter.worker")

LEASE: Final = 30.0
"""Seconds for which an item is ours; renewed each third of it for as long as its action runs."""
MARGIN: Final = 8.0
"""Seconds before the end of its lease at which an action that we could not renew it for is stopped."""
BEAT: Final = 1.0
"""Seconds between two looks."""

STORE_AWAY: Final = "the store could not be reached for longer than its lease"
TAKEN: Final = "the item was taken over meanwhile"


class Leases:
    """What is ours. Nothing here waits for the store but `renew`, so that a store that hangs stops no stopping."""

    def __init__(self, clock: Clock, renewed: Callable[[Collection[BacklogItem]], Awaitable[set[int]]]) -> None:
        """`renewed` lets the leases of items last anew and returns which of them are still ours."""
        self.runs: dict[int, Run] = {}
        self._clock = clock
        self._renewed = renewed
        self._occupied = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after them."""
        self._keeping = asyncio.create_task(self._keep())

    def add(self, run: Run) -> None:
        """Take one that we have claimed."""
        self.runs[run.item.id] = run
        self._occupied.set()

    def drop(self, number: int) -> None:
        """Forget one that is written down, or somebody else's."""
        self.runs.pop(number, None)

    def holds(self, run: Run) -> bool:
        """Return whether its lease lasts long enough to begin something."""
        return self._clock.monotonic() < run.until - MARGIN

    def acting(self) -> list[asyncio.Task[None]]:
        """Return the tasks of which something runs still."""
        return [run.task for run in self.runs.values() if run.acts and run.task is not None]

    async def _keep(self) -> None:
        while True:
            await self._occupied.wait()
            self.keep()
            if not self.runs:
                self._occupied.clear()
            await asyncio.sleep(BEAT)

    def keep(self) -> None:
        """Begin to renew what is due, and stop what could not be renewed in time: somebody may take it over."""
        now = self._clock.monotonic()
        for run in self.runs.values():
            if run.acts and not run.taken and not self.holds(run):
                run.stop(STORE_AWAY)
        is_due = any(run.until - now <= LEASE * 2 / 3 for run in self.runs.values())
        if is_due and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self.renew())

    async def renew(self) -> None:
        """Renew the leases once; a store that is away is asked again at the next look."""
        began = self._clock.monotonic()
        asked = {number: run for number, run in self.runs.items() if not run.lost}
        try:
            ours = await self._renewed([run.item for run in asked.values()])
        except WatchbridgeError as error:
            log.warning("leases cannot be renewed: %s", error, extra={"fields": {"items": len(asked)}})
            return
        for number, run in asked.items():
            if number in ours:
                run.until = began + LEASE
            elif self.runs.get(number) is run:
                log.warning(TAKEN, extra={"fields": fields(run.item)})
                if run.acts:
                    run.stop(TAKEN, lost=True)
                else:
                    self.drop(number)

    async def close(self) -> None:
        """Look after them no longer; what runs still is cut off."""
        tasks = {task for task in (self._keeping, self._renewing, *self.acting()) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=BEAT)
