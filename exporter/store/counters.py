"""Totals of metrics, counted in the transactions that they count: what is exposed was committed, and never falls."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from exporter.store.bridge_tables import counters
from exporter.store.bulk import upsert, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_KEYS: Final = ("scope", "family", "labels")

Increments = Counter[tuple[str, tuple[str, ...]]]
"""By family and label values: how much more it is."""


async def added(
    connection: AsyncConnection, scope: str, increments: Mapping[tuple[str, tuple[str, ...]], float]
) -> None:
    """Add to totals in the caller's transaction; one that is not there begins at 0.

    Call it last: the rows stay locked until the commit.
    """
    await _upserted(connection, scope, increments, _sum)


async def put(connection: AsyncConnection, scope: str, values: Mapping[tuple[str, tuple[str, ...]], float]) -> None:
    """Let values be these in the caller's transaction: times of the last of something, also where a clock went back."""
    await _upserted(connection, scope, values, _new)


async def _upserted(
    connection: AsyncConnection, scope: str, values: Mapping[tuple[str, tuple[str, ...]], float], change: Any
) -> None:
    # In the order of their keys: two that lock the same rows in different orders deadlock.
    rows = [
        {"scope": scope, "family": family, "labels": json.dumps(labels), "value": value}
        for (family, labels), value in sorted(values.items())
    ]
    if rows:
        await written(connection, upsert(connection.dialect.name, counters, _KEYS, change), rows)


def _sum(old: Any, new: Any) -> dict[str, Any]:
    return {"value": old.value + new.value}


def _new(_old: Any, new: Any) -> dict[str, Any]:
    return {"value": new.value}


async def totals(store: Store, scope: str, families: Sequence[str]) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the totals of families by their label values."""
    query = select(counters).where(counters.c.scope == scope, counters.c.family.in_(families))
    found: dict[str, dict[tuple[str, ...], float]] = {family: {} for family in families}
    async with store.reading() as connection:
        for row in await connection.execute(query):
            found[row.family][tuple(json.loads(row.labels))] = row.value
    return found


def scope_of(store: Store, replica: str) -> str:
    """Return under which name this process counts: an SQLite file belongs to one, whatever that is called."""
    return "" if store.dialect == "sqlite" else replica


async def forget(store: Store, living: Sequence[str]) -> int:
    """Forget the totals of replicas that nobody knows any more; return how many rows."""
    async with store.writing() as connection:
        done = await connection.execute(delete(counters).where(counters.c.scope != "", counters.c.scope.not_in(living)))
        return int(done.rowcount)
