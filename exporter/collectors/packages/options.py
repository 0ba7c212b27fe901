"""Options of a package source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from exporter.config.options import Duration, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IDENTIFIER_LIMIT: Final = 63  # PostgreSQL cuts longer names off; MySQL allows 64
NEAR: Final = 0.8
"""So alike must two names be (difflib's ratio) that one is taken for a typing error of the other."""
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

    def warnings(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the protocol's
        """Yield what can be meant and hardly is: a status that is nearly another's name, a schema inside `table`."""
        named: list[tuple[tuple[str | int, ...], str]] = [
            (("terminal", index), word) for index, word in enumerate(self.terminal)
        ]
        if isinstance(self.stuck_after, Mapping):
            named += [(("stuck_after", word), word) for word in self.stuck_after if word != "default"]
        for path, word in named:
            if near := _misspelt(word, (*self.statuses, *(word for word in self.terminal if path[0] != "terminal"))):
                yield path, f"{word!r} is none of the `statuses`; did you mean {near!r}?"
        schema, dot, table = self.table.rpartition(".")
        if dot and self.query is None:
            yield ("table",), f"{self.table!r} is one name: write schema: {schema} and table: {table} if you mean two"
        if self.query is not None and self.stuck_after != _default("stuck_after"):
            yield ("stuck_after",), "is not used beside a whole query, whose column `stuck` counts: leave it out"

    def _own_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for key in _IDENTIFIERS:
            value = getattr(self, key)
            if value is not None and not (value.strip() and value.isprintable() and len(value) <= IDENTIFIER_LIMIT):
                yield (key,), f"found {value!r}, wanted a name of 1 to {IDENTIFIER_LIMIT} printable characters"
        yield from self._status_problems()
        if self.query is not None:
            yield from self._query_problems(self.query)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield ("timezone",), f"found {self.timezone!r}, wanted a time zone such as UTC or Europe/Bucharest"

    def _status_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for key, words in (("statuses", self.statuses), ("terminal", self.terminal)):
            for index, word in enumerate(words):
                if not word.strip():
                    yield (key, index), "a status is empty: give its name or take it out"
                elif word in words[:index]:
                    yield (key, index), f"{word!r} stands here again: name each status once"
        if isinstance(self.stuck_after, Mapping) and not self.stuck_after:
            yield ("stuck_after",), "is empty: give `default` or a status its duration, or leave it out"

    def _query_problems(self, query: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if not query.lstrip("( \n\t").lower().startswith(("select", "with")):
            yield ("query",), "wanted one statement that begins with SELECT or WITH"
        if ";" in query.rstrip("; \n\t"):
            yield ("query",), "wanted one statement, found a ; inside it"
        if self.terminal_every:
            yield ("terminal_every",), "a whole query cannot be split: leave terminal_every out, or name a table"
        for key in _IDENTIFIERS:
            if getattr(self, key) != _default(key):
                yield (key,), f"a whole query says itself what it reads: leave {key} out, or the query"


_IDENTIFIERS: Final = ("table", "schema", "status", "updated_at")


def _default(key: str) -> Any:
    return next(field.default for field in fields(Options) if field.name == key)


def _misspelt(word: str, known: Iterable[str]) -> str | None:
    """Return the known status that an unknown one is nearly the name of; a far one may be in the table all the same."""
    folded = {one.casefold(): one for one in known}
    if word in folded.values():
        return None
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=NEAR)
    return folded[near[0]] if near else None
