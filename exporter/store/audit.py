"""What was decided and by whom: rows are only added, in the transaction of what they tell of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select

from exporter.store.bridge_tables import audit
from exporter.store.bulk import ROWS, delete_oldest, pieces, storable, written
from exporter.store.columns import NAME_LENGTH, REASON_LENGTH
from exporter.store.documents import document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

DETAILS_BYTES: Final = 60_000
"""Bytes of the details of one entry: what MySQL's TEXT takes, with room."""
_INSERT: Final = insert(audit)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: when (seconds since 1970), who, what was done to which noun, and why.

    `actor` is `alertmanager`, `cli:USER`, `worker:REPLICA` or `watchbridge`; `details` are of JSON's types.
    """

    at: float
    actor: str
    verb: str
    noun: str
    noun_id: int | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


async def added(connection: AsyncConnection, entries: Iterable[Entry]) -> None:
    """Add entries in the caller's transaction."""
    for piece in pieces(entries, ROWS):
        await written(connection, _INSERT, [_row(entry) for entry in piece])


def _row(entry: Entry) -> dict[str, Any]:
    details = document(dict(entry.details)) if entry.details else None
    return {
        "at": entry.at,
        "actor": storable(entry.actor, NAME_LENGTH),
        "verb": entry.verb,
        "noun": entry.noun,
        "noun_id": entry.noun_id,
        "reason": storable(entry.reason, REASON_LENGTH),
        # Cut JSON is none: what does not fit is left out whole.
        "details": details if details is None or len(details.encode()) <= DETAILS_BYTES else None,
    }


async def of(store: Store, noun: str, number: int, limit: int = 1000) -> list[Entry]:
    """Return what is told of one noun, the oldest first."""
    query = select(audit).where(audit.c.noun == noun, audit.c.noun_id == number).order_by(audit.c.id).limit(limit)
    async with store.reading() as connection:
        return [
            Entry(row.at, row.actor, row.verb, row.noun, row.noun_id, row.reason, json.loads(row.details or "{}"))
            for row in await connection.execute(query)
        ]


async def purge(store: Store, before: float, limit: int) -> int:
    """Delete at most `limit` entries from before a moment; return how many."""
    async with store.writing() as connection:
        return await delete_oldest(connection, audit, "at", before, limit)
