"""Durable work: what rules, people and events enqueue, and how the backlog stands.

What a person does to items is in `backlog_by_hand`, what workers do in `backlog_claims`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from exporter.errors import StoreError
from exporter.policy import RESTARTS
from exporter.store import audit, backlog_arrays
from exporter.store.audit import Entry
from exporter.store.backlog_by_hand import approve, clear, mark_processed, retry
from exporter.store.backlog_rows import COLUMNS, UNFINISHED, BacklogItem, NewItem, decoded, encoded
from exporter.store.bridge_tables import backlog_items, incidents
from exporter.store.bulk import IDS, ROWS, delete_oldest, pieces, storable, written
from exporter.store.columns import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import ItemState
    from exporter.store.store import Store

__all__ = ["BacklogItem", "NewItem", "approve", "clear", "mark_processed", "retry"]

RESOLVED: Final = "its alert resolved before it began"
RESOLVED_MEANWHILE: Final = "its alert resolved while it ran"

_TRIES: Final = 5
"""How often an item is added anew where others add or finish the same one at that moment."""
_INSERT: Final = insert(backlog_items)
_ITEMS: Final = backlog_items.c


async def enqueued(connection: AsyncConnection, items: Sequence[NewItem], now: float, new: Collection[int] = ()) -> int:
    """Store items in the caller's transaction; return how many are new.

    One incident has one item for each step of a rule: one that is there already is left as it is. `new` are incidents
    that this transaction has made, so that there can be none.
    """
    numbers = {one.incident_id for one in items if one.incident_id is not None}.difference(new)
    known = await _known(connection, sorted(numbers))
    rows = []
    for item in items:
        if item.incident_id is not None and item.rule is not None and item.step is not None:
            if (identity := (item.incident_id, item.rule, item.step)) in known:
                continue
            known.add(identity)
        rows.append(encoded(item, now))
    for piece in pieces(rows, ROWS):
        if connection.dialect.name == "postgresql":
            await backlog_arrays.inserted(connection, backlog_items, piece)
        else:
            await written(connection, _INSERT, piece)
    return len(rows)


async def _known(connection: AsyncConnection, numbers: Sequence[int]) -> set[tuple[int, str, int]]:
    """Return which steps have led to an item; nobody else adds one of these incidents until the transaction ends."""
    known: set[tuple[int, str, int]] = set()
    for piece in pieces(numbers):
        # Without the key's own lock: rows that refer to the incident may be written meanwhile.
        lock = select(incidents.c.id).where(incidents.c.id.in_(piece)).order_by(incidents.c.id)
        await connection.execute(lock.with_for_update(key_share=True))
        query = select(_ITEMS.incident_id, _ITEMS.rule, _ITEMS.step)
        known.update(tuple(row) for row in await connection.execute(query.where(_ITEMS.incident_id.in_(piece))))
    return known


async def add(  # noqa: PLR0913 -- what an item is made of; all but the first four by name
    store: Store,
    queue: str,
    key: str,
    reason: str,
    *,
    actor: str,
    now: float,
    origin: str = "cli",
    context: Mapping[str, Any] | None = None,
    state: ItemState = "pending",
    service: str | None = None,
    reserved: float | None = None,
) -> tuple[int, bool]:
    """Add an item by hand and return its number and True; where it is there already, that one's number and False.

    It is there while an unfinished item of that queue and key is; one that is added as done is there where a done one
    is. `context` may hold anything of JSON's types. One that is `reserved` waits for the command that adds it: as if it
    was held because of the mode, until so many seconds have passed.
    """
    new = NewItem(queue, key, reason, origin, state, "auto", now, context or {}, service=service)
    if reserved is not None:
        new = replace(new, state="held", hold="mode", due_at=now + reserved)
        state = new.state
    row = encoded(new, now) | {"approved_by": actor}
    if state in UNFINISHED:
        # What a person wants restarted is an item of its own beside what alerts and alarms led to.
        row["active_key"] = storable(f"person/{key}", NAME_LENGTH) if queue == RESTARTS else row["key"]
    same = UNFINISHED if state in UNFINISHED else (state,)
    for _ in range(_TRIES - 1):
        try:
            return await _added(store, row, same, actor)
        except StoreError as error:
            # Somebody else added it between our look and our insert.
            if not isinstance(error.__cause__, IntegrityError):
                raise
    return await _added(store, row, same, actor)


async def _added(store: Store, row: dict[str, Any], same: Collection[str], actor: str) -> tuple[int, bool]:
    there = select(_ITEMS.id).where(_ITEMS.queue == row["queue"], _ITEMS.key == row["key"], _ITEMS.state.in_(same))
    if row["queue"] == RESTARTS:
        there = there.where(_ITEMS.active_key == row["active_key"])
    async with store.writing() as connection:
        found = (await connection.execute(there.order_by(_ITEMS.id).limit(1))).scalar()
        if found is not None:
            return int(found), False
        made = await connection.execute(_INSERT.values(row))
        primary: Any = made.inserted_primary_key
        number = int(primary[0])
        entry = Entry(
            row["created_at"], actor, "added", "item", number, row["reason"], {"queue": row["queue"], "key": row["key"]}
        )
        await audit.added(connection, [entry])
    return number, True


async def listed(
    store: Store,
    *,
    queue: str | None = None,
    states: Collection[str] | None = None,
    key: str | None = None,
    limit: int = 1000,
    after_id: int = 0,
) -> list[BacklogItem]:
    """Return items in the order of their numbers, at most `limit`, those after `after_id`."""
    query = select(*COLUMNS).where(_ITEMS.id > after_id)
    if queue is not None:
        query = query.where(_ITEMS.queue == queue)
    if states is not None:
        query = query.where(_ITEMS.state.in_(tuple(states)))
    if key is not None:
        query = query.where(_ITEMS.key == key)
    async with store.reading() as connection:
        return [decoded(row) for row in await connection.execute(query.order_by(_ITEMS.id).limit(limit))]


async def of_incident(store: Store, number: int, limit: int = 1000) -> list[BacklogItem]:
    """Return the items that an incident led to, in the order of their numbers."""
    query = select(*COLUMNS).where(_ITEMS.incident_id == number).order_by(_ITEMS.id).limit(limit)
    async with store.reading() as connection:
        return [decoded(row) for row in await connection.execute(query)]


async def one(store: Store, number: int) -> BacklogItem | None:
    """Return an item by its number, or None."""
    async with store.reading() as connection:
        row = (await connection.execute(select(*COLUMNS).where(_ITEMS.id == number))).first()
    return None if row is None else decoded(row)


async def counts(store: Store) -> dict[tuple[str, str], int]:
    """Return how many items there are by queue and state; those that have none are left out."""
    query = select(_ITEMS.queue, _ITEMS.state, func.count()).group_by(_ITEMS.queue, _ITEMS.state)
    async with store.reading() as connection:
        return {(row[0], row[1]): int(row[2]) for row in await connection.execute(query)}


async def held(store: Store) -> dict[tuple[str, str], int]:
    """Return how many items are held now, by queue and reason; those that have none are left out."""
    query = select(_ITEMS.queue, _ITEMS.hold, func.count()).where(_ITEMS.state == "held", _ITEMS.hold.is_not(None))
    async with store.reading() as connection:
        rows = await connection.execute(query.group_by(_ITEMS.queue, _ITEMS.hold))
        return {(row[0], row[1]): int(row[2]) for row in rows}


async def oldest_pending(store: Store) -> dict[str, float]:
    """Return since when (seconds since 1970) the pending item of each queue that is due longest is due."""
    query = select(_ITEMS.queue, func.min(_ITEMS.due_at)).where(_ITEMS.state == "pending").group_by(_ITEMS.queue)
    async with store.reading() as connection:
        return {row[0]: float(row[1]) for row in await connection.execute(query)}


async def cancelled_by_resolve(connection: AsyncConnection, incident_ids: Collection[int], now: float) -> int:
    """Cancel what rules led to and has not begun, in the transaction in which incidents end; return how many.

    What runs is not stopped: its explanation says that its alert has resolved.
    """
    cancelled: list[int] = []
    running: list[int] = []
    for piece in pieces(sorted(incident_ids)):
        query = select(_ITEMS.id, _ITEMS.state).where(
            _ITEMS.incident_id.in_(piece), _ITEMS.origin == "rule", _ITEMS.state.in_(UNFINISHED)
        )
        for row in await connection.execute(query.order_by(_ITEMS.id).with_for_update()):
            (running if row.state == "running" else cancelled).append(row.id)
    for piece in pieces(running, IDS):
        await connection.execute(
            update(backlog_items).where(_ITEMS.id.in_(piece)).values(explanation=RESOLVED_MEANWHILE)
        )
    for piece in pieces(cancelled, IDS):
        values = {"state": "cancelled", "hold": "resolved", "explanation": RESOLVED, "finished_at": now}
        values["active_key"] = None
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(values))
    entries = (Entry(now, "watchbridge", "cancelled", "item", number, RESOLVED) for number in cancelled)
    await audit.added(connection, entries)
    return len(cancelled)


async def purge(store: Store, before: float, limit: int) -> int:
    """Delete at most `limit` items that were done or cancelled before a moment, with their runs; return how many."""
    async with store.writing() as connection:
        return await delete_oldest(connection, backlog_items, "finished_at", before, limit)
