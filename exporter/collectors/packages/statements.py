"""The SQL behind `packages`: built once from the table as it is, in the database's own dialect."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from exporter.collectors.packages.readings import StatusReading, merged
from exporter.errors import ColumnMissingError, ColumnTypeError, QueryShapeError
from exporter.labels import normalised

if TYPE_CHECKING:
    from exporter.collectors.packages.options import Options
    from exporter.databases.database import Database, Rows

Kind = Literal["aware", "naive", "utc", "date", "number", "sqlite", "none"]
"""How a column keeps time: with a zone, without, in UTC, as a date, a number, SQLite's texts, or not at all."""

NUMBERS: Final = frozenset({"aware", "utc", "number", "none"})
"""The kinds whose times come as seconds since 1970, without a zone to apply."""

BOUND: Final[dict[Kind, sa.types.TypeEngine[Any]]] = {
    "aware": sa.DateTime(timezone=True),
    "naive": sa.DateTime(),
    "utc": sa.DateTime(),
    "date": sa.Date(),
    "number": sa.Double(),
    "sqlite": sa.Double(),
}
SMALL: Final = 1000
"""Rows that are read in about a millisecond; more go to a thread, since the loop has others to answer."""

OFFSETS: Final = ("*Z", "*[+-][0-9][0-9]:[0-9][0-9]")
"""How SQLite's texts of time end when they say where their clock stands."""

SHAPE: Final = frozenset({"status", "count", "stuck", "oldest", "newest"})
PLAUSIBLE: Final = (-62135596800.0, 253402214400.0)
"""Seconds of the first and the last day of the calendar: infinities and what is beyond are no moments."""


class Found(NamedTuple):
    """What a statement said of the statuses that have rows, and whether it said anything of stuck packages."""

    readings: tuple[StatusReading, ...]
    knows_stuck: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The statements of one source, and how their rows are read."""

    all: sa.Executable
    open: sa.Executable
    terminal: sa.Executable | None
    options: Options
    zone: tzinfo
    kind: Kind

    async def fetch(self, database: Database, statement: sa.Executable, now: float) -> Found:
        """Run one of the statements and return what it says of each status."""
        table = "" if self.options.query else self.options.table
        found = await database.fetch(statement, self.cutoffs(now), table=table)
        if len(found.rows) > SMALL:
            return await asyncio.to_thread(self.readings, database, found)
        return self.readings(database, found)

    def cutoffs(self, now: float) -> dict[str, Any]:
        """Return the times before which a package is stuck, in the type of the column."""
        if self.kind == "none":
            return {}
        limits: dict[str, str] = {f"cutoff_{n}": status for n, status in enumerate(_own_limits(self.options))}
        limits["cutoff"] = "default"
        bound = {key: self._bound(now - self.options.stuck_seconds(status)) for key, status in limits.items()}
        if self.kind == "sqlite":
            bound["shift"] = self._shift(now)
        return bound

    def _shift(self, now: float) -> float:
        """Return how many seconds the zone's clocks are ahead of UTC now."""
        return datetime.fromtimestamp(now, self.zone).replace(tzinfo=UTC).timestamp() - now

    def _bound(self, moment: float) -> Any:
        if self.kind == "number":
            return moment * 1000 if self.options.epoch == "milliseconds" else moment
        aware = datetime.fromtimestamp(moment, UTC)
        if self.kind == "aware":
            return aware
        # The session of a MySQL connection is in UTC, and so are its columns of the type TIMESTAMP.
        local = aware.astimezone(self.zone).replace(tzinfo=None)
        if self.kind == "sqlite":
            return local.replace(tzinfo=UTC).timestamp()
        return local.date() if self.kind == "date" else local

    def readings(self, database: Database, found: Rows) -> Found:
        """Return the rows as readings; statuses that look the same once normalised are one."""
        keys = [key.lower() for key in found.keys]
        if not {"status", "count"} <= set(keys) <= SHAPE:
            raise QueryShapeError(database=database.name, found="the columns " + ", ".join(found.keys))
        # By columns: a query may give ten thousand rows, and each call a row costs more than the row itself.
        columns = dict(zip(keys, zip(*found.rows, strict=True), strict=False)) if found.rows else {}
        unknown = [None] * len(found.rows)
        try:
            counts = [int(count or 0) for count in columns.get("count", ())]
            stuck = [int(count or 0) for count in columns["stuck"]] if "stuck" in columns else unknown
        except (TypeError, ValueError, OverflowError):
            raise QueryShapeError(database=database.name, found="a count that is not a number") from None
        statuses = map(_status, columns.get("status", ()))
        oldest, newest = (self.times(columns[key]) if key in columns else unknown for key in ("oldest", "newest"))
        readings = tuple(map(StatusReading, statuses, counts, stuck, oldest, newest))
        return Found(merged(readings), "stuck" in keys)

    def times(self, values: Sequence[Any]) -> list[float | None]:
        """Return times from the database as seconds since 1970; None is what is not a time."""
        return [None if value is None else self._moment(value) for value in values]

    def _moment(self, value: Any) -> float | None:
        try:
            seconds = value if type(value) is float and self.kind in NUMBERS else self._seconds(value)
        except (ValueError, OverflowError, OSError):
            return None
        if seconds is not None and self.options.epoch == "milliseconds" and self.kind in {"none", "number"}:
            seconds /= 1000
        return seconds if seconds is not None and PLAUSIBLE[0] < seconds < PLAUSIBLE[1] else None

    def _seconds(self, value: Any) -> float | None:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=self.zone)).timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=self.zone).timestamp()
        if value is None or isinstance(value, bytes | bool):
            return None
        number = float(value)
        if self.kind in NUMBERS:
            return number
        # The seconds of a clock on the wall, which the database took for UTC.
        return datetime.fromtimestamp(number, UTC).replace(tzinfo=self.zone).timestamp()


def _status(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return normalised(value if value is None or isinstance(value, str) else str(value))


async def plan(database: Database, options: Options) -> Plan:
    """Look at the table and return the statements that read it. Raises TableMissingError, ColumnMissingError."""
    zone = ZoneInfo(options.timezone)
    if options.query is not None:
        # The line break ends a comment, if the query ends in one. As a subquery it can only be one statement that
        # reads, and the database itself stops at the row limit.
        text = sa.text(options.query.strip().rstrip("; \n\t").replace(":", "\\:") + "\n")
        whole = database.limited(sa.select(sa.text("*")).select_from(text.columns().subquery("packages")))
        return Plan(whole, whole, None, options, zone, "none")
    columns = await database.columns(options.table, options.schema)
    return _table_plan(database, options, zone, columns)


def _table_plan(database: Database, options: Options, zone: tzinfo, columns: Mapping[str, Any]) -> Plan:
    status_name = _column(database, options, columns, options.status)
    updated_name = _column(database, options, columns, options.updated_at) if options.updated_at else None
    names = dict.fromkeys(name for name in (status_name, updated_name) if name)
    table = sa.table(options.table, *map(sa.column, names), schema=options.schema)
    status = _text(database, columns[status_name]["type"], table.c[status_name])
    kind: Kind = "none"
    updated = None
    if updated_name is not None:
        kind, updated = _updated(database, options, columns[updated_name]["type"], table.c[updated_name])
    select = _select(options, status, updated, kind, database.dialect).select_from(table)
    # Plain comparisons, not IN: only those are compiled once for all values, and match a partial index as well.
    terminal = sa.or_(sa.false(), *(status == word for word in options.terminal))
    unfinished = sa.or_(status.is_(None), sa.and_(sa.true(), *(status != word for word in options.terminal)))
    split = options.terminal_every > 0 and bool(options.terminal)
    return Plan(
        all=database.limited(select),
        open=database.limited(select.where(unfinished)),
        terminal=database.limited(select.where(terminal)) if split else None,
        options=options,
        zone=UTC if kind == "utc" else zone,
        kind=kind,
    )


def _text(database: Database, type_: Any, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the status as text: plain text as it is, so that its index is used, and all else cast."""
    if isinstance(type_, sa.String) and not isinstance(type_, sa.Enum):
        return column
    return sa.cast(column, sa.CHAR if database.dialect == "mysql" else sa.Text)


def _column(database: Database, options: Options, columns: Mapping[str, Any], wanted: str) -> str:
    """Return the column as the database spells it. Raises ColumnMissingError with the nearest name."""
    if wanted in columns:
        return wanted
    folded = [name for name in columns if name.lower() == wanted.lower()]
    if len(folded) == 1:
        return folded[0]
    near = difflib.get_close_matches(wanted, columns, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ColumnMissingError(database=database.name, table=options.table, column=wanted, hint=hint)


def _updated(
    database: Database, options: Options, type_: Any, column: sa.ColumnElement[Any]
) -> tuple[Kind, sa.ColumnElement[Any]]:
    """Return how times of this column are read, and the expression that compares."""
    if database.dialect == "sqlite":
        return _updated_in_sqlite(options, type_, column)
    if isinstance(type_, mysql.TIMESTAMP):  # stored in UTC and read in the session's zone, which is UTC
        return "utc", column
    if isinstance(type_, sa.DateTime):
        return ("aware" if type_.timezone else "naive"), column
    if isinstance(type_, sa.Date):
        return "date", column
    if isinstance(type_, sa.Integer | sa.Numeric | sa.Float):
        return "number", sa.cast(column, sa.Double)
    raise ColumnTypeError(database=database.name, table=options.table, column=str(options.updated_at), type=str(type_))


def _updated_in_sqlite(
    options: Options, type_: Any, column: sa.ColumnElement[Any]
) -> tuple[Kind, sa.ColumnElement[Any]]:
    """SQLite has no type of time: numbers are as they are, text is read by its own functions, which give UTC.

    Text without an offset is the time of a clock on the wall, so what is a moment in itself is put on that wall too,
    with the offset of now: a comparison with now is then exact, and a time across a clock change an hour off at most.
    """
    if isinstance(type_, sa.Integer | sa.Numeric | sa.Float):
        return "number", sa.cast(column, sa.REAL)
    number = sa.cast(column, sa.REAL) / (1000.0 if options.epoch == "milliseconds" else 1.0)
    shift: sa.ColumnElement[float] = sa.bindparam("shift", 0.0, type_=sa.Double())
    text = sa.cast(sa.func.strftime("%s", column), sa.REAL)
    carries = sa.or_(*(column.op("GLOB")(shape) for shape in OFFSETS))
    is_number = sa.func.typeof(column).in_(["integer", "real"])
    return "sqlite", sa.case((is_number, number + shift), (carries, text + shift), else_=text)


def _select(
    options: Options, status: sa.ColumnElement[Any], updated: sa.ColumnElement[Any] | None, kind: Kind, dialect: str
) -> sa.Select[Any]:
    selected: list[sa.ColumnElement[Any]] = [status.label("status"), sa.func.count().label("count")]
    if updated is not None:
        type_ = BOUND[kind]
        cutoff: sa.ColumnElement[Any] = sa.bindparam("cutoff", None, type_=type_)
        own = _own_limits(options)
        if own:
            cases = [(status == name, sa.bindparam(f"cutoff_{n}", None, type_=type_)) for n, name in enumerate(own)]
            cutoff = sa.case(*cases, else_=cutoff)
        stuck = sa.func.sum(sa.case((updated <= cutoff, 1), else_=0))
        oldest, newest = (_seconds_of(function(updated), kind, dialect) for function in (sa.func.min, sa.func.max))
        selected += [stuck.label("stuck"), oldest.label("oldest"), newest.label("newest")]
    return sa.select(*selected).group_by(status)


def _seconds_of(moment: sa.ColumnElement[Any], kind: Kind, dialect: str) -> sa.ColumnElement[Any]:
    """PostgreSQL's calendar is longer than Python's: a year that Python cannot hold must not cost the other rows."""
    if dialect != "postgresql" or kind == "number":
        return moment
    return sa.cast(sa.extract("epoch", moment), sa.Double)


def _own_limits(options: Options) -> list[str]:
    """Return the statuses that have a `stuck_after` of their own."""
    after = options.stuck_after
    return [status for status in after if status != "default"] if isinstance(after, Mapping) else []
