"""The two tables of a process monitor: which processes are in alarm, and how an alarm is cleared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from exporter.errors import ColumnMissingError, DatabaseError, TableMissingError
from exporter.process_alarms.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.databases.database import Database, Rows
    from exporter.process_alarms.options import AlarmOptions


class AlarmColumnTypeError(DatabaseError):
    """The column {column!r} of {table!r} in the database {database!r} is a {type}, not a number: name another one."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables as they were found, and the statements over them. `names` words errors."""

    database: Database
    names: str
    alarmed: sa.Select[Any]
    all: sa.Select[Any]
    statuses: sa.TableClause
    id: sa.ColumnClause[Any]
    alarm: sa.ColumnClause[Any]
    stands: sa.ColumnElement[bool]
    calm: Any

    async def in_alarm(self) -> tuple[Process, ...]:
        """Return the processes in alarm. Raises the DatabaseError family."""
        return _processes(await self.database.fetch(self.alarmed, table=self.names))

    async def processes(self) -> tuple[Process, ...]:
        """Return every process, in alarm where one of its statuses is. Raises the DatabaseError family."""
        return _processes(await self.database.fetch(self.all, table=self.names))

    async def clear(self, process: Process) -> int:
        """End the alarm of a process and nothing else; return how many rows that changed, 0 where it stood no more.

        Raises the DatabaseError family.
        """
        which = sa.and_(self.id == process.key, self.stands)
        statement = sa.update(self.statuses).where(which).values({self.alarm: self.calm})
        return await self.database.change(statement, table=self.statuses.name)


def _processes(found: Rows) -> tuple[Process, ...]:
    rows = (tuple(row) for row in found.rows)
    return tuple(Process(key, _text(key), _name(name), bool(rest[0]) if rest else True) for key, name, *rest in rows)


def _name(value: Any) -> str | None:
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    """Return a value as people write it: 5 is one text, whether the column holds integers or numbers."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


async def found(database: Database, options: AlarmOptions) -> Tables:
    """Look at the tables and return the statements over them. Raises the DatabaseError family.

    Names that are not there as they are written are looked for without regard to case: `CREATE TABLE PROCESE` makes
    a `procese` in PostgreSQL.
    """
    names, statuses = options.processes, options.statuses
    process_table, process_columns = await _looked_at(database, names.table, options.schema)
    status_table, status_columns = await _looked_at(database, statuses.table, options.schema)
    number, name = (_column(database, process_table, process_columns, one) for one in (names.id, names.name))
    status_id, alarm = (_column(database, status_table, status_columns, one) for one in (statuses.id, statuses.alarm))
    processes = sa.table(process_table, sa.column(number), sa.column(name), schema=options.schema)
    told = sa.table(status_table, sa.column(status_id), sa.column(alarm), schema=options.schema)
    stands, calm = _stands(database, status_table, told.c[alarm], status_columns[alarm]["type"])
    key, called = processes.c[number], processes.c[name]
    # What stands is found first: without an index on the statuses a plain join would compare each row with each.
    alarms = sa.select(told.c[status_id].label("number")).where(stands).distinct().subquery("alarms")
    same = key == alarms.c.number
    is_alarmed = sa.case((alarms.c.number.is_not(None), 1), else_=0)
    in_alarm = sa.select(key, called).select_from(processes.join(alarms, same))
    everything = sa.select(key, called, is_alarmed).select_from(processes.outerjoin(alarms, same))
    return Tables(
        database,
        f"{process_table} and {status_table}",
        database.limited(in_alarm.where(key.is_not(None))),
        database.limited(everything.where(key.is_not(None))),
        told,
        told.c[status_id],
        told.c[alarm],
        stands,
        calm,
    )


async def _looked_at(database: Database, table: str, schema: str | None) -> tuple[str, Mapping[str, Any]]:
    try:
        return table, await database.columns(table, schema)
    except TableMissingError:
        if database.dialect != "postgresql" or table == table.lower():
            raise
        missing = TableMissingError(database=database.name, table=f"{schema}.{table}" if schema else table)
    try:
        return table.lower(), await database.columns(table.lower(), schema)
    except TableMissingError:
        raise missing from None


def _column(database: Database, table: str, columns: Iterable[str], wanted: str) -> str:
    """Return the column as the database spells it."""
    known = list(columns)
    if wanted in known:
        return wanted
    alike = [name for name in known if name.lower() == wanted.lower()]
    if len(alike) == 1:
        return alike[0]
    hint = f" (it has {', '.join(known[:10])})" if known else ""
    raise ColumnMissingError(database=database.name, table=table, column=wanted, hint=hint)


def _stands(
    database: Database, table: str, alarm: sa.ColumnClause[Any], type_: Any
) -> tuple[sa.ColumnElement[bool], Any]:
    """Return when a status is an alarm, and the value of one that is none; NULL is none."""
    if database.dialect == "sqlite":
        # A column holds what it is given there: a text that is no number is 0.
        return sa.cast(alarm, sa.Numeric) != 0, 0
    if database.dialect == "postgresql" and isinstance(type_, sa.Boolean):
        return alarm.is_(sa.true()), sa.false()
    # MySQL compares the place of a word in an ENUM, and a text by the digits that it begins with.
    numbers = (sa.Integer, sa.Numeric, sa.Float, sa.Boolean, *((mysql.BIT,) if database.dialect == "mysql" else ()))
    if not isinstance(type_, numbers):
        raise AlarmColumnTypeError(database=database.name, table=table, column=alarm.name, type=str(type_))
    return alarm != 0, 0
