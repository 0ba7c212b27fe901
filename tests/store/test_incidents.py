"""Incidents: one row an episode, the newest of a fingerprint found at once, on every engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from servers.watched import NOON
from sqlalchemy import select

from exporter.episodes import Episode
from exporter.errors import StoreError
from exporter.store import backlog, incidents
from exporter.store.backlog import NewItem
from exporter.store.bridge_tables import incidents as table
from exporter.store.incidents import Incident

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

LATE, SILENT = 300.0, 90_000.0


def incident(fingerprint: str = "f", state: Any = "open", at: float = NOON, **changes: Any) -> Incident:
    """Return an incident that is not stored yet."""
    times = {"open": (at, None, None), "late": (None, at - 1, None)}.get(state, (at, at + 5, at + 5))
    labels = {"alertname": "SyncFailed", "user": f"{fingerprint} ✓ \\ \"'{{}}"}
    values: dict[str, Any] = {"annotations": {"summary": "it failed\nagain"}, "receiver": "bridge"} | changes
    return Incident(fingerprint, labels, episode=Episode(state, at - 10, at, at, *times), **values)


async def stored(store: Store, *several: Incident) -> list[int]:
    """Store incidents as the newest of their fingerprints."""
    async with store.writing() as connection:
        ids = await incidents.opened(connection, several)
    return [ids[one.fingerprint] for one in several]


async def heads(store: Store, *fingerprints: str) -> dict[str, incidents.Head]:
    async with store.reading() as connection:
        return await incidents.heads(connection, fingerprints, lock=False)


async def due(store: Store, now: float, limit: int = 1000) -> list[int]:
    async with store.reading() as connection:
        return [one.id for one in await incidents.due(connection, now, LATE, SILENT, limit=limit)]


async def test_what_is_stored_is_read_back(url: str, open_store: Callable[..., Any]) -> None:
    """All of it, in each way of reading."""
    store = await open_store(url)
    one = incident(generator_url="http://p/graph?g0=ü", deliveries=3, rulebook="0123456789abcdef")
    two = incident("g", "resolved", receiver="r" * 400)
    ids = await stored(store, two, one)
    first, second = replace(one, id=ids[1]), replace(two, id=ids[0], receiver="r" * 255)
    assert await incidents.one(store, first.id) == first
    assert await incidents.one(store, 10**9) is None
    newest_first = sorted((first, second), key=lambda each: -each.id)
    assert await incidents.listed(store) == newest_first
    assert await incidents.listed(store, limit=1) == newest_first[:1]
    assert await incidents.listed(store, before=newest_first[0].id) == newest_first[1:]
    assert await incidents.listed(store, states=["open", "late"]) == [first]
    assert await incidents.listed(store, states=[]) == []
    assert await incidents.listed(store, alertname="SyncFailed") == newest_first
    assert await incidents.listed(store, alertname="syncfailed") == []
    async with store.reading() as connection:
        assert await incidents.of_ids(connection, ids) == sorted((first, second), key=lambda each: each.id)
    assert await incidents.counts(store) == {"open": 1, "resolved": 1}
    assert await heads(store, "f", "h") == {"f": incidents.Head(first.id, "f", one.rulebook, one.episode)}


async def test_annotations_that_do_not_fit(url: str, open_store: Callable[..., Any]) -> None:
    """As JSON they may take twice their bytes: the longest are left out, the others are kept whole."""
    store = await open_store(url)
    annotations = {"summary": "short", **{f"text-{number}": '"' * 4096 for number in range(9)}, "long": "ü\n" * 1100}
    (number,) = await stored(store, incident(annotations=annotations))
    found = await incidents.one(store, number)
    assert found is not None
    assert set(annotations) - set(found.annotations) == {"text-0", "text-1", "text-2"}
    assert found.annotations.items() <= annotations.items()


async def test_a_fingerprint_has_one_newest(url: str, open_store: Callable[..., Any]) -> None:
    """A second one is refused until the first is beheaded; one that was passed by already is none."""
    store = await open_store(url)
    (first,) = await stored(store, incident())
    with pytest.raises(StoreError):
        await stored(store, incident("e"), incident())
    assert await heads(store, "e", "f") == {"f": incidents.Head(first, "f", "", incident().episode)}
    async with store.writing() as connection:
        await incidents.beheaded(connection, [first])
        passed_by = await incidents.passed_by(connection, incident(state="resolved"))
        ids = await incidents.opened(connection, [incident(at=NOON + 1)])
    assert (await heads(store, "f"))["f"].id == ids["f"]
    assert len({first, passed_by, ids["f"]}) == 3
    assert [one.id for one in await incidents.listed(store)] == sorted([first, passed_by, ids["f"]], reverse=True)


async def test_changes_and_sightings(url: str, open_store: Callable[..., Any]) -> None:
    """Deliveries add up; a sighting changes nothing but when it was heard of; others stay as they are."""
    store = await open_store(url)
    one, two, three = await stored(store, *(incident(name) for name in "abc"))
    over = Episode("resolved", NOON, NOON, NOON + 9, NOON, NOON + 8, NOON + 9)
    async with store.writing() as connection:
        await incidents.changed(connection, [(one, over, "rules", 2)])
        await incidents.seen(connection, [(two, NOON + 60, 4)])
    found = {each.id: each for each in await incidents.listed(store)}
    assert found[one] == replace(incident("a"), id=one, episode=over, rulebook="rules", deliveries=3)
    seen = replace(incident("b").episode, seen_at=NOON + 60)
    assert found[two] == replace(incident("b"), id=two, episode=seen, deliveries=5)
    assert found[three] == replace(incident("c"), id=three)


async def test_many_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """More than a statement takes are stored, found, changed and beheaded in pieces; each id is its own."""
    store = await open_store(url)
    many = [incident(f"{number:05}") for number in range(2500)]
    ids = await stored(store, *many[::-1])
    assert len(set(ids)) == 2500
    found = await heads(store, *(one.fingerprint for one in many))
    assert [found[one.fingerprint].id for one in many[::-1]] == ids
    async with store.writing() as connection:
        await incidents.seen(connection, [(number, NOON + 1, 1) for number in sorted(ids)])
        await incidents.beheaded(connection, ids)
    async with store.reading() as connection:
        rows = (await connection.execute(select(table.c.seen_at, table.c.deliveries, table.c.head))).all()
    assert {tuple(row) for row in rows} == {(NOON + 1, 2, None)}


async def test_what_time_changes(url: str, open_store: Callable[..., Any]) -> None:
    """Late ones after their time and from the future, open ones after silence; nothing else, however old."""
    store = await open_store(url)
    late, open_, over, tombstone, early = await stored(
        store,
        incident("late", "late"),
        incident("open", "open"),
        incident("over", "resolved"),
        incident("tomb", "silent"),
        incident("early", "late", NOON + 1e6),
    )
    assert await due(store, NOON + 299) == [early]
    assert await due(store, NOON + 300) == [early, late]
    assert await due(store, NOON + 300, limit=1) == [late]
    assert await due(store, NOON + 90_000) == [early, late]
    assert await due(store, NOON + 90_001) == [early, late, open_]
    assert await due(store, NOON + 1e6) == [late, open_]
    assert {over, tombstone}.isdisjoint(await due(store, NOON + 1e9))


async def test_the_purge_keeps_what_is_open(url: str, open_store: Callable[..., Any]) -> None:
    """What closed before a moment goes, the oldest first and no more than asked; its items stay, without it."""
    store = await open_store(url)
    ids = await stored(
        store,
        *(incident(f"over-{age}", "resolved", NOON - age) for age in (100, 200, 300)),
        incident("open", "open", NOON - 1e6),
        incident("late", "late", NOON - 1e6),
    )
    item = NewItem("sync", "ada", "it failed", "rule", "pending", "auto", NOON, incident_id=ids[2], rule="a", step=0)
    async with store.writing() as connection:
        assert await backlog.enqueued(connection, [item], NOON) == 1
    assert await incidents.purge(store, NOON - 150, 1) == 1
    assert [one.id for one in await incidents.listed(store)] == sorted({*ids} - {ids[2]}, reverse=True)
    assert await incidents.purge(store, NOON - 150, 10) == 1
    assert await incidents.purge(store, NOON - 150, 10) == 0
    assert {one.id for one in await incidents.listed(store)} == {ids[0], *ids[3:]}
    (kept,) = await backlog.listed(store)
    assert (kept.key, kept.incident_id, kept.rule) == ("ada", None, "a")
    assert await incidents.purge(store, NOON + 1e9, 10) == 1
    assert await incidents.counts(store) == {"open": 1, "late": 1}
    (fresh,) = await stored(store, incident("over-300", "resolved"))
    assert fresh > max(ids), "what names a purged incident names nothing, not another one"


async def test_heads_are_locked_in_one_order(url: str, open_store: Callable[..., Any]) -> None:
    """Replicas that take the same incidents in any order wait for each other, and none of them fails."""
    stores = [await open_store(url) for _ in range(2)]
    names = [f"{number:03}" for number in range(50)]
    ids = dict(zip(names, await stored(stores[0], *(incident(name) for name in names)), strict=True))

    async def see(at: int) -> None:
        some = names[at % 7 :: 2][:: -1 if at % 2 else 1]
        async with stores[at % 2].writing() as connection:
            found = await incidents.heads(connection, some)
            times = sorted((found[name].id, found[name].episode.seen_at + 1, 1) for name in some)
            await incidents.seen(connection, times)

    await asyncio.gather(*(see(at) for at in range(16)))
    took: dict[str, int] = dict.fromkeys(names, 0)
    for at in range(16):
        for name in names[at % 7 :: 2]:
            took[name] += 1
    found = {one.id: (one.episode.seen_at, one.deliveries) for one in await incidents.listed(stores[0])}
    assert found == {ids[name]: (NOON + times, 1 + times) for name, times in took.items()}
