"""Many items of a file: added in one transaction, but for those that are there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from exporter.errors import StoreError
from exporter.store import audit, backlog_arrays
from exporter.store.audit import Entry
from exporter.store.backlog_rows import COLUMNS, UNFINISHED, decoded, encoded
from exporter.store.bridge_tables import backlog_items
from exporter.store.bulk import ROWS, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.backlog_rows import BacklogItem, NewItem
    from exporter.store.store import Store

MOST: Final = 500
"""Items in one transaction: more are hardly faster, and hold what they lock for longer."""

_TRIES: Final = 5
"""How often an item is added anew where others add or finish the same one at that moment."""
_INSERT: Final = insert(backlog_items)
_ITEMS: Final = backlog_items.c


@dataclass(frozen=True, slots=True)
class Import:
    """Into which queue items go, who adds them and when (seconds since 1970).

    `is_known` says of an item and of one of its key that is stored whether they are the same, whatever has become of
    the stored one since.
    """

    queue: str
    actor: str
    now: float
    is_known: Callable[[NewItem, BacklogItem], bool]

    def row(self, item: NewItem) -> dict[str, Any]:
        """Return the row of an item, as `backlog.add` makes it."""
        row = encoded(item, self.now) | {"approved_by": self.actor}
        if item.state in UNFINISHED:
            row["active_key"] = row["key"]
        return row

    def same(self, item: NewItem, stored: BacklogItem) -> bool:
        """Return whether an item need not be added beside one of its key."""
        same = UNFINISHED if item.state in UNFINISHED else (item.state,)
        return stored.state in same or self.is_known(item, stored)


async def add_many(store: Store, items: Sequence[NewItem], of: Import) -> list[bool]:
    """Add items, best MOST at once, each as `backlog.add` does it; return of each whether it is new.

    An item is there while an unfinished one of its key is, or for one that is added as done a done one; and where it is
    known. What comes twice is added once. StoreError leaves all as it was, or, where others were adding the same at
    that moment, has added what comes before the first that cannot be.
    """
    try:
        return await _added(store, items, of)
    except StoreError as error:
        # Others add the same ones at that moment: one is there by now, or they and we wait for each other.
        if not isinstance(error.__cause__, DBAPIError) or error.__cause__.connection_invalidated:
            raise
    return [await _one(store, item, of) for item in items]


async def _one(store: Store, item: NewItem, of: Import) -> bool:
    for _ in range(_TRIES - 1):
        try:
            return (await _added(store, [item], of))[0]
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
    return (await _added(store, [item], of))[0]


async def _added(store: Store, items: Sequence[NewItem], of: Import) -> list[bool]:
    rows = [of.row(item) for item in items]
    new: list[dict[str, Any]] = []
    made: dict[str, list[dict[str, Any]]] = {}
    async with store.writing() as connection:
        known = await _known(connection, items, rows, of)
        for place, (item, row) in enumerate(zip(items, rows, strict=True)):
            earlier = made.setdefault(row["key"], [])
            if known[place] or any(of.same(item, _stored(one)) for one in earlier):
                known[place] = True
                continue
            earlier.append(row)
            new.append(row)
        if new:
            await _insert(connection, new)
    return [not one for one in known]


async def _known(
    connection: AsyncConnection, items: Sequence[NewItem], rows: Sequence[Mapping[str, Any]], of: Import
) -> list[bool]:
    """Return of each item whether it is stored already."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row["key"], []).append(place)
    known = [False] * len(items)
    async for stored in _of_keys(connection, of.queue, tuple(places)):
        for place in places.get(stored.key, ()):
            known[place] = known[place] or of.same(items[place], stored)
    return known


async def _of_keys(connection: AsyncConnection, queue: str, keys: Collection[str]) -> AsyncIterator[BacklogItem]:
    """Yield the items of some keys, so many at a time: of one key there may be any number."""
    query = select(*COLUMNS).where(_ITEMS.queue == queue, _ITEMS.key.in_(keys)).order_by(_ITEMS.id).limit(ROWS)
    after = 0
    while page := [decoded(row) for row in await connection.execute(query.where(_ITEMS.id > after))]:
        for one in page:
            yield one
        if len(page) < ROWS:
            return
        after = page[-1].id


def _stored(row: Mapping[str, Any]) -> BacklogItem:
    """Return the item that a row will be."""
    whole = {"id": 0, "lease_owner": None, "lease_until": None, **row}
    return decoded([whole[column.name] for column in COLUMNS])


async def _insert(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store rows, and tell in the audit who added them."""
    if connection.dialect.name == "postgresql":
        await backlog_arrays.inserted(connection, backlog_items, rows)
    else:
        await written(connection, _INSERT, rows)
    numbers = await _numbers(connection, rows)
    await audit.added(connection, [_entry(row, numbers[row["key"], row["state"]]) for row in rows])


def _entry(row: Mapping[str, Any], number: int) -> Entry:
    details = {"queue": row["queue"], "key": row["key"]}
    return Entry(row["created_at"], row["approved_by"], "added", "item", number, row["reason"], details)


async def _numbers(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> Mapping[tuple[str, str], int]:
    """Return the numbers that rows were given, by key and state: of each there is one row at most, the newest."""
    one = rows[0]
    ours = _ITEMS.created_at == one["created_at"], _ITEMS.approved_by == one["approved_by"]
    query = select(_ITEMS.key, _ITEMS.state, func.max(_ITEMS.id)).where(
        _ITEMS.queue == one["queue"], _ITEMS.key.in_([row["key"] for row in rows]), *ours
    )
    found = await connection.execute(query.group_by(_ITEMS.key, _ITEMS.state))
    return {(row[0], row[1]): int(row[2]) for row in found}
