"""The backlog: how many items each queue has in each state, and how long the oldest has waited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.model import HOLDS, ITEM_STATES, Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Parts

ITEMS: Final = Family(
    "watchbridge_backlog_items",
    "gauge",
    "Items of the backlog by state; done and cancelled ones until they are forgotten.",
    ("queue", "state"),
)
OLDEST: Final = Family(
    "watchbridge_backlog_oldest_pending_timestamp_seconds",
    "gauge",
    "Since when the oldest pending item of the queue has been due.",
    ("queue",),
)
HELD: Final = Family(
    "watchbridge_backlog_held_items", "gauge", "Items that are held back now, by the reason.", ("queue", "reason")
)
FAMILIES: Final = (ITEMS, OLDEST, HELD)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: the store."""
    bridge = parts.bridge

    async def read() -> Samples:
        counts = await bridge.item_counts()
        items: dict[tuple[str, ...], float] = {(queue, state): 0.0 for queue in bridge.queues for state in ITEM_STATES}
        items |= {key: float(count) for key, count in counts.items()}
        held: dict[tuple[str, ...], float] = {(queue, reason): 0.0 for queue in bridge.queues for reason in HOLDS}
        held |= {key: float(count) for key, count in (await bridge.held_counts()).items()}
        oldest: dict[tuple[str, ...], float] = {(queue,): at for queue, at in (await bridge.oldest_pending()).items()}
        return {ITEMS: items, OLDEST: oldest, HELD: held}

    if bridge is not None:
        yield Source("backlog", "store", read)
