"""Stretches of time that each service spent in one state: only the changes are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, case, insert, or_, select, update

from exporter.store.bulk import ROWS, delete_oldest, pieces, storable, written
from exporter.store.tables import REASON_LENGTH, service_states

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import State
    from exporter.store.store import Store


class Stretch(NamedTuple):
    """A service in one state from `began_at` to `ended_at` (seconds since 1970); None: it has not ended.

    `replica` observes it while it is open. The reason is cut to 500 characters; `id` is 0 until it is stored.
    """

    service_id: int
    state: State
    reason: str
    began_at: float
    replica: str
    ended_at: float | None = None
    id: int = 0


_COLUMNS = tuple(service_states.c[name] for name in Stretch._fields)

_INSERT = insert(service_states)
_AT = bindparam("at", type_=service_states.c.ended_at.type)
_CLOSE = (
    update(service_states)
    .where(service_states.c.id == bindparam("number"), service_states.c.ended_at.is_(None))
    # A clock that went back must not let a stretch end before it began.
    .values(ended_at=case((service_states.c.began_at > _AT, service_states.c.began_at), else_=_AT))
)


async def opened(connection: AsyncConnection, stretches: Sequence[Stretch]) -> dict[int, int]:
    """Store stretches in the caller's transaction; return the number of the open one by its service.

    `closed` first ends what they follow. A service that is no longer in `client_services` makes the database refuse
    the whole: ask `client_services.present` first.
    """
    numbers: dict[int, int] = {}
    for piece in pieces(stretches, ROWS):
        await written(connection, _INSERT, [_row(stretch) for stretch in piece])
        if services := [stretch.service_id for stretch in piece if stretch.ended_at is None]:
            # MySQL does not tell the numbers of many inserted rows.
            query = select(service_states.c.service_id, service_states.c.id).where(
                service_states.c.ended_at.is_(None), service_states.c.service_id.in_(services)
            )
            # By number: of two open ones of a service the later counts.
            rows = await connection.execute(query.order_by(service_states.c.id))
            numbers |= {row.service_id: row.id for row in rows}
    return numbers


async def closed(connection: AsyncConnection, ends: Mapping[int, float]) -> None:
    """End open stretches by number at a time (seconds since 1970), in the caller's transaction.

    What has ended keeps its end. None ends before it began.
    """
    # In one order everywhere: replicas that lock the same rows in different orders would deadlock.
    rows = [{"number": number, "at": ends[number]} for number in sorted(ends)]
    if rows:
        await written(connection, _CLOSE, rows)


async def open_ones(store: Store, ids: Collection[int] | None = None) -> list[Stretch]:
    """Return what is open of services by number (None: all), in the order in which it was stored."""
    query = select(*_COLUMNS).where(service_states.c.ended_at.is_(None))
    return sorted(await _read(store, query, ids), key=lambda stretch: stretch.id)


async def since(store: Store, ids: Collection[int] | None, at: float) -> list[Stretch]:
    """Return the stretches of services (None: all) that lasted past a moment, by service and then by time."""
    query = select(*_COLUMNS).where(or_(service_states.c.ended_at > at, service_states.c.ended_at.is_(None)))
    found = await _read(store, query, ids)
    return sorted(found, key=lambda stretch: (stretch.service_id, stretch.began_at, stretch.id))


async def purge(store: Store, before: float, limit: int) -> int:
    """Delete the stretches that ended first and before a moment, at most `limit` in one transaction; return how many.

    Fewer than `limit` means that none is left, or that another replica is at the rest.
    """
    async with store.writing() as connection:
        return await delete_oldest(connection, service_states, "ended_at", before, limit)


async def _read(store: Store, query: Any, ids: Collection[int] | None) -> list[Stretch]:
    queries = [query] if ids is None else [query.where(service_states.c.service_id.in_(piece)) for piece in pieces(ids)]
    async with store.reading() as connection:
        return [Stretch(*row) for one in queries for row in await connection.execute(one)]


def _row(stretch: Stretch) -> dict[str, Any]:
    row = stretch._asdict()
    del row["id"]
    row["reason"] = storable(stretch.reason, REASON_LENGTH)
    return row
