"""Working off what is due once, and restarting services, in the process of a person's command."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from exporter import order
from exporter.bridge.options import RESTARTS
from exporter.errors import WatchbridgeError
from exporter.services.maintenance import Maintenance
from exporter.store import backlog, counters
from exporter.store.backlog_claims import Wish
from exporter.store.backlog_takeover import BY_HAND
from exporter.store.restart_facts import CAUSED
from exporter.worker.leases import LEASE
from exporter.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from exporter.config import Configuration
    from exporter.model import ActionParts, Clock, ItemState, ProbeParts
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.books import Recorded

AGAIN: Final = 1.0
"""Seconds after which a store that is away is asked again to take how a run ended."""
RESERVED: Final = 60.0
"""Seconds for which servers leave an item to the command that adds it: it may look around for half of that first."""
LOOK_AGAIN: Final = 0.3
"""Seconds between two looks at items that somebody else runs, or that wait for their next attempt."""


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of one item: its state, the sentence for why, and how long its run took in seconds."""

    item: BacklogItem
    state: ItemState
    explanation: str
    seconds: float | None = None


async def process_once(  # noqa: PLR0913 -- what to work with, and, by name, what to work off
    store: Store,
    clock: Clock,
    configuration: Configuration,
    tools: Equipment,
    *,
    actor: str,
    queues: Collection[str],
    limit: int,
    told: Callable[[Processed], None] | None = None,
) -> list[Processed]:
    """Run each item of queues that is due now, once and whatever the mode is, and return what became of them.

    At most `limit` are run. `actor` is who runs them (`cli:USER`); `told` hears of each as it ends. Queues without an
    action are left out. StoreError when the store cannot be reached. A cancellation stops what runs, judges it and
    writes it down.
    """
    found: list[Processed] = []

    def heard(one: Processed) -> None:
        found.append(one)
        if told is not None:
            told(one)

    async with _working(store, clock, configuration, tools, actor, heard) as (worker, _):
        await _work_off(worker, clock, [name for name in queues if name in worker.queues], limit)
    return found


@dataclass(frozen=True, slots=True)
class Equipment:
    """What actions, restarts and probes may use."""

    acting: ActionParts
    probing: ProbeParts


@contextlib.asynccontextmanager
async def _working(
    store: Store,
    clock: Clock,
    configuration: Configuration,
    tools: Equipment,
    actor: str,
    heard: Callable[[Processed], None],
) -> AsyncIterator[tuple[Worker, Maintenance]]:
    """Give a worker of a person's; at the end what runs is stopped, judged and written down."""
    maintenance = Maintenance(configuration.windows)
    await maintenance.look(store, clock.time())
    owner = actor if actor.startswith(BY_HAND) else f"{BY_HAND}{actor}"
    worker = Worker(store, clock, owner[:64], counters.scope_of(store, "cli"), by_hand=owner)

    def told(one: Recorded) -> None:
        heard(Processed(one.finish.item, one.finish.state, one.finish.explanation, one.seconds))

    worker.heard = told
    worker.adopt(configuration, tools.acting, tools.probing, maintenance)
    worker.leases.start()
    try:
        yield worker, maintenance
    finally:
        await worker.close(0.0)


@dataclass(frozen=True, slots=True)
class Restarted:
    """How the item of a service is now (None: it is gone), and how long its last attempt here took in seconds."""

    service: str
    number: int
    item: BacklogItem | None
    seconds: float | None


async def restart_each(  # noqa: PLR0913 -- what to work with, what to restart, and, by name, who hears of it
    store: Store,
    clock: Clock,
    configuration: Configuration,
    tools: Equipment,
    services: Sequence[str],
    enqueued: Callable[[str], Awaitable[int]],
    *,
    actor: str,
    told: Callable[[Restarted], None],
) -> list[Restarted]:
    """Restart services here, each when those of them that it needs are over; return how each ended, or is held.

    `enqueued` adds the item of a service, reserved for RESERVED seconds, and returns its number. Attempts follow one
    another as in the server; an item that something wrong led to is left to the server after one. StoreError when the
    store cannot be reached. A cancellation stops what runs, judges it and writes it down.
    """
    took: dict[int, float | None] = {}
    batch = _Batch(configuration, list(services))

    def heard(one: Processed) -> None:
        took[one.item.id] = one.seconds

    chosen = _only(configuration, services)
    async with _working(store, clock, chosen, tools, actor, heard) as (worker, maintenance):
        while batch.waiting or batch.open or worker.leases.acting():
            fresh = batch.ready(chosen.restarts.concurrency)
            for name in fresh:
                batch.open[name] = await enqueued(name)
            await maintenance.look(store, clock.time())
            # What alerts led to is left to the server, and to who has to release it.
            ours = frozenset(batch.open.values())
            wish = Wish(RESTARTS, 0, due_by=clock.time() + RESERVED if fresh else None, only_items=ours)
            await worker.fill(RESTARTS, wish)
            if running := worker.leases.acting():
                await asyncio.wait(running, timeout=LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED)
            elif not fresh:
                await asyncio.sleep(LOOK_AGAIN)
            await _recorded(worker)
            for name, number in list(batch.open.items()):
                item = await backlog.one(store, number)
                if item is None or _is_settled(item, clock.time()):
                    del batch.open[name]
                    batch.over.append(Restarted(name, number, item, took.get(number)))
                    told(batch.over[-1])
    return batch.over


def _only(configuration: Configuration, services: Collection[str]) -> Configuration:
    """Return a configuration in which no other service is restarted; what the decisions look at stays."""
    known = {
        name: one if name in services else replace(one, restart=None) for name, one in configuration.services.items()
    }
    return replace(configuration, services=known)


@dataclass(slots=True)
class _Batch:
    """Services that are to be restarted: those that wait, the items of those under way, and those that are over."""

    configuration: Configuration
    waiting: list[str]
    open: dict[str, int] = field(default_factory=dict)
    over: list[Restarted] = field(default_factory=list)

    def ready(self, places: int) -> list[str]:
        """Take those that need none that is not over yet, as many as there are places."""
        parents: Mapping[str, tuple[str, ...]] = {
            name: one.depends_on for name, one in self.configuration.services.items()
        }
        unfinished = {*self.waiting, *self.open}
        found = [name for name in self.waiting if unfinished.isdisjoint(order.ancestors(name, parents))]
        found = found[: max(0, places - len(self.open))]
        self.waiting = [name for name in self.waiting if name not in found]
        return found


def _is_settled(item: BacklogItem, now: float) -> bool:
    """Return whether nothing more becomes of an item here."""
    if item.state == "held":
        return item.hold not in ("mode", "busy")
    if item.state == "failed":
        return item.origin in CAUSED
    if item.state == "running":  # by somebody who lets its lease end: a server takes it over
        return item.lease_until is not None and item.lease_until + LEASE < now
    return item.state != "pending"


async def _work_off(worker: Worker, clock: Clock, queues: list[str], limit: int) -> None:
    began, left, open_ = clock.time(), limit, list(queues)
    while open_ or worker.leases.runs:
        for name in list(open_):
            before = set(worker.leases.runs)
            if left == 0 or await worker.fill(name, Wish(name, left, due_by=began)):
                open_.remove(name)
            left -= len(worker.leases.runs.keys() - before)
        if running := worker.leases.acting():
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        elif open_:
            await asyncio.sleep(AGAIN)  # the rate of a queue lets nothing begin now
        await _recorded(worker)


async def _recorded(worker: Worker) -> None:
    """Write down how runs ended; a store that is away is asked for as long as the leases last."""
    for _ in range(int(LEASE / AGAIN) - 1):
        with contextlib.suppress(WatchbridgeError):
            await worker.record()
            return
        await asyncio.sleep(AGAIN)
    await worker.record()
