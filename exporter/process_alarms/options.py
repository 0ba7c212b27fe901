"""What the configuration says of tables of processes in alarm, and which service a process of theirs is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.config.options import Duration, option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Told = tuple[tuple[str | int, ...], str]

_CONTROLS: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
_IDENTIFIER: Final = rf"[^\s{_CONTROLS}]([^{_CONTROLS}]{{0,61}}[^\s{_CONTROLS}])?"
"""At most 63 characters: PostgreSQL cuts longer names off, MySQL allows 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTable:
    """The table that names the processes."""

    table: str = option("PROCESE", help="The table.", pattern=_IDENTIFIER)
    id: str = option("process_id", help="The column of the process's number.", pattern=_IDENTIFIER)
    name: str = option("process_name", help="The column of the process's name.", pattern=_IDENTIFIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTable:
    """The table that says which are in alarm. Its other columns (`sound`, `notes`) are never touched."""

    table: str = option("STATUS_PROCESS", help="The table.", pattern=_IDENTIFIER)
    id: str = option("process_id", help="The column of the process's number.", pattern=_IDENTIFIER)
    alarm: str = option("alarma", help="The column that is not 0 while it is in alarm.", pattern=_IDENTIFIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOptions:
    """Tables of a process monitor: a process that is in alarm there and is a service here is restarted."""

    database: str = option(help="The name of one of the `databases`.", example="monitoring")
    every: Duration = option(Duration(30.0), help="Time between two looks.", minimum=1, maximum=86_400)
    schema: str | None = option(None, help="The tables' schema, where it is not the user's own.", pattern=_IDENTIFIER)
    processes: ProcessTable = option(default_factory=ProcessTable, help="The table that names the processes.")
    statuses: StatusTable = option(default_factory=StatusTable, help="The table that says which are in alarm.")
    mode: Literal["observe", "approve", "auto"] | None = option(
        None,
        help="How far these alarms may go; of it and the global `mode` the stricter holds. With observe the tables are "
        "never written to.",
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a database that nobody knows, and a column that is to be two things."""
        if self.database not in configuration.databases:
            known = ", ".join(sorted(configuration.databases)) or "none"
            yield ("database",), f"found {self.database!r}, wanted one of the databases ({known})"
        if self.processes.id == self.processes.name:
            yield ("processes", "name"), f"{self.processes.name!r} is the column of the number: name another one"
        if self.statuses.id == self.statuses.alarm:
            yield ("statuses", "alarm"), f"{self.statuses.alarm!r} is the column of the number: name another one"

    def warnings(self, configuration: Any) -> Iterator[Told]:
        """Yield what works and is hardly meant: a schema within a name, the same tables twice, nothing to restart."""
        for key, table in (("processes", self.processes.table), ("statuses", self.statuses.table)):
            schema, dot, name = table.rpartition(".")
            if dot:
                yield (key, "table"), f"{table!r} is one name: write schema: {schema} and table: {name} if you mean two"
        others = [one for one in configuration.alarms.values() if one is not self]
        if any(self._same_tables(one) for one in others):
            yield (), "another source reads the same tables: each alarm leads to one restart all the same; remove one"
        if not services_by_process(configuration.services):
            yield (), "no service has a `restart`: none of these alarms leads to anything"

    def _same_tables(self, other: AlarmOptions) -> bool:
        return (self.database, self.schema, self.processes, self.statuses) == (
            other.database,
            other.schema,
            other.processes,
            other.statuses,
        )


def process_of(name: str, service: Any) -> str:
    """Return the name that the process of a service has in the tables."""
    return service.alarm or name


def services_by_process(services: Mapping[str, Any]) -> dict[str, str]:
    """Return by the exact name of a process which service is restarted for it: only those that have a `restart`.

    Where two claim one process (`mistakes` tells) it is the one that says so by `alarm`, else the first.
    """
    found: dict[str, str] = {}
    for name, service in sorted(services.items(), key=lambda one: (one[1].alarm is None, one[0])):
        if service.restart is not None:
            found.setdefault(process_of(name, service), name)
    return found


def mistakes(configuration: Any) -> Iterator[Told]:
    """Yield services that claim the process of another one; the path begins at the top of the file."""
    if not configuration.alarms:
        return
    owners = services_by_process(configuration.services)
    for name, service in configuration.services.items():
        process = process_of(name, service)
        if service.restart is not None and (owner := owners[process]) != name:
            path = ("services", name) if service.alarm is None else ("services", name, "alarm")
            yield path, f"the process {process!r} is that of the service {owner!r} already: give another `alarm`"
