"""Claiming what is due of a queue: what must be looked at before, and what is in the way for a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.bridge.options import NOTIFICATIONS, RESTARTS
from exporter.store import restart_facts
from exporter.store.service_leases import DecisionsBusyError

if TYPE_CHECKING:
    from exporter.model import Clock
    from exporter.restarting.surroundings import Surroundings
    from exporter.store.backlog_claims import Claimed, Wish
    from exporter.store.store import Store
    from exporter.worker.books import Books


class Claims:
    """Claims of one worker; `by_hand` says that a person runs it, who waits for what has to be looked at."""

    def __init__(self, store: Store, clock: Clock, around: Surroundings, *, by_hand: bool) -> None:
        self.is_doubtful = False
        """Whether a claim may have been done without our being told."""
        self._store = store
        self._clock = clock
        self._around = around
        self._by_hand = by_hand

    async def made(self, books: Books, wish: Wish) -> Claimed | bool:
        """Claim what may begin; True: nothing of it is ours to begin; False: something is in the way for a moment.

        That is a look that has begun, whose end wakes the worker, or another replica that decides on restarts.
        """
        if wish.queue == RESTARTS:
            due = await self._services(books, wish)
            if not due:
                return True
            services = await self._looked_around(due)
            if not services:
                return False
            wish = replace(wish, only_for=services)
        elif await self._is_unknown(wish.queue):
            return False
        self.is_doubtful = True
        try:
            found = await books.claim(replace(wish, by_hand=self._by_hand))
        except DecisionsBusyError:
            self.is_doubtful = False
            return False
        self.is_doubtful = False
        return found

    async def _services(self, books: Books, wish: Wish) -> frozenset[str]:
        """Return the services of which a restart is due that is ours to do."""
        by = self._clock.time() if wish.due_by is None else wish.due_by
        found = await restart_facts.due(self._store, RESTARTS, by, by_hand=self._by_hand)
        return found & books.terms.restartable.ours

    async def _is_unknown(self, queue: str) -> bool:
        """Return whether it is to be asked first what is silenced, of a queue that this matters to."""
        if queue == NOTIFICATIONS or self._around.silences is None:
            return False
        return await self._looked_around(frozenset()) is None

    async def _looked_around(self, services: frozenset[str]) -> frozenset[str] | None:
        """Return around which services was looked just now; None: of silences nothing is known either."""
        if self._by_hand:
            await self._around.look(services)
            return services
        return self._around.ready(services)
