"""What a read found, and what follows from it: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.labels import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.collectors.packages.options import Options


@dataclass(frozen=True, slots=True)
class StatusReading:
    """What one status holds. Times are seconds since 1970; None is unknown (no row, no usable time)."""

    status: str
    count: int
    stuck: int | None = 0
    oldest: float | None = None
    newest: float | None = None


def joined(one: StatusReading, other: StatusReading) -> StatusReading:
    """Return two readings of what is one status once its name is normalised."""
    oldest = [moment for moment in (one.oldest, other.oldest) if moment is not None]
    newest = [moment for moment in (one.newest, other.newest) if moment is not None]
    stuck = None if one.stuck is None and other.stuck is None else (one.stuck or 0) + (other.stuck or 0)
    return StatusReading(
        one.status, one.count + other.count, stuck, min(oldest, default=None), max(newest, default=None)
    )


def merged(readings: tuple[StatusReading, ...]) -> tuple[StatusReading, ...]:
    """Return the readings with each status once."""
    by_status: dict[str, StatusReading] = {reading.status: reading for reading in readings}
    if len(by_status) == len(readings):
        return readings
    by_status.clear()
    for reading in readings:
        earlier = by_status.get(reading.status)
        by_status[reading.status] = joined(earlier, reading) if earlier else reading
    return tuple(by_status.values())


def complete(
    found: Iterable[StatusReading], options: Options, *, knows_stuck: bool = True
) -> tuple[StatusReading, ...]:
    """Return the configured statuses in their order, at 0 where there is no row, and then the others by name."""
    by_status = {reading.status: reading for reading in found}
    empty = 0 if knows_stuck else None
    rows = [by_status.pop(status, StatusReading(status, 0, empty)) for status in map(normalised, options.statuses)]
    rows += [by_status[status] for status in sorted(by_status)]
    terminal = set(map(normalised, options.terminal))
    return tuple(replace(row, stuck=0) if row.status in terminal and knows_stuck else row for row in rows)
