"""What a person does to items: each change compares the state first, and is told in the audit in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, or_, select, update

from exporter.episodes import OVER
from exporter.store import audit
from exporter.store.audit import Entry
from exporter.store.bridge_tables import backlog_items, incidents
from exporter.store.bulk import ROWS, pieces

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_ITEMS = backlog_items.c
_RELEASED = {"hold": None, "explanation": None, "finished_at": None}


async def approve(store: Store, ids: Collection[int], *, actor: str, now: float) -> list[int]:
    """Release items that are held because of the mode; return which: the others were not held for that."""
    held = and_(_ITEMS.state == "held", _ITEMS.hold == "mode")
    values = _RELEASED | {"state": "pending", "approved_by": actor, "due_at": now}
    return await _by_number(store, ids, held, values, Entry(now, actor, "approved", "item", None, ""))


async def mark_processed(store: Store, queue: str | None, key: str | int, *, actor: str, now: float) -> list[int]:
    """Let what a person did count as done; return which items.

    `key` is that of the items in the queue, or the number of one item (of that queue, where one is given). One that
    runs is left alone: whoever runs it says how it ended. What is done or cancelled stays so.
    """
    which = [_ITEMS.id == key if isinstance(key, int) else _ITEMS.key == key]
    if queue is not None:
        which.append(_ITEMS.queue == queue)
    which.append(_ITEMS.state.in_(("pending", "held", "failed", "dead")))
    explanation = f"marked as processed by {actor}"
    values = {"state": "done", "hold": None, "explanation": explanation, "finished_at": now, "active_key": None}
    return await _changed(store, and_(*which), values, Entry(now, actor, "marked-processed", "item", None, ""))


async def retry(store: Store, ids: Collection[int], *, actor: str, now: float) -> list[int]:
    """Let items be tried anew from the first attempt; return which.

    Dead and failed ones are, and those that a person cancelled. What was cancelled for a reason of ours is final: the
    mode observe, or an alert that has resolved.
    """
    cancelled = and_(_ITEMS.state == "cancelled", _ITEMS.hold.is_(None))
    # For an alert that has resolved the gate would let nothing run: that is said now, and not when it is due.
    over = select(incidents.c.id).where(incidents.c.id == _ITEMS.incident_id, incidents.c.state.in_(OVER)).exists()
    values = _RELEASED | {"state": "pending", "attempts": 0, "approved_by": actor, "due_at": now}
    entry = Entry(now, actor, "retried", "item", None, "")
    return await _by_number(
        store,
        ids,
        and_(or_(_ITEMS.state.in_(("dead", "failed")), cancelled), or_(_ITEMS.origin != "rule", ~over)),
        values,
        entry,
    )


async def clear(
    store: Store, queue: str | None, states: Sequence[str] = ("pending", "held", "failed"), *, actor: str, now: float
) -> list[int]:
    """Cancel what has not begun, of one queue or of all (None); return which. What is running or over stays."""
    wanted = tuple(state for state in states if state in ("pending", "held", "failed"))
    which = _ITEMS.state.in_(wanted) if queue is None else and_(_ITEMS.queue == queue, _ITEMS.state.in_(wanted))
    explanation = f"cleared by {actor}"
    values = {"state": "cancelled", "hold": None, "explanation": explanation, "finished_at": now, "active_key": None}
    return await _changed(store, which, values, Entry(now, actor, "cleared", "item", None, ""))


async def _by_number(
    store: Store, ids: Collection[int], which: ColumnElement[bool], values: Mapping[str, Any], entry: Entry
) -> list[int]:
    changed: list[int] = []
    for piece in pieces(sorted(set(ids)), ROWS):
        changed += await _changed(store, and_(_ITEMS.id.in_(piece), which), values, entry)
    return changed


async def _changed(store: Store, which: ColumnElement[bool], values: Mapping[str, Any], entry: Entry) -> list[int]:
    """Change the items for which a condition holds, so many in one transaction; `values` must end it."""
    changed: list[int] = []
    while True:
        async with store.writing() as connection:
            found = await _change(connection, which, values, entry)
        changed += found
        if len(found) < ROWS:
            return changed


async def _change(
    connection: AsyncConnection, which: ColumnElement[bool], values: Mapping[str, Any], entry: Entry
) -> list[int]:
    query = select(_ITEMS.id, _ITEMS.queue, _ITEMS.key, _ITEMS.state).where(which).order_by(_ITEMS.id).limit(ROWS)
    rows = (await connection.execute(query.with_for_update())).all()
    ids = [row.id for row in rows]
    if ids:
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(ids)).values(dict(values)))
        told = ({"queue": row.queue, "key": row.key, "was": row.state} for row in rows)
        entries = [
            Entry(entry.at, entry.actor, entry.verb, entry.noun, number, entry.reason, details)
            for number, details in zip(ids, told, strict=True)
        ]
        await audit.added(connection, entries)
    return ids
