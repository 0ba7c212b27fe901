"""Processes in alarm, as the tables of process monitors tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.errors import DatabaseError
from exporter.labels import normalised
from exporter.model import Family, Labels, Samples, Source
from exporter.process_alarms.options import services_by_process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.databases.database import Database
    from exporter.model import Parts
    from exporter.process_alarms.options import AlarmOptions
    from exporter.process_alarms.process import Process
    from exporter.process_alarms.tables import Tables

ALARM: Final = Family(
    "watchbridge_process_alarm",
    "gauge",
    "Whether a process is in alarm in the tables of its source; those of one name are one, in alarm where any is.",
    ("source", "process"),
    data_label="process",
    merge="max",
)
FAMILIES: Final = (ALARM,)


def exported(source: str, processes: Iterable[Process]) -> Samples:
    """Return the series of one source."""
    found: dict[Labels, float] = {}
    for process in processes:
        labels = source, normalised(process.name)
        found[labels] = max(found.get(labels, 0.0), float(process.alarm))
    return {ALARM: found}


def _source(name: str, options: AlarmOptions, database: Database, configured: frozenset[str]) -> Source:
    tables: Tables | None = None

    async def read() -> Samples:
        from exporter.process_alarms.tables import found  # noqa: PLC0415 - without a source there is no SQLAlchemy

        nonlocal tables
        try:
            tables = tables or await found(database, options)
            return exported(name, await tables.processes())
        except DatabaseError:
            # The tables may have changed since they were looked at.
            tables = None
            raise

    return Source("alarms", name, read, configured)


def sources(parts: Parts) -> Iterable[Source]:
    """Yield a source for each entry below `alarms`."""
    configured = frozenset(map(normalised, services_by_process(parts.options("services"))))
    for name, options in parts.options("alarms").items():
        yield _source(name, options, parts.databases[options.database], configured)
