"""When each source of each collector was last read without an error.

It must outlive a restart, or every restart would look like a collector that never worked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from exporter.store.tables import collector_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.store.store import Store


async def remember(store: Store, successes: Mapping[tuple[str, str], float]) -> None:
    """Store the time (epoch seconds) of each (collector, source), in one transaction; a newer time stays.

    StoreError when that cannot be done: then nothing is stored.
    """
    # In one order everywhere: replicas that lock the same rows in different orders would deadlock.
    rows = [
        {"collector": collector, "source": source, "last_success": at}
        for (collector, source), at in sorted(successes.items())
    ]
    if not rows:
        return
    async with store.writing() as connection:
        await connection.execute(_upsert(store.dialect), rows)


async def recall(store: Store) -> dict[tuple[str, str], float]:
    """Return the last success (epoch seconds) of every (collector, source) ever stored."""
    async with store.reading() as connection:
        rows = await connection.execute(select(collector_runs))
        return {(row.collector, row.source): row.last_success for row in rows}


def _upsert(dialect: str) -> Any:
    if dialect == "mysql":
        insert = mysql.insert(collector_runs)
        newest = func.greatest(collector_runs.c.last_success, insert.inserted.last_success)
        return insert.on_duplicate_key_update(last_success=newest)
    upsert = (sqlite if dialect == "sqlite" else postgresql).insert(collector_runs)
    return upsert.on_conflict_do_update(
        index_elements=[collector_runs.c.collector, collector_runs.c.source],
        set_={"last_success": upsert.excluded.last_success},
        where=upsert.excluded.last_success > collector_runs.c.last_success,
    )
