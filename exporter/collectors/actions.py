"""What was done for items of the backlog, how it ended, and what was held back and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.model import HOLDS, Family, Samples, Source
from exporter.worker import durations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Parts

ACTIONS: Final = Family(
    durations.ACTIONS,
    "counter",
    "Runs of actions by how they ended: done, retry (failed), unverified (the probe that verifies says no), give_up "
    "(it would fail again), interrupted (nobody saw the end) or healthy (of restarts: it was up, so nothing was done).",
    ("action", "kind", "outcome"),
)
DURATION: Final = Family(
    durations.DURATION, "histogram", "How long runs of actions took.", ("action", "kind", "outcome")
)
HELD: Final = Family(
    durations.HELD,
    "counter",
    "Items and alerts that were held back, cancelled or only observed, by the reason; once each time that it begins.",
    ("reason",),
)
FAMILIES: Final = (ACTIONS, DURATION, HELD)

HEALTHY: Final = "healthy"
OUTCOMES: Final = ("done", "retry", "unverified", "give_up", "interrupted")


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: the store."""
    bridge = parts.bridge

    async def read() -> Samples:
        totals = await bridge.totals([ACTIONS.name, durations.DURATION_BUCKET, durations.DURATION_SUM, HELD.name])
        runs = {(queue, kind, outcome): 0.0 for queue, kind in bridge.acting for outcome in OUTCOMES}
        runs |= {(queue, kind, one): 0.0 for queue, kind in bridge.restarting for one in (*OUTCOMES, HEALTHY)}
        return {
            ACTIONS: {**runs, **totals[ACTIONS.name]},
            DURATION: durations.histogram(totals[durations.DURATION_BUCKET], totals[durations.DURATION_SUM]),
            HELD: dict.fromkeys(((reason,) for reason in HOLDS), 0.0) | totals[HELD.name],
        }

    if bridge is not None:
        yield Source("actions", "store", read)
