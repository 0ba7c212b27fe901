"""Stored totals: they only grow, by exactly what is added, whoever adds and whatever fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from servers.lives import Faulty

from exporter.errors import StoreError
from exporter.store import counters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.store.store import Store

FAMILY, OTHER = "watchbridge_alerts_total", "watchbridge_actions_total"


async def add(store: Store, increments: Mapping[tuple[str, tuple[str, ...]], float], scope: str = "me") -> None:
    async with store.writing() as connection:
        await counters.added(connection, scope, increments)


async def test_totals(url: str, open_store: Callable[..., Any]) -> None:
    """The first increment makes the row, later ones add; a time of the last of something only ever rises."""
    store = await open_store(url)
    await add(store, {})
    assert await counters.totals(store, "me", [FAMILY]) == {FAMILY: {}}
    await add(store, {(FAMILY, ("late",)): 1, (OTHER, ("ü", "", 'a","b')): 2.5, (OTHER, ()): 1})
    await add(store, {(FAMILY, ("late",)): 2**40, (FAMILY, ("Late",)): 1})
    await add(store, {(FAMILY, ("late",)): 5}, "you")
    assert await counters.totals(store, "me", [FAMILY, OTHER, "nothing"]) == {
        FAMILY: {("late",): 2**40 + 1, ("Late",): 1},
        OTHER: {("ü", "", 'a","b'): 2.5, (): 1},
        "nothing": {},
    }
    assert await counters.totals(store, "you", [FAMILY]) == {FAMILY: {("late",): 5}}
    assert await counters.totals(store, "me", []) == {}
    for value, expected in ((5.0, 5.0), (7.5, 7.5), (6.0, 6.0)):
        async with store.writing() as connection:
            await counters.put(connection, "they", {(FAMILY, ()): value})
        assert await counters.totals(store, "they", [FAMILY]) == {FAMILY: {(): expected}}


async def test_many_writers(url: str, open_store: Callable[..., Any]) -> None:
    """Those who add to the same totals at once, in any order, neither deadlock nor lose an increment."""
    stores = [await open_store(url) for _ in range(2)]
    keys = [(FAMILY, (f"{number:02}",)) for number in range(20)]

    async def one(at: int) -> None:
        await add(stores[at % 2], dict.fromkeys(keys if at % 2 else keys[::-1], at))

    await asyncio.gather(*(one(at) for at in range(20)))
    totals = await counters.totals(stores[0], "me", [FAMILY])
    assert totals[FAMILY] == {labels: sum(range(20)) for _, labels in keys}


async def test_no_total_falls_where_commits_fail(url: str, open_store: Callable[..., Any]) -> None:
    """Before, during and after a commit that is not told: what is shown is what was committed, and only grows."""
    store = Faulty(await open_store(url))
    draw = random.Random(5)  # noqa: S311 - no secret
    committed, shown = Counter[Any](), Counter[Any]()
    for _ in range(25):
        increments = Counter({(FAMILY, (draw.choice("abc"),)): draw.randrange(5) for _ in range(2)})
        store.plan.append(draw.choice(["well", "before", "during", "lost"]))
        done = store.done
        with_error = False
        try:
            await add(store, increments)  # type: ignore[arg-type]  # a store with a plan
        except StoreError:
            with_error = True
        assert with_error or store.done == done + 1
        if store.done > done:
            committed.update({labels: value for (_, labels), value in increments.items()})
        found = (await counters.totals(store, "me", [FAMILY]))[FAMILY]  # type: ignore[arg-type]  # a store with a plan
        assert all(found[labels] >= value for labels, value in shown.items())
        assert found == committed
        shown = Counter(found)
    assert store.done < 25


async def test_replicas_that_are_gone_are_forgotten(url: str, open_store: Callable[..., Any]) -> None:
    """Those that live stay, and so does the one without a name."""
    store = await open_store(url)
    for scope in ("", "a", "b", "c"):
        await add(store, {(FAMILY, ()): 1, (OTHER, ()): 1}, scope)
    assert await counters.forget(store, ["a", "c"]) == 2
    assert await counters.forget(store, ["a", "c"]) == 0
    for scope, expected in (("", {(): 1}), ("a", {(): 1}), ("b", {}), ("c", {(): 1})):
        assert await counters.totals(store, scope, [FAMILY]) == {FAMILY: expected}
    assert await counters.forget(store, []) == 4
    assert await counters.totals(store, "", [FAMILY]) == {FAMILY: {(): 1}}


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
async def test_whose_totals_they_are(url: str, open_store: Callable[..., Any]) -> None:
    """A file is one process's, whatever that is called: a new name loses no total. A shared store has several."""
    store = await open_store(url)
    assert counters.scope_of(store, "me") == ("" if store.dialect == "sqlite" else "me")
