"""The value that a query of a named database gives, against bounds: a queue's length, a lag, a count of errors."""

from __future__ import annotations

import asyncio
import difflib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from exporter.config.options import option
from exporter.errors import (
    ColumnMissingError,
    ConfigurationError,
    DatabaseMissingError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    PoolTimeoutError,
    StatementTimeoutError,
    TableMissingError,
    WatchbridgeError,
)
from exporter.model import Family, Reading, Samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.model import Cause, ProbeParts, State

GRACE: Final = 0.5
"""Seconds past the deadline for which cutting the statement off is awaited here; it then ends by itself."""
QUOTED: Final = 80
"""Characters of a value that a reason quotes."""
SLOW_AFTER: Final = None

VALUE: Final = Family("probe_sql_value", "gauge", "What the query gave, where it is a number")
FAMILIES: Final = (VALUE,)

_BOUNDS: Final = ("min", "max", "warn_min", "warn_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A query: the first column of its first row is the value."""

    database: str = option(help="The name of one of the `databases`.", example="registry")
    query: str = option(
        help="One SELECT.", example="SELECT count(*) FROM jobs WHERE failed", minimum=1, maximum=100_000
    )
    min: float | None = option(None, help="Down when the value is less.")
    max: float | None = option(None, help="Down when the value is more.", example=100)
    warn_min: float | None = option(None, help="Degraded when the value is less.")
    warn_max: float | None = option(None, help="Degraded when the value is more.", example=10)
    expect: str | None = option(None, help="Down when the value is another than this.", example="PRIMARY")
    empty: Literal["up", "degraded", "down"] = option("down", help="What a query without any row means.")

    def problems(self, configuration: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what only the whole configuration shows, a query that is none, and bounds that nothing can meet."""
        if self.database not in configuration.databases:
            yield ("database",), _unknown(self.database, configuration.databases)
        if not self.query.lstrip("( \n\t").lower().startswith(("select", "with")):
            yield ("query",), "wanted one statement that begins with SELECT or WITH"
        if ";" in self.query.rstrip("; \n\t"):
            yield ("query",), "wanted one statement, found a ; inside it"
        for key in _BOUNDS:
            value = getattr(self, key)
            if value is not None and not math.isfinite(value):
                yield (key,), f"found {value!r}, wanted a number"
        yield from self._contradictions()

    def _contradictions(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for least, most in (("min", "max"), ("warn_min", "warn_max"), ("min", "warn_max"), ("warn_min", "max")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                yield (least,), f"is more than {most}: no value can be right"


def _unknown(name: str, databases: Any) -> str:
    near = difflib.get_close_matches(name, databases, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(databases)) or 'none'}"
    return f"there is no database {name!r} among the `databases`; {hint}"


def target(options: Options) -> str:
    """Return the database's name: a query may hold what is nobody else's business."""
    return f"database {options.database}"


def aimed(options: Options, target: str) -> NoReturn:
    """Refuse: nothing from outside ever chooses a database or a query."""
    del options, target
    raise ValueError("an SQL probe takes no target: name a service that is configured with it instead")


def samples(reading: Reading) -> Samples:
    """Return the value, where it is a number."""
    return {} if reading.facts is None else {VALUE: {(): float(reading.facts)}}


async def probe(options: Options, parts: ProbeParts, timeout: float) -> Reading:
    """Ask the database once and judge the value."""
    began = parts.clock.monotonic()
    database = parts.databases.get(options.database)
    if database is None:
        return Reading("unknown", _unknown(options.database, parts.databases), 0.0, "config")
    parts.explain(f"ask the database {options.database}")
    try:
        rows = await _fetched(database, options.query, timeout)
    except WatchbridgeError as error:
        state: State = "unknown" if isinstance(error, ConfigurationError) else "down"
        return Reading(state, _sentence(error), parts.clock.monotonic() - began, _cause(error))
    duration = parts.clock.monotonic() - began
    if rows is None:
        reason = f"the database {options.database!r} did not answer within {timeout:g} s"
        return Reading("down", reason, duration, "timeout")
    parts.explain("it gave no row" if not rows else "it gave several rows" if len(rows) > 1 else "it gave one row")
    if not rows:
        return Reading(options.empty, "the query gave no row", duration, "" if options.empty == "up" else "answer")
    return _judged(options, rows, duration)


def _sentence(error: WatchbridgeError) -> str:
    """Return what an error says; what is missing is named by the query here, not by the keys of a package source."""
    for kind, key in ((TableMissingError, "table"), (ColumnMissingError, "column")):
        if isinstance(error, kind):
            facts = error.facts
            return f"the database {facts['database']!r} has no {key} {facts[key]!r}: check the query"
    return str(error)


def _cause(error: WatchbridgeError) -> Cause:
    if isinstance(error, ConfigurationError):
        return "config"
    if isinstance(error, DatabaseUnreachableError | DatabaseRefusedError | DatabaseMissingError):
        return "connect"
    return "timeout" if isinstance(error, StatementTimeoutError | PoolTimeoutError) else "answer"


async def _fetched(database: Any, query: str, timeout: float) -> Any:
    """Return at most two rows; None when they did not come in time. Raises the DatabaseError family."""
    asking = asyncio.create_task(database.fetch(_statement(query)))
    asking.add_done_callback(_noticed)
    try:
        done, _ = await asyncio.wait({asking}, timeout=timeout)
        if not done:
            # The first cancellation cuts the statement off, which may take seconds; the second leaves that alone.
            asking.cancel()
            await asyncio.wait({asking}, timeout=GRACE)
    finally:
        asking.cancel()
    return asking.result().rows if done else None


def _noticed(task: asyncio.Task[Any]) -> None:
    """Take its error from a task that nobody waits for any more, or asyncio would complain of it."""
    if not task.cancelled():
        task.exception()


@lru_cache(maxsize=1024)
def _statement(query: str) -> Any:
    """Return what is asked, the same object each time: the database keeps what it compiled for it.

    As a subquery it can only be one statement that reads, and the database itself stops after two rows. The line
    break ends a comment, if the query ends in one.
    """
    import sqlalchemy as sa  # noqa: PLC0415 - a configuration without SQL stays light

    text = sa.text(query.strip().rstrip("; \n\t").replace(":", "\\:") + "\n")
    return sa.select(sa.text("*")).select_from(text.columns().subquery("watched")).limit(2)


def _judged(options: Options, rows: Any, duration: float) -> Reading:
    value = rows[0][0] if len(rows[0]) else None
    if value is None:
        return Reading("down", "the query gave NULL, which is no value", duration, "value")
    number = _number(value)
    state, told = _against(options, value, number)
    several = "; it gave several rows, of which the first counts" if len(rows) > 1 else ""
    reason = f"the query gave {_quoted(value)}{told}{several}"
    return Reading(state, reason, duration, "" if state == "up" else "value", facts=number)


def _against(options: Options, value: Any, number: float | None) -> tuple[State, str]:
    if options.expect is not None and not _equals(options.expect, value, number):
        return "down", f", wanted {options.expect[:QUOTED]!r}"
    bounds = {key: bound for key in _BOUNDS if (bound := getattr(options, key)) is not None}
    if bounds and number is None:
        return "down", ", which is no number that could be compared"
    for key, bound in bounds.items():
        is_least = key.endswith("min")
        if number is not None and (number < bound if is_least else number > bound):
            words = f", wanted at {'least' if is_least else 'most'} {bound:g}"
            return ("degraded" if key.startswith("warn") else "down"), words
    return "up", ""


def _number(value: Any) -> float | None:
    """Return a value as a finite number: numbers of any type, and a text that is one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _equals(wanted: str, value: Any, number: float | None) -> bool:
    return wanted == _text(value) or (number is not None and number == _number(wanted))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _quoted(value: Any) -> str:
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in _text(value)[: QUOTED + 1])
    return clean if len(clean) <= QUOTED else clean[: QUOTED - 1] + "…"
