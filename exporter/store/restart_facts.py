"""What the gate of restarts asks the store for, in the transaction that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, or_, select, update

from exporter.store.backlog_rows import UNFINISHED, WAITING
from exporter.store.bridge_tables import backlog_items

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_ITEMS: Final = backlog_items.c
CAUSED: Final = ("rule", "alarm")
"""Origins of items that something wrong led to, and not a person's wish."""
MOST: Final = 10_000
"""Items that are looked at: beyond so many at once the fleet breaker has long held all of them."""
_BARRED: Final = ("busy", "circuit", "dependency")
"""Reasons that the end of another restart may end."""


class Wanted(NamedTuple):
    """An item of the queue of restarts that is not over, or was made of late."""

    item: int
    service: str
    state: str
    hold: str | None
    origin: str
    explanation: str | None


async def wanted(connection: AsyncConnection, queue: str, since: float) -> list[Wanted]:
    """Return what is to be restarted, and what something wrong led to since a moment."""
    caused = and_(_ITEMS.origin.in_(CAUSED), _ITEMS.created_at > since)
    which = _ITEMS.queue == queue, _ITEMS.service.is_not(None), or_(_ITEMS.state.in_(UNFINISHED), caused)
    columns = _ITEMS.id, _ITEMS.service, _ITEMS.state, _ITEMS.hold, _ITEMS.origin, _ITEMS.explanation
    query = select(*columns).where(*which).order_by(_ITEMS.id.desc()).limit(MOST)
    return [Wanted(*row) for row in await connection.execute(query)]


async def due(store: Store, queue: str, now: float) -> frozenset[str]:
    """Return the services of which something is due."""
    which = _ITEMS.queue == queue, _ITEMS.state.in_(WAITING), _ITEMS.due_at <= now, _ITEMS.service.is_not(None)
    async with store.reading() as connection:
        rows = await connection.execute(select(_ITEMS.service).where(*which).distinct().limit(MOST))
        return frozenset(rows.scalars())


async def made_due(connection: AsyncConnection, queue: str, now: float, also: Collection[int] = ()) -> int:
    """Let be due, in the caller's transaction, what the end of a restart may have freed; return how many items.

    `also` are items whose circuit has opened: that they are held is to be seen at once.
    """
    freed = and_(_ITEMS.state == "held", _ITEMS.hold.in_(_BARRED))
    barred = and_(_ITEMS.state == "failed", _ITEMS.id.in_(sorted(also)))
    which = _ITEMS.queue == queue, or_(freed, barred), _ITEMS.due_at > now
    done = await connection.execute(update(backlog_items).where(*which).values(due_at=now))
    return int(done.rowcount)
