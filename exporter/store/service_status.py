"""Readings of services: what each run of a probe found, until they are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert, select

from exporter.store.bulk import ROWS, delete_oldest, pieces, storable, written
from exporter.store.tables import REASON_LENGTH, client_services, service_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import Cause, State
    from exporter.store.store import Store


class StoredReading(NamedTuple):
    """A reading as it is stored: when it was made (seconds since 1970), how long it took (milliseconds).

    `error_message` says why the state is what it is, cut to 500 characters; `id` is 0 until it is stored.
    """

    service_id: int
    status: State
    checked_at: float
    status_code: int | None = None
    response_time_ms: float | None = None
    error_message: str | None = None
    cause: Cause = ""
    id: int = 0


_INSERT = insert(service_status)
_COLUMNS = tuple(service_status.c[name] for name in StoredReading._fields)


async def add(connection: AsyncConnection, readings: Sequence[StoredReading]) -> None:
    """Store readings in the caller's transaction.

    A service that is no longer in `client_services` makes the database refuse the whole: ask
    `client_services.present` first.
    """
    for piece in pieces(readings, ROWS):
        await written(connection, _INSERT, [_row(reading) for reading in piece])


async def latest(store: Store, ids: Collection[int] | None = None) -> dict[int, StoredReading]:
    """Return the newest reading of services by number (None: all); one without any is absent."""
    # For each service one step into the index from its end, however long its history is.
    of_service = service_status.alias()
    newest = (
        select(of_service.c.id)
        .where(of_service.c.service_id == client_services.c.id)
        .order_by(of_service.c.checked_at.desc(), of_service.c.id.desc())
        .limit(1)
        .scalar_subquery()
        .correlate(client_services)
    )
    query: Any = select(*_COLUMNS).join_from(client_services, service_status, service_status.c.id == newest)
    queries = [query] if ids is None else [query.where(client_services.c.id.in_(piece)) for piece in pieces(ids)]
    async with store.reading() as connection:
        return {row.service_id: StoredReading(*row) for one in queries for row in await connection.execute(one)}


async def history(store: Store, service_id: int, since: float, limit: int) -> list[StoredReading]:
    """Return at most `limit` readings of a service made at `since` (epoch seconds) or later, the newest first."""
    query = (
        select(*_COLUMNS)
        .where(service_status.c.service_id == service_id, service_status.c.checked_at >= since)
        .order_by(service_status.c.checked_at.desc(), service_status.c.id.desc())
        .limit(limit)
    )
    async with store.reading() as connection:
        return [StoredReading(*row) for row in await connection.execute(query)]


async def purge(store: Store, before: float, limit: int) -> int:
    """Delete the oldest readings made before a moment, at most `limit` in one transaction; return how many.

    Fewer than `limit` means that none is left, or that another replica is at the rest.
    """
    async with store.writing() as connection:
        return await delete_oldest(connection, service_status, "checked_at", before, limit)


def _row(reading: StoredReading) -> dict[str, Any]:
    row = reading._asdict()
    del row["id"]
    if reading.error_message is not None:
        row["error_message"] = storable(reading.error_message, REASON_LENGTH)
    return row
