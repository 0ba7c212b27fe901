"""What the gate of restarts asks the store for, in the transaction that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, func, or_, select, update

from exporter.store.backlog_rows import UNFINISHED, WAITING
from exporter.store.bridge_tables import backlog_items, incidents
from exporter.store.bulk import pieces

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_ITEMS: Final = backlog_items.c
CAUSED: Final = ("rule", "alarm")
"""Origins of items that something wrong led to, and not a person's wish."""
MOST: Final = 10_000
"""Items, or services, that one look takes; the rest is seen by the next one."""
_BARRED: Final = ("busy", "circuit", "dependency", "budget")
"""Reasons that the end of another restart may end."""


class Wanted(NamedTuple):
    """Items of one service, in one state for one reason, that are not over or were made of late; `item` is the last."""

    service: str
    state: str
    hold: str | None
    origin: str
    item: int


async def wanted(connection: AsyncConnection, queue: str, since: float) -> list[Wanted]:
    """Return what is to be restarted, and what something wrong led to since a moment.

    Few rows, whatever the number of items: of a storm of alerts about one service none may hide that it is running.
    """
    caused = and_(_ITEMS.origin.in_(CAUSED), _ITEMS.created_at > since)
    which = _ITEMS.queue == queue, _ITEMS.service.is_not(None), or_(_ITEMS.state.in_(UNFINISHED), caused)
    alike = _ITEMS.service, _ITEMS.state, _ITEMS.hold, _ITEMS.origin
    query = select(*alike, func.max(_ITEMS.id)).where(*which).group_by(*alike)
    return [Wanted(*row) for row in await connection.execute(query)]


async def due(store: Store, queue: str, now: float, *, by_hand: bool = False) -> frozenset[str]:
    """Return the services of which something is due; `by_hand` also what the mode holds."""
    is_due = _ITEMS.due_at <= now
    if by_hand:
        is_due = or_(is_due, _ITEMS.hold == "mode")
    which = _ITEMS.queue == queue, _ITEMS.state.in_(WAITING), is_due, _ITEMS.service.is_not(None)
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
    # Who has one of them locked ends it: waited for, it could wait for what this transaction holds.
    query = select(_ITEMS.id).where(*which).order_by(_ITEMS.id).limit(MOST).with_for_update(skip_locked=True)
    found = list((await connection.execute(query)).scalars())
    for piece in pieces(found):
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(due_at=now))
    return len(found)


class Helped(NamedTuple):
    """An item that is done, because its service was restarted so that it helped, and whose alert fires still."""

    item: int
    service: str


async def helped(store: Store, queue: str, before: float) -> list[Helped]:
    """Return such items that were done before a moment, the oldest first."""
    query = (
        select(_ITEMS.id, _ITEMS.service)
        .join(incidents, incidents.c.id == _ITEMS.incident_id)
        .where(incidents.c.state == "open", _ITEMS.queue == queue, _ITEMS.state == "done", _ITEMS.origin == "rule")
        .where(_ITEMS.finished_at < before, _ITEMS.service.is_not(None))
    )
    async with store.reading() as connection:
        rows = await connection.execute(query.order_by(_ITEMS.id).limit(MOST))
        return [Helped(*row) for row in rows]


async def wanted_again(connection: AsyncConnection, items: Collection[int], why: str, now: float) -> set[int]:
    """Let items that are done be due once more, in the caller's transaction; return which were still done."""
    query = select(_ITEMS.id).where(_ITEMS.id.in_(sorted(items)), _ITEMS.state == "done").order_by(_ITEMS.id)
    found = set((await connection.execute(query.with_for_update(skip_locked=True))).scalars())
    for piece in pieces(sorted(found)):
        values = {"state": "pending", "due_at": now, "finished_at": None, "explanation": why, "attempts": 0}
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(values))
    return found
