"""What is moved with the wall clock when somebody sets it: what waits waits for as long as before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from exporter.clock import Jumps
from exporter.store import backlog_due, circuits, service_restarts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import Clock
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.worker")


class ClockSet:
    """Notices that the clock was set, and moves what is stored with it; a store that fails is asked again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._jumps = Jumps(clock)
        self._circuits = 0.0
        self._items = 0.0

    async def followed(self, queues: Sequence[str]) -> bool:
        """Move what is stored; return whether the clock was set since the last call.

        An open circuit waits no less for a clock that was set forward, and an item no longer for one set back. A
        shared store has a clock of its own, by which circuits and budgets run.
        """
        jumped = self._jumps.taken()
        self._circuits += jumped if self._store.dialect == "sqlite" else 0.0
        self._items += jumped
        if self._circuits:
            async with self._store.writing() as connection:
                await circuits.moved(connection, self._circuits)
                await service_restarts.moved(connection, self._clock.time(), self._circuits)
            self._circuits = 0.0
        if self._items < 0:
            moved = await backlog_due.moved(self._store, queues, self._clock.time(), -self._items)
            log.warning("the clock of this machine was set back", extra={"fields": {"items": moved}})
        self._items = 0.0
        return jumped != 0.0
