"""The audit: entries are added with what they tell of, read in their order, and purged when they are old."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from servers.watched import NOON
from sqlalchemy import func, select

from exporter.store import audit
from exporter.store.audit import DETAILS_BYTES, Entry
from exporter.store.bridge_tables import audit as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

ENTRY = Entry(
    NOON, "cli:ada", "approved", "item", 7, "she looked ✓", {"queue": "sync", "key": "ü \"'\\ \x00", "n": [1]}
)


async def add(store: Store, *entries: Entry) -> None:
    async with store.writing() as connection:
        await audit.added(connection, entries)


async def count(store: Store) -> int:
    async with store.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_what_is_added_is_read_back(url: str, open_store: Callable[..., Any]) -> None:
    """Of the noun that was asked for only, the oldest first, no more than asked."""
    store = await open_store(url)
    later = replace(ENTRY, at=NOON - 5, verb="cancelled", details={})
    other, nobodys = replace(ENTRY, noun="incident"), replace(ENTRY, noun_id=None)
    await add(store, ENTRY, other, nobodys)
    await add(store, later)
    await add(store)
    assert await audit.of(store, "item", 7) == [ENTRY, later]
    assert await audit.of(store, "item", 7, limit=1) == [ENTRY]
    assert await audit.of(store, "incident", 7) == [other]
    assert await audit.of(store, "item", 8) == []
    assert await count(store) == 4


async def test_what_is_too_long_is_cut(url: str, open_store: Callable[..., Any]) -> None:
    """Sentences are cut and made storable; details that do not fit are left out whole, for cut JSON is none."""
    store = await open_store(url)
    fits = {"text": "x" * (DETAILS_BYTES - 20)}
    await add(
        store,
        replace(ENTRY, actor="a" * 300, reason="r" * 600, details=fits),
        replace(ENTRY, reason="a\x00b\ud800c", details={"text": "ü" * DETAILS_BYTES}),
    )
    first, second = await audit.of(store, "item", 7)
    assert (len(first.actor), len(first.reason), first.details) == (255, 500, fits)
    assert (second.reason, second.details) == ("a\ufffdb\ufffdc", {})


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_entries_are_of_the_transaction_of_what_they_tell(url: str, open_store: Callable[..., Any]) -> None:
    """Where that is undone nothing was said either."""
    store = await open_store(url)

    async def fail() -> None:
        async with store.writing() as connection:
            await audit.added(connection, [ENTRY])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(store) == 0


async def test_the_purge_takes_the_oldest(url: str, open_store: Callable[..., Any]) -> None:
    """From before a moment, and no more than asked."""
    store = await open_store(url)
    await add(store, *(replace(ENTRY, at=NOON + at, noun_id=at) for at in range(2100)))
    assert await audit.purge(store, NOON + 5, 2) == 2
    assert await audit.of(store, "item", 1) == []
    assert len(await audit.of(store, "item", 2)) == 1
    assert await audit.purge(store, NOON + 5, 100) == 3
    assert await audit.purge(store, NOON + 5, 100) == 0
    assert await count(store) == 2095
