"""Uptime: the seconds that each service spent in each state, and what share of a window it was up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.model import Family, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.model import Parts

SECONDS: Final = Family(
    "watchbridge_uptime_seconds_total",
    "counter",
    "Seconds in each state that the service was seen in; survives a restart.",
    ("client", "target", "state"),
)
RATIO: Final = Family(
    "watchbridge_uptime_ratio",
    "gauge",
    "Share of the window that the service was up or degraded, without planned maintenance and what nobody saw; "
    "of services with `series: full`, computed each minute.",
    ("client", "target", "window"),
)
FAMILIES: Final = (SECONDS, RATIO)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield the one source there is: the books of this process, as far as the store has committed them."""
    watch = parts.watch

    async def read() -> Samples:
        return {SECONDS: watch.ledger.uptime(), RATIO: watch.ledger.ratios()}

    if watch is not None:
        yield Source("uptime", "store", read)
