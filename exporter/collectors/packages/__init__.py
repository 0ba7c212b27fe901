"""Packages by status, from any SQL table or query: how many, how many stuck, how old the oldest and newest update."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.collectors.packages.options import STATUSES, Options
from exporter.collectors.packages.readings import StatusReading, complete, merged
from exporter.errors import (
    DatabaseError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    PoolTimeoutError,
    RowLimitError,
    StatementTimeoutError,
)
from exporter.labels import normalised
from exporter.model import Family, Labels, Samples, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.collectors.packages.statements import Found, Plan
    from exporter.databases.database import Database
    from exporter.model import Clock, Parts

__all__ = ["FAMILIES", "STATUSES", "Options", "StatusReading", "read", "sources", "timeless"]

log: Final = logging.getLogger(__name__)

UNCHANGED: Final = (
    DatabaseUnreachableError,
    DatabaseRefusedError,
    PoolTimeoutError,
    RowLimitError,
    StatementTimeoutError,
)
"""Errors that say nothing of the table."""

_LABELS: Final = ("source", "status")
COUNT = Family("watchbridge_packages", "gauge", "Packages in a status.", _LABELS, data_label="status")
STUCK = Family(
    "watchbridge_packages_stuck",
    "gauge",
    "Packages in a status that is not terminal and not updated for the source's stuck_after.",
    _LABELS,
    data_label="status",
)
OLDEST = Family(
    "watchbridge_packages_oldest_update_timestamp_seconds",
    "gauge",
    "When the package of a status that was not updated for longest was last updated.",
    _LABELS,
    data_label="status",
    merge="min",
)
NEWEST = Family(
    "watchbridge_packages_newest_update_timestamp_seconds",
    "gauge",
    "When a package of a status was last updated.",
    _LABELS,
    data_label="status",
    merge="max",
)
THRESHOLD = Family(
    "watchbridge_packages_alert_threshold",
    "gauge",
    "Stuck packages of a source above which it alerts, as configured.",
    ("source",),
)
FAMILIES: Final = (COUNT, STUCK, OLDEST, NEWEST, THRESHOLD)


async def read(database: Database, options: Options, now: float) -> tuple[StatusReading, ...]:
    """Read every status once. `now` is in seconds since 1970. Raises the DatabaseError family."""
    return await _Reader(database, options).read(now, None)


def timeless(options: Options, readings: Iterable[StatusReading]) -> str | None:
    """Return the warning that a table has packages but no time: none of them would ever count as stuck.

    None where a single time could be read, where there is no package, and where no column of times is named.
    """
    if options.query is not None or options.updated_at is None:
        return None
    found = tuple(readings)
    if any(reading.newest is not None for reading in found) or not any(reading.count for reading in found):
        return None
    return (
        f"no package of the table {options.table!r} has a time that can be read in the column {options.updated_at!r},"
        " so none ever counts as stuck: name the column of the last update (`updated_at`, --updated-column)"
    )


@dataclass(slots=True)
class _Reader:
    """Reads one source again and again: keeps its plan and, for a while, what the terminal statuses held."""

    database: Database
    options: Options
    plan: Plan | None = None
    terminal: Found | None = None
    terminal_read: float = 0.0

    async def read(self, now: float, monotonic: float | None) -> tuple[StatusReading, ...]:
        """Read every status; a terminal status perhaps from the last `terminal_every`, where `monotonic` is given."""
        known = self.plan is not None
        try:
            found = await self._found(now, monotonic)
        except DatabaseError as error:
            self.plan = None
            if not known or isinstance(error, UNCHANGED):
                raise
            # The table may have changed since it was looked at.
            found = await self._found(now, monotonic)
        return complete(found.readings, self.options, knows_stuck=found.knows_stuck)

    async def _found(self, now: float, monotonic: float | None) -> Found:
        if self.plan is None:
            from exporter.collectors.packages import statements  # noqa: PLC0415 - the options alone need no SQLAlchemy

            self.plan = await statements.plan(self.database, self.options)
        if self.plan.terminal is None or monotonic is None:
            return await self.plan.fetch(self.database, self.plan.all, now)
        if self.terminal is None or monotonic - self.terminal_read >= self.options.terminal_every:
            self.terminal = await self.plan.fetch(self.database, self.plan.terminal, now)
            self.terminal_read = monotonic
        found = await self.plan.fetch(self.database, self.plan.open, now)
        return found._replace(readings=merged(found.readings + self.terminal.readings))


def exported(source: str, options: Options, readings: Iterable[StatusReading]) -> Samples:
    """Return the series of one source."""
    count: dict[Labels, float] = {}
    stuck: dict[Labels, float] = {}
    oldest: dict[Labels, float] = {}
    newest: dict[Labels, float] = {}
    for reading in readings:
        labels = (source, reading.status)
        count[labels] = reading.count
        if reading.stuck is not None:
            stuck[labels] = reading.stuck
        if reading.oldest is not None:
            oldest[labels] = reading.oldest
        if reading.newest is not None:
            newest[labels] = reading.newest
    threshold: dict[Labels, float] = {(source,): options.alert_threshold}
    return {COUNT: count, STUCK: stuck, OLDEST: oldest, NEWEST: newest, THRESHOLD: threshold}


def _source(name: str, options: Options, database: Database, clock: Clock) -> Source:
    reader = _Reader(database, options)
    told: str | None = None

    async def collect() -> Samples:
        nonlocal told
        readings = await reader.read(clock.time(), clock.monotonic())
        warning = timeless(options, readings)
        if warning is not None and warning != told:
            log.warning("%s", warning, extra={"fields": {"collector": "packages", "source": name}})
        told = warning
        return exported(name, options, readings)

    configured = frozenset(normalised(status) for status in (*options.statuses, *options.terminal))
    return Source("packages", name, collect, configured, options.min_interval)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield a source for each entry below `packages`."""
    for name, options in parts.options("packages").items():
        yield _source(name, options, parts.databases[options.database], parts.clock)
