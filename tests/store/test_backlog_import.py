"""Items of a file are added many at once, as one by one: what is there already is not added again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, put
from servers.lives import Faulty
from sqlalchemy import event

from exporter.errors import StoreError
from exporter.store import audit, backlog
from exporter.store.backlog import BacklogItem, NewItem
from exporter.store.backlog_import import MOST, Import, add_many
from exporter.store.backlog_rows import encoded
from exporter.store.bridge_tables import backlog_items

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def line(key: str, state: Any = "pending", reason: str = "why", **context: Any) -> NewItem:
    """Return an item as a line of a file makes it."""
    return NewItem("q", key, reason, "import", state, "auto", 100.0, context)


def same_reason(item: NewItem, stored: BacklogItem) -> bool:
    """Say that what has the same reason is the same."""
    return item.reason == stored.reason


def nothing(item: NewItem, stored: BacklogItem) -> bool:
    """Say that nothing is known again."""
    del item, stored
    return False


async def add(store: Any, items: Sequence[NewItem], is_known: Any = nothing, now: float = 100.0) -> list[bool]:
    """Add items as the command does."""
    return await add_many(store, items, Import("q", "cli:ann", now, is_known))


async def test_many_are_added_as_one_by_one(url: str, open_store: Callable[..., Any]) -> None:
    """The rows and the audit differ in nothing but their numbers, which keep the order of the file."""
    many, single = await open_store(url), await open_store(url)
    texts = ["42", "é", "k\0\ud800", "K", "k"]
    lines = [line(text, "done" if place % 2 else "pending", added_at=5.0 + place) for place, text in enumerate(texts)]
    assert await add(many, lines) == [True] * 5
    whole = await backlog.listed(many)
    trail = [await audit.of(many, "item", one.id) for one in whole]
    await put_away(many)
    for one in lines:
        await backlog.add(
            single, "q", one.key, one.reason, actor="cli:ann", now=100.0, origin="import", context=one.context,
            state=one.state,
        )  # fmt: skip
    for stored, entries, other in zip(whole, trail, await backlog.listed(single), strict=True):
        assert without_number(stored) == without_number(other)
        assert entries == [replaced(entry, stored.id) for entry in await audit.of(single, "item", other.id)]


async def put_away(store: Any) -> None:
    """Let there be no items."""
    async with store.writing() as connection:
        await connection.execute(backlog_items.delete())


def without_number(item: BacklogItem) -> dict[str, Any]:
    """Return all of an item but its number."""
    return {name: getattr(item, name) for name in BacklogItem.__dataclass_fields__ if name != "id"}


def replaced(entry: Any, number: int) -> Any:
    """Return an entry about another item."""
    return audit.Entry(entry.at, entry.actor, entry.verb, entry.noun, number, entry.reason, entry.details)


async def test_what_is_there_is_not_added_again(url: str, open_store: Callable[..., Any]) -> None:
    """Unfinished ones whoever made them, done ones for those that are done, and what is known again."""
    store = await open_store(url)
    first = [line("a"), line("b"), line("c", "done"), line("c"), line("a", reason="twice"), line("c", "done")]
    assert await add(store, first) == [True, True, True, True, False, False]
    assert await add(store, first) == [False] * 6
    await enqueue(store, [NewItem("q", "rule", "r", "rule", "pending", "auto", 1.0)])
    assert await add(store, [line("rule"), line("A")]) == [False, True]
    numbers = {item.key: item.id for item in await backlog.listed(store, states=("pending",))}
    for state in ("held", "failed", "running"):
        await put(store, numbers["a"], state=state)
        assert await add(store, [line("a")]) == [False]
    await put(store, numbers["a"], state="done", active_key=None)
    assert await add(store, [line("a"), line("a", "done")], same_reason) == [False, False]
    assert await add(store, [line("a", reason="new"), line("a", reason="new")], same_reason) == [True, False]
    assert await backlog.add(store, "q", "a", "by hand", actor="cli:bob", now=101.0) == (
        max(item.id for item in await backlog.listed(store)), False,
    )  # fmt: skip
    other = NewItem("other", "a", "why", "import", "pending", "auto", 100.0)
    assert await add_many(store, [other], Import("other", "cli:ann", 100.0, nothing)) == [True]


async def test_each_item_has_its_entry_in_the_audit(url: str, open_store: Callable[..., Any]) -> None:
    """Also where one of its key was there, and of as many as go into one transaction."""
    store = await open_store(url)
    await add(store, [line("0", "done")])
    keys = [str(place) for place in range(MOST)]
    assert await add(store, [line(key) for key in keys], now=200.0) == [True] * MOST
    for item in await backlog.listed(store, states=("pending",)):
        if item.key in {"0", "1", keys[-1]}:
            (entry,) = await audit.of(store, "item", item.id)
            assert (entry.at, entry.actor, entry.verb, entry.details["key"]) == (200.0, "cli:ann", "added", item.key)
    assert [item.key for item in await backlog.listed(store, states=("pending",))] == keys


async def test_a_key_may_have_more_items_than_one_look_reads(open_store: Callable[..., Any], url: str) -> None:
    """The last of them is found as well as the first."""
    store = await open_store(url)
    old = NewItem("q", "k", "old", "rule", "cancelled", "auto", 1.0)
    last = NewItem("q", "k", "last", "rule", "cancelled", "auto", 1.0)
    await enqueue(store, [*[old] * 2000, last])
    assert await add(store, [line("k", reason="last"), line("l")], same_reason) == [False, True]


async def test_several_that_add_the_same_add_it_once(url: str, open_store: Callable[..., Any]) -> None:
    """Each in its own order, so that they wait for each other: all of them end, and each key is there once."""
    stores = [await open_store(url) for _ in range(3)]
    lines = [line(str(place)) for place in range(60)]
    found = await asyncio.gather(
        add(stores[0], lines), add(stores[1], lines[::-1]), add(stores[2], lines[30:] + lines[:30])
    )
    assert sum(map(sum, found)) == 60
    items = await backlog.listed(stores[0])
    assert sorted(item.key for item in items) == sorted(one.key for one in lines)
    for item in items[::20]:
        assert len(await audit.of(stores[0], "item", item.id)) == 1


async def test_what_others_add_at_that_moment_is_found_one_by_one(url: str, open_store: Callable[..., Any]) -> None:
    """Between our look and our insert, where an engine lets them: the rest of the batch is added all the same."""
    store, other = await open_store(url), await open_store(url)
    inserts = asyncio.Event()

    def seen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del connection, cursor
        if statement.startswith("INSERT INTO backlog_items"):
            inserts.set()

    event.listen(store.engine.sync_engine, "before_cursor_execute", seen)
    row = encoded(line("b"), 100.0) | {"active_key": "b"}
    async with other.writing() as connection:
        await connection.execute(backlog_items.insert().values(row))
        adding = asyncio.create_task(add(store, [line("a"), line("b"), line("c"), line("a")]))
        if store.dialect == "sqlite":
            await asyncio.sleep(0)  # one writer at a time: it looks when we have ended
        else:
            await asyncio.wait_for(inserts.wait(), 20)
    assert await adding == [True, False, True, False]
    assert sorted(item.key for item in await backlog.listed(store)) == ["a", "b", "c"]


@pytest.mark.parametrize("how", ["before", "during"])
async def test_a_store_that_is_away_is_said_at_once(new_url: Any, open_store: Callable[..., Any], how: str) -> None:
    """Nothing is added then, and nothing is tried one by one."""
    store = Faulty(await open_store(new_url("sqlite")))
    store.plan.append(how)
    with pytest.raises(StoreError, match=how):
        await add(store, [line("a"), line("b")])
    assert (store.done, await backlog.listed(store)) == (0, [])  # type: ignore[arg-type]  # a store with a plan
