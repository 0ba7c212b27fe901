"""What the configuration says of tables of processes in alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.config.options import Duration, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    Told = tuple[tuple[str | int, ...], str]

_IDENTIFIER: Final = r"[^\x00-\x1f\x7f]{1,63}"


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
        None, help="How far these alarms may go; of it and the global `mode` the stricter holds."
    )

    def problems(self, configuration: Any) -> Iterator[Told]:
        """Yield a database that nobody knows."""
        if self.database not in configuration.databases:
            known = ", ".join(sorted(configuration.databases)) or "none"
            yield ("database",), f"found {self.database!r}, wanted one of the databases ({known})"
