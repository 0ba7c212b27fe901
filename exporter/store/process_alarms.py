"""Alarms of processes as they are remembered: one row each time that one stands, found by its head until it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import bindparam, func, null, select, update

from exporter.store import audit
from exporter.store.audit import Entry
from exporter.store.backlog_rows import UNFINISHED, encoded
from exporter.store.bridge_tables import backlog_items
from exporter.store.bulk import IDS, ROWS, delete_oldest, pieces, storable, upsert, written
from exporter.store.columns import NAME_LENGTH
from exporter.store.restart_tables import process_alarms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import Hold, ItemState
    from exporter.store.backlog_rows import NewItem
    from exporter.store.store import Store

EndedBy = Literal["monitor", "restart"]
"""Who ended an alarm: whoever raised it, or we after a verified restart."""

ID_LENGTH: Final = 64
RESOLVED: Final = "its alarm ended before it began"
RESOLVED_MEANWHILE: Final = "its alarm ended while it ran"

_ROWS: Final = process_alarms.c
_ITEMS: Final = backlog_items.c
_ENDED: Final = (
    update(process_alarms)
    .where(_ROWS.id == bindparam("number"))
    # An end that somebody else has noted stays when it was; that it was our doing is what is added to it.
    .values(
        head=null(),
        ended_at=func.coalesce(_ROWS.ended_at, bindparam("at", type_=_ROWS.ended_at.type)),
        ended_by=bindparam("by", type_=_ROWS.ended_by.type),
    )
)
_ASKED: Final = (
    update(process_alarms)
    .where(_ROWS.id == bindparam("number"))
    .values(
        service=bindparam("for_service", type_=_ROWS.service.type),
        item_id=bindparam("item", type_=_ROWS.item_id.type),
        asked_at=bindparam("at", type_=_ROWS.asked_at.type),
    )
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that stands. `item_state` and `item_hold` are those of the last item that it led to; None without."""

    id: int
    head: str
    source: str
    process_id: str
    process: str
    service: str | None
    raised_at: float
    item_id: int | None
    asked_at: float | None
    item_state: ItemState | None = None
    item_hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class NewAlarm:
    """An alarm that was not known before."""

    source: str
    process_id: str
    process: str
    service: str | None

    @property
    def head(self) -> str:
        """Return what no other alarm that stands has."""
        return head_of(self.source, self.process_id)


def head_of(source: str, process_id: str) -> str:
    """Return the head of the alarm of a process, whatever its number is."""
    head = json.dumps([source, process_id])  # in ASCII: no engine changes or refuses that
    return head if len(head) <= NAME_LENGTH else "sha256:" + hashlib.sha256(head.encode()).hexdigest()


def stored_name(name: str) -> str:
    """Return the name of a process, or of a service, as it is stored."""
    return storable(name, NAME_LENGTH)


_STANDING: Final = (
    select(process_alarms, _ITEMS.state.label("item_state"), _ITEMS.hold.label("item_hold"))
    .select_from(process_alarms.outerjoin(backlog_items, _ITEMS.id == _ROWS.item_id))
    .where(_ROWS.head.is_not(None))
    .order_by(_ROWS.id)
)


async def standing(store: Store, source: str) -> list[Alarm]:
    """Return the alarms of a source that stand, the oldest first."""
    async with store.reading() as connection:
        return await _alarms(connection, _STANDING.where(_ROWS.source == stored_name(source)))


async def of_heads(store: Store, heads: Collection[str]) -> list[Alarm]:
    """Return the alarms that stand, of some heads."""
    found: list[Alarm] = []
    async with store.reading() as connection:
        for piece in pieces(heads, IDS):
            found += await _alarms(connection, _STANDING.where(_ROWS.head.in_(piece)))
    return found


async def _alarms(connection: AsyncConnection, query: Select[Any]) -> list[Alarm]:
    return [
        Alarm(
            row.id,
            row.head,
            row.source,
            row.process_id,
            row.process,
            row.service,
            row.raised_at,
            row.item_id,
            row.asked_at,
            row.item_state,
            row.item_hold,
        )
        for row in await connection.execute(query)
    ]


async def raised(connection: AsyncConnection, alarms: Iterable[NewAlarm], now: float) -> None:
    """Store alarms in the caller's transaction; one that stands already, perhaps by another replica, stays as it is."""
    # In the order of their heads, as every replica does it.
    rows = [_row(one, now) for one in sorted(alarms, key=lambda one: one.head)]
    for piece in pieces(rows, ROWS):
        await written(connection, upsert(connection.dialect.name, process_alarms, ("head",)), piece)


def _row(one: NewAlarm, now: float) -> dict[str, Any]:
    return {
        "head": one.head,
        "source": stored_name(one.source),
        "process_id": storable(one.process_id, ID_LENGTH),
        "process": stored_name(one.process),
        "service": None if one.service is None else stored_name(one.service),
        "raised_at": now,
    }


async def locked(connection: AsyncConnection, heads: Iterable[str]) -> list[Alarm]:
    """Return the alarms that stand, of some heads, which stay as they are until the caller's transaction ends."""
    found: list[Alarm] = []
    for piece in pieces(sorted(heads), IDS):
        query = select(process_alarms, null().label("item_state"), null().label("item_hold"))
        query = query.where(_ROWS.head.in_(piece)).order_by(_ROWS.id).with_for_update()
        found += await _alarms(connection, query)
    return found


async def asked(connection: AsyncConnection, alarms: Sequence[tuple[int, str | None, int | None]], now: float) -> None:
    """Note in the caller's transaction which service and which item (or none) alarms led to."""
    rows = [
        {"number": number, "for_service": None if service is None else stored_name(service), "item": item, "at": now}
        for number, service, item in sorted(alarms)
    ]
    for piece in pieces(rows, ROWS):
        await written(connection, _ASKED, piece)


async def ended(connection: AsyncConnection, ids: Iterable[int], by: EndedBy, now: float) -> tuple[list[int], int]:
    """Note in the caller's transaction that alarms ended; return which, and how many items were cancelled for it.

    Those are items that alarms led to, that have not begun, and that no other alarm waits for. By `monitor` only what
    stands yet ends; what `restart` ended is noted as such in any case.
    """
    found: list[Any] = []
    for piece in pieces(sorted(ids), IDS):
        query = select(_ROWS.id, _ROWS.item_id).where(_ROWS.id.in_(piece)).order_by(_ROWS.id).with_for_update()
        if by == "monitor":
            query = query.where(_ROWS.head.is_not(None))
        found += (await connection.execute(query)).all()
    for part in pieces(found, ROWS):
        await written(connection, _ENDED, [{"number": row.id, "at": now, "by": by} for row in part])
    items = {row.item_id for row in found if row.item_id is not None}
    return [row.id for row in found], await _cancelled(connection, items, now)


async def _cancelled(connection: AsyncConnection, items: Collection[int], now: float) -> int:
    """Cancel items of alarms that have ended, as `backlog.cancelled_by_resolve` does it for alerts."""
    cancelled: list[int] = []
    running: list[int] = []
    for piece in pieces(sorted(items)):
        awaited = select(_ROWS.item_id).where(_ROWS.item_id.in_(piece), _ROWS.head.is_not(None))
        still = set((await connection.execute(awaited)).scalars())
        which = _ITEMS.id.in_([one for one in piece if one not in still]), _ITEMS.origin == "alarm"
        query = select(_ITEMS.id, _ITEMS.state).where(*which, _ITEMS.state.in_(UNFINISHED)).order_by(_ITEMS.id)
        for row in await connection.execute(query.with_for_update()):
            (running if row.state == "running" else cancelled).append(row.id)
    for piece in pieces(running):
        values = {"explanation": RESOLVED_MEANWHILE}
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(values))
    for piece in pieces(cancelled):
        over = {"state": "cancelled", "hold": "resolved", "explanation": RESOLVED, "finished_at": now}
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(over | {"active_key": None}))
    await audit.added(connection, (Entry(now, "watchbridge", "cancelled", "item", one, RESOLVED) for one in cancelled))
    return len(cancelled)


async def enqueued(connection: AsyncConnection, items: Sequence[NewItem], now: float) -> dict[str, tuple[int, bool]]:
    """Store items of one queue in the caller's transaction; return by their keys its number, and whether it is new.

    Where an unfinished item of that key is there, whoever added it, that is the one.
    """
    if not items:
        return {}
    queue = items[0].queue
    found = {key: (number, False) for key, number in (await _unfinished(connection, queue, items)).items()}
    rows = {item.key: encoded(item, now) | {"active_key": storable(item.key, NAME_LENGTH)} for item in items}
    fresh = [rows[key] for key in sorted(rows) if rows[key]["key"] not in found]
    for piece in pieces(fresh, ROWS):
        # Somebody else may add it at this moment: then theirs is the one.
        await written(connection, upsert(connection.dialect.name, backlog_items, ("queue", "active_key")), piece)
    for piece in pieces([row["key"] for row in fresh], IDS):
        which = _ITEMS.queue == queue, _ITEMS.active_key.in_(piece)
        query = select(_ITEMS.id, _ITEMS.key, _ITEMS.created_at, _ITEMS.origin).where(*which)
        for row in await connection.execute(query):
            found[row.key] = row.id, row.origin == items[0].origin and row.created_at == now
    new = [number for number, is_new in found.values() if is_new]
    for piece in pieces(sorted(new)):
        # What is only observed is over: the key is free for the next one.
        over = _ITEMS.id.in_(piece), _ITEMS.state.not_in(UNFINISHED)
        await connection.execute(update(backlog_items).where(*over).values(active_key=None))
    return {item.key: found[rows[item.key]["key"]] for item in items}


async def _unfinished(connection: AsyncConnection, queue: str, items: Sequence[NewItem]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in pieces(sorted({storable(item.key, NAME_LENGTH) for item in items}), IDS):
        which = _ITEMS.queue == queue, _ITEMS.key.in_(piece), _ITEMS.state.in_(UNFINISHED)
        query = select(_ITEMS.key, func.min(_ITEMS.id)).where(*which).group_by(_ITEMS.key)
        found |= {row[0]: int(row[1]) for row in await connection.execute(query)}
    return found


async def sources(store: Store) -> list[str]:
    """Return the sources of which alarms stand."""
    query = select(_ROWS.source).where(_ROWS.head.is_not(None)).distinct()
    async with store.reading() as connection:
        return sorted((await connection.execute(query)).scalars())


async def purge(store: Store, before: float, limit: int) -> int:
    """Forget at most `limit` alarms that ended before a moment; return how many."""
    async with store.writing() as connection:
        return await delete_oldest(connection, process_alarms, "ended_at", before, limit)
