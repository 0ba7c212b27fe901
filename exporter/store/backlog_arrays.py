"""What PostgreSQL wants for speed: many rows in one statement, as arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, Integer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column, Table
    from sqlalchemy.ext.asyncio import AsyncConnection


async def inserted(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have the same keys, in the caller's transaction."""
    names = tuple(rows[0])
    await _executed(connection, _insert(table, names), names, rows)


async def changed(
    connection: AsyncConnection,
    table: Table,
    keys: tuple[str, ...],
    rows: Sequence[Mapping[str, Any]],
    where: str = "TRUE",
) -> None:
    """Change the rows that have the same `keys` to what else is given, in the caller's transaction.

    Of those the rows for which a condition (SQL) holds.
    """
    names = tuple(rows[0])
    await _executed(connection, f"{_update(table, keys, names)} AND {where}", names, rows)


async def _executed(
    connection: AsyncConnection, statement: str, names: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> None:
    if not connection.in_transaction():
        await connection.begin()
    await connection.exec_driver_sql(statement, tuple([row[name] for row in rows] for name in names))


# The names are those of our own tables and columns.
@lru_cache(maxsize=32)
def _insert(table: Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table.name} ({columns}) SELECT * FROM {_given(table, names)}"  # noqa: S608


@lru_cache(maxsize=32)
def _update(table: Table, keys: tuple[str, ...], names: tuple[str, ...]) -> str:
    values = ", ".join(f'"{name}" = given."{name}"' for name in names if name not in keys)
    same = " AND ".join(f'{table.name}."{key}" = given."{key}"' for key in keys)
    columns = ", ".join(f'"{name}"' for name in names)
    return f"UPDATE {table.name} SET {values} FROM {_given(table, names)} AS given({columns}) WHERE {same}"  # noqa: S608


def _given(table: Table, names: tuple[str, ...]) -> str:
    arrays = ", ".join(f"${place}::{_type(table.c[name])}[]" for place, name in enumerate(names, 1))
    return f"unnest({arrays})"


def _type(column: Column[Any]) -> str:
    for kind, word in ((BigInteger, "bigint"), (Integer, "integer"), (Double, "double precision")):
        if isinstance(column.type, kind):
            return word
    return "text"
