"""What the worker writes of leases: taking over what nobody runs any more, renewing, and giving back."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.bridge.options import RESTARTS
from exporter.store import audit, backlog_claims, backlog_takeover, counters, service_leases
from exporter.store.audit import Entry
from exporter.worker.durations import increments

if TYPE_CHECKING:
    from collections.abc import Collection

    from exporter.model import Clock
    from exporter.store.backlog_leases import Holder
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.restart_books import RestartBooks

log: Final = logging.getLogger("exporter.worker")

ACTIONS_OF_NOBODY: Final = "none"
"""The kind of a run for which the configuration has no action any more."""


@dataclass(frozen=True, slots=True)
class LeaseBooks:
    """Writes of leases, each in one transaction; those of restarts with the leases of their services."""

    store: Store
    clock: Clock
    holder: Holder
    scope: str
    actor: str
    restarts: RestartBooks

    async def take_over(
        self, queues: Collection[str] | None, running: Collection[int], *, at_once: bool = False
    ) -> list[tuple[BacklogItem, str]]:
        """Take over items whose lease has ended, each with the kind of the action whose end nobody saw."""
        now = self.clock.time()
        async with self.store.writing() as connection:
            items, runs = await backlog_takeover.overdue(
                connection,
                self.store,
                self.holder,
                queues=queues,
                running=running,
                at_once=at_once,
                not_for=self.restarts.terms.foreign,
            )
            kinds = {run.item_id: run.kind for run in runs}
            queue_of = {item.id: item.queue for item in items}
            tally: Counter[Any] = Counter()
            for run in runs:
                tally.update(dict(increments((queue_of[run.item_id], run.kind, "interrupted"), None)))
            restarts = [one.id for one in items if one.queue == RESTARTS]
            await service_leases.renewed(connection, self.store, self.holder, restarts)
            entries = [Entry(now, self.actor, "taken-over", "item", one.id, "its lease ended") for one in items]
            await audit.added(connection, entries)
            await counters.added(connection, self.scope, tally)
        for item in items:
            log.warning("taken over: the end of its run was not seen", extra={"fields": fields(item)})
        return [(item, kinds.get(item.id, ACTIONS_OF_NOBODY)) for item in items]

    async def renew(self, items: Collection[BacklogItem]) -> set[int]:
        """Let leases last anew; return which items are still ours."""
        async with self.store.writing() as connection:
            ours = await backlog_claims.renewed(connection, self.store, self.holder, items)
            restarts = {one.id for one in items if one.queue == RESTARTS}
            await service_leases.renewed(connection, self.store, self.holder, ours & restarts)
            return ours

    async def release(self, items: Collection[BacklogItem]) -> None:
        """Give items back of which nothing has begun."""
        if any(one.queue == RESTARTS for one in items):
            async with service_leases.deciding(self.store) as (connection, _):
                freed = await backlog_claims.released(connection, self.holder.owner, items)
                await self.restarts.undone(connection, freed)
        else:
            async with self.store.writing() as connection:
                await backlog_claims.released(connection, self.holder.owner, items)

    async def release_strays(self, running: Collection[int]) -> None:
        """Give back what we claimed without being told so: nothing of it has begun."""
        async with service_leases.deciding(self.store) as (connection, _):
            freed = await backlog_claims.strays(connection, self.holder.owner, running)
            if freed:
                await self.restarts.undone(connection, freed)


def fields(item: BacklogItem) -> dict[str, Any]:
    """Return what a log line tells of an item beside its sentence."""
    return {"queue": item.queue, "item": item.id, "key": item.key, "attempt": item.attempts}
