"""Working off what is due once, in the process of a person's command."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.errors import WatchbridgeError
from exporter.services.maintenance import Maintenance
from exporter.store import counters
from exporter.store.backlog_claims import Wish
from exporter.store.backlog_takeover import BY_HAND
from exporter.worker.leases import LEASE
from exporter.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from exporter.config import Configuration
    from exporter.model import ActionParts, Clock, ItemState, ProbeParts
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.books import Recorded

AGAIN: Final = 1.0
"""Seconds after which a store that is away is asked again to take how a run ended."""


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
    parts: ActionParts,
    probing: ProbeParts,
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
    maintenance = Maintenance(configuration.windows)
    await maintenance.look(store, clock.time())
    owner = actor if actor.startswith(BY_HAND) else f"{BY_HAND}{actor}"
    worker = Worker(store, clock, owner[:64], counters.scope_of(store, "cli"), by_hand=owner)
    found: list[Processed] = []

    def heard(one: Recorded) -> None:
        processed = Processed(one.finish.item, one.finish.state, one.finish.explanation, one.seconds)
        found.append(processed)
        if told is not None:
            told(processed)

    worker.heard = heard
    worker.adopt(configuration, parts, probing, maintenance)
    worker.leases.start()
    try:
        await _work_off(worker, clock, [name for name in queues if name in worker.queues], limit)
    finally:
        await worker.close(0.0)
    return found


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
