"""Items and incidents for tests of the backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, update

from exporter.store import backlog
from exporter.store.backlog import NewItem
from exporter.store.backlog_claims import Begin
from exporter.store.bridge_tables import backlog_items, incidents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store

BEGIN = Begin("command", "/bin/true")


def new(key: str = "k", **changes: Any) -> NewItem:
    """Return an item that a rule leads to, pending and due at 100."""
    values: dict[str, Any] = {
        "queue": "q",
        "key": key,
        "reason": "why",
        "origin": "rule",
        "state": "pending",
        "mode": "auto",
        "due_at": 100.0,
    }
    return NewItem(**values | changes)


async def enqueue(store: Store, items: Sequence[NewItem], now: float = 100.0) -> int:
    """Store items in a transaction of their own; return how many are new."""
    async with store.writing(seconds=30) as connection:
        return await backlog.enqueued(connection, items, now)


async def incident(store: Store, name: str, state: str = "open") -> int:
    """Store an incident and return its number."""
    row = {
        "head": name,
        "fingerprint": name,
        "alertname": name,
        "state": state,
        "labels": "{}",
        "annotations": "{}",
        "receiver": "",
        "generator_url": "",
        "starts_at": 1.0,
        "first_at": 1.0,
        "opened_at": 1.0,
        "seen_at": 1.0,
    }
    async with store.writing() as connection:
        made = await connection.execute(insert(incidents).values(row))
        primary: Any = made.inserted_primary_key
        return int(primary[0])


async def resolve(store: Store, number: int) -> None:
    """Let an incident be over, without telling the backlog."""
    async with store.writing() as connection:
        await connection.execute(update(incidents).where(incidents.c.id == number).values(state="resolved"))


async def put(store: Store, number: int, **values: Any) -> None:
    """Change the row of an item as nothing of ours would."""
    async with store.writing() as connection:
        await connection.execute(update(backlog_items).where(backlog_items.c.id == number).values(values))


async def states(store: Store) -> dict[str, str]:
    """Return the state of each item by its key."""
    return {item.key: item.state for item in await backlog.listed(store, limit=100_000)}


async def the(store: Store, number: int) -> BacklogItem:
    """Return an item that is there."""
    found = await backlog.one(store, number)
    assert found is not None
    return found
