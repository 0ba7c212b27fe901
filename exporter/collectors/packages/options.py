"""Options of a package source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from exporter.config.options import Duration, option

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTIFIER_LIMIT: Final = 63  # PostgreSQL cuts longer names off; MySQL allows 64
STATUSES: Final = (
    "Checking Licence",
    "Downloaded",
    "Security Scanning",
    "Security Scanned",
    "Pending Approval",
    "Approved",
    "Rejected",
    "Published",
)
"""The eight statuses of the package workflow, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A table, or a whole query, that holds packages with a status."""

    database: str = option(help="The name of one of the `databases`.", example="registry")
    table: str = option("packages", help="The table or view that holds the packages.")
    schema: str | None = option(None, help="The table's schema, where it is not the user's own.")
    status: str = option("status", help="The column of the status.")
    updated_at: str | None = option(
        "updated_at", help="The column of the last update: a time, or a number of seconds since 1970."
    )
    query: str | None = option(
        None,
        help="A whole SELECT instead of a table: it gives status and count, and may give stuck, oldest and newest.",
        example="SELECT state AS status, count(*) AS count FROM jobs GROUP BY state",
    )
    stuck_after: Duration | Mapping[str, Duration] = option(
        Duration(3600.0),
        help="A package not updated for so long is stuck. Also by status; `default` is then for the others.",
        example={"default": "1h", "Pending Approval": "2d"},
    )
    terminal: tuple[str, ...] = option(("Rejected", "Published"), help="Statuses in which no package is ever stuck.")
    terminal_every: Duration = option(
        Duration(0.0),
        help="Count the terminal statuses, which hold most of the rows, only so often. 0s: on every scrape.",
    )
    statuses: tuple[str, ...] = option(STATUSES, help="Statuses that are always exported, at 0 where there is no row.")
    alert_threshold: int = option(10, help="More stuck packages than this are an alert.", minimum=0)
    timezone: str = option("UTC", help="The zone of times that carry none.", example="Europe/Bucharest")
    epoch: Literal["seconds", "milliseconds"] = option("seconds", help="The unit of a last update that is a number.")
    min_interval: Duration = option(Duration(0.0), help="Scrapes that come closer together share one read.")

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what the schema cannot see: unknown databases, zones and identifiers that cannot be."""
        if self.database not in configuration.databases:
            known = ", ".join(sorted(configuration.databases)) or "none"
            yield ("database",), f"found {self.database!r}, wanted one of the databases ({known})"
        yield from self._own_problems()

    def stuck_seconds(self, status: str) -> float:
        """Return how many seconds without an update make a package of this status stuck."""
        if isinstance(self.stuck_after, Mapping):
            return self.stuck_after.get(status, self.stuck_after.get("default", Duration(3600.0)))
        return self.stuck_after

    def _own_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for key in ("table", "schema", "status", "updated_at"):
            value = getattr(self, key)
            if value is not None and not (value.strip() and value.isprintable() and len(value) <= IDENTIFIER_LIMIT):
                yield (key,), f"found {value!r}, wanted a name of 1 to {IDENTIFIER_LIMIT} printable characters"
        if self.query is not None:
            yield from self._query_problems(self.query)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield ("timezone",), f"found {self.timezone!r}, wanted a time zone such as UTC or Europe/Bucharest"

    def _query_problems(self, query: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if not query.lstrip("( \n\t").lower().startswith(("select", "with")):
            yield ("query",), "wanted one statement that begins with SELECT or WITH"
        if ";" in query.rstrip("; \n\t"):
            yield ("query",), "wanted one statement, found a ; inside it"
        if self.terminal_every:
            yield ("terminal_every",), "a whole query cannot be split: leave terminal_every out, or name a table"
