"""Statements over many rows that read the same on every engine."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from sqlite3 import Error, IntegrityError
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exc, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Dialect, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

IDS: Final = 5000
"""Row numbers in one statement: fewer than the bound values that any engine takes (SQLite 32,766)."""

ROWS: Final = 1000
"""Rows in one statement: the packet of a thousand readings is far below the 16 MiB that MySQL takes by default."""

# PostgreSQL stores no NUL, and no driver encodes a lone surrogate.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(words: str, length: int) -> str:
    """Return a sentence as every engine takes it: at most `length` characters, without NUL and lone surrogates."""
    kept = words[:length]
    # What can be printed is none of these, and asking that takes a tenth of searching them.
    return kept if kept.isprintable() else _UNSTORABLE.sub("\ufffd", kept)


def pieces(values: Iterable[Any], size: int = IDS) -> Iterator[list[Any]]:
    """Yield the values in lists of at most `size`."""
    rest = iter(values)
    while piece := list(islice(rest, size)):
        yield piece


@lru_cache(maxsize=64)  # each statement runs again every second, and making it takes longer than running it
def upsert(
    dialect: str, table: Table, keys: tuple[str, ...], change: Callable[[Any, Any], Mapping[str, Any]] | None = None
) -> Any:
    """Return a statement that inserts rows, and where there is one with the same keys changes that one.

    `change` gives the new values by column from the stored row and the row that was to be inserted; None leaves the
    stored one as it is. What it gives must hold no bound value: the drivers of MySQL join the rows into one statement
    only without. Give rows in the order of their keys: transactions that lock the same rows in different orders
    deadlock.
    """
    if dialect == "mysql":
        insert = mysql.insert(table)
        same = {keys[0]: table.c[keys[0]]}
        return insert.on_duplicate_key_update(change(table.c, insert.inserted) if change else same)
    upsert_ = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    index = [table.c[key] for key in keys]
    if change is None:
        return upsert_.on_conflict_do_nothing(index_elements=index)
    return upsert_.on_conflict_do_update(index_elements=index, set_=change(table.c, upsert_.excluded))


async def written(connection: AsyncConnection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a statement for each of many rows that have the same keys, in the caller's transaction.

    Give the same statement each time, and one in which every bound value is one of the row: on SQLite it is compiled
    once and handed to the driver in one visit of its thread, where SQLAlchemy makes three. What the database refuses
    is raised as SQLAlchemy does it.
    """
    dialect = connection.dialect
    if dialect.name != "sqlite":
        await connection.execute(statement, rows)
        return
    if not connection.in_transaction():
        await connection.begin()
    query, values = _compiled(dialect, statement, tuple(rows[0]))
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    try:
        await driver.executemany(query, list(map(values, rows)))
    except Error as error:
        kind = exc.IntegrityError if isinstance(error, IntegrityError) else exc.OperationalError
        raise kind(query, None, error) from error


@lru_cache(maxsize=64)
def _compiled(dialect: Dialect, statement: Any, keys: tuple[str, ...]) -> tuple[str, Callable[[Any], tuple[Any, ...]]]:
    """Return the text of a statement, and what takes from a row the values that it binds, in their order."""
    compiled = statement.compile(dialect=dialect, column_keys=keys, for_executemany=True)
    names = tuple(compiled.positiontup)
    return str(compiled), itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)


async def delete_oldest(connection: AsyncConnection, table: Table, time: str, before: float, limit: int) -> int:
    """Delete at most `limit` rows whose `time` (a column with an index) is before a moment; return how many.

    Rows without a time stay. Replicas that do it at once each take rows of their own, or wait in the same order.
    """
    if connection.dialect.name == "mysql":
        # MySQL takes no LIMIT inside IN (…), but one on the DELETE itself. The names are those of our own tables.
        statement = f"DELETE FROM {table.name} WHERE {time} < :before ORDER BY {time} LIMIT :limit"  # noqa: S608
        done = await connection.execute(text(statement), {"before": before, "limit": limit})
        return int(done.rowcount)
    old: ColumnElement[bool] = table.c[time] < before
    oldest = select(table.c.id).where(old).order_by(table.c[time]).limit(limit)
    if connection.dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
    return int((await connection.execute(delete(table).where(table.c.id.in_(oldest)))).rowcount)
