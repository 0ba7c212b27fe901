"""Services: the state that each is in, what its last run found, and how its probes run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from exporter.model import Family, Samples, Source
from exporter.services.board import FAMILIES as OF_SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Labels, Parts
    from exporter.scheduler import Scheduler

LAG: Final = Family(
    "watchbridge_probe_lag_seconds", "histogram", "How late runs begin after the time at which they were due."
)
SKIPPED: Final = Family(
    "watchbridge_probe_skipped_total",
    "counter",
    "Runs that were left out: busy, the one before had not ended; late, they fell into a pause of this process.",
    ("reason",),
)
RUNNING: Final = Family("watchbridge_probes_running", "gauge", "Runs under way.")
OWNED: Final = Family("watchbridge_replica_owned_services", "gauge", "Services that this replica probes and exposes.")
FAMILIES: Final = (*OF_SERVICES, LAG, SKIPPED, RUNNING, OWNED)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: what the probes of this process found."""
    watch = parts.watch

    async def read() -> Samples:
        samples: Samples = watch.board.samples()
        return samples | _about(watch.scheduler, len(watch.board.standings))

    if watch is not None:
        yield Source("services", "probes", read)


def _about(scheduler: Scheduler, owned: int) -> Samples:
    lag: dict[Labels, float] = {}
    bounds = [*(repr(bound) for bound in scheduler.lag.buckets), "+Inf"]
    for bound, count in zip(bounds, itertools.accumulate(scheduler.lag.counts), strict=True):
        lag[(bound,)] = count
    lag["sum",] = scheduler.lag.sum
    lag["count",] = sum(scheduler.lag.counts)
    return {
        LAG: lag,
        SKIPPED: {("busy",): scheduler.busy, ("late",): scheduler.missed},
        RUNNING: {(): scheduler.running},
        OWNED: {(): owned},
    }
