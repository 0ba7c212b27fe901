"""Stretches are opened, closed once, found while they are open, and purged when they ended long ago."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from exporter.store import service_states
from exporter.store.service_states import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(stretches: list[Stretch]) -> list[Stretch]:
    """Return the stretches without the numbers of their rows."""
    return [stretch._replace(id=0) for stretch in stretches]


async def test_life_of_stretches(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """What is opened is open, its number is told, it ends once, and the next one takes its place."""
    store = await open_store(url)
    one, two = await some_services(store, 2)
    whole = Stretch(one, "unknown", "nobody looked", 1.5, "r1", 2.5)
    up, down = Stretch(one, "up", "200", 2.5, "r1"), Stretch(two, "down", "é\0" + "x" * 600, 3.5, "r1")
    async with store.writing() as connection:
        assert await service_states.opened(connection, []) == {}
        await service_states.closed(connection, {})
        numbers = await service_states.opened(connection, [whole, up, down])
    assert numbers.keys() == {one, two}
    cut = down._replace(reason="é\ufffd" + "x" * 498)
    found = await service_states.open_ones(store)
    assert plain(found) == [up, cut]
    assert {stretch.service_id: stretch.id for stretch in found} == numbers
    assert plain(await service_states.open_ones(store, [two])) == [cut]
    assert await service_states.open_ones(store, []) == []
    async with store.writing() as connection:
        await service_states.closed(connection, {numbers[one]: 9.0})
        await service_states.closed(connection, {numbers[one]: 11.0, numbers[two]: 11.0})
        again = await service_states.opened(connection, [Stretch(one, "degraded", "slow", 9.0, "r2")])
    assert plain(await service_states.open_ones(store)) == [Stretch(one, "degraded", "slow", 9.0, "r2")]
    assert again[one] not in numbers.values()
    assert plain(await service_states.since(store, None, 0.0)) == [
        whole,
        up._replace(ended_at=9.0),
        Stretch(one, "degraded", "slow", 9.0, "r2"),
        cut._replace(ended_at=11.0),
    ]


async def test_no_end_before_the_beginning(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """A clock that went back ends a stretch where it began."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    async with store.writing() as connection:
        numbers = await service_states.opened(connection, [Stretch(one, "up", "", 100.0, "r")])
        await service_states.closed(connection, {numbers[one]: 40.0})
    assert [stretch.ended_at for stretch in await service_states.since(store, [one], 0.0)] == [100.0]


async def test_since_gives_what_overlaps(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """A stretch that ended at the moment or before is left out, one that lasted past it or lasts still is in."""
    store = await open_store(url)
    one, two, three = await some_services(store, 3)
    stretches = [
        Stretch(two, "up", "", 0.0, "r", 10.0),
        Stretch(two, "down", "", 10.0, "r", 20.0),
        Stretch(one, "up", "", 12.0, "r"),
        Stretch(one, "down", "", 5.0, "r", 12.0),
        Stretch(three, "up", "", 0.0, "r", 9.0),
    ]
    async with store.writing() as connection:
        await service_states.opened(connection, stretches)
    found = plain(await service_states.since(store, [one, two, three], 10.0))
    assert found == [stretches[3], stretches[2], stretches[1]]
    assert plain(await service_states.since(store, [two], 0.0)) == stretches[:2]
    assert await service_states.since(store, [], 0.0) == []


async def test_of_two_open_ones_the_later_counts(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """When the answer to a commit was lost and it was made again, the later row is told, and both are found."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    numbers = []
    for _ in range(2):
        async with store.writing() as connection:
            numbers.append((await service_states.opened(connection, [Stretch(one, "up", "", 1.0, "r")]))[one])
    assert numbers[0] < numbers[1]
    assert [stretch.id for stretch in await service_states.open_ones(store)] == numbers


async def test_purge_leaves_what_is_open(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """The stretches that ended first go, at most so many at a time; an open one stays however long it lasts."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    async with store.writing() as connection:
        await service_states.opened(connection, [Stretch(one, "up", "", float(at), "r", at + 1.0) for at in range(10)])
        await service_states.opened(connection, [Stretch(one, "up", "", 0.0, "r")])
    assert [await service_states.purge(store, 9.0, 5) for _ in range(3)] == [5, 3, 0]
    left = await service_states.since(store, None, 0.0)
    assert [(stretch.began_at, stretch.ended_at) for stretch in left] == [(0.0, None), (8.0, 9.0), (9.0, 10.0)]


async def test_many_at_once(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """Replicas that open and close thousands at once, in any order, neither deadlock nor mix them up."""
    stores = [await open_store(url) for _ in range(2)]
    services = await some_services(stores[0], 2400)

    async def work(store: Any, ours: list[int]) -> None:
        for at in (1.0, 2.0):
            async with store.writing(seconds=30) as connection:
                numbers = await service_states.opened(connection, [Stretch(one, "up", "", at, "r") for one in ours])
                assert numbers.keys() == set(ours)
                if at == 1.0:
                    await service_states.closed(connection, dict.fromkeys(reversed(numbers.values()), 2.0))

    await asyncio.gather(work(stores[0], services[::2]), work(stores[1], services[1::2]))
    found = await service_states.open_ones(stores[0], services)
    assert sorted(stretch.service_id for stretch in found) == services
    assert {stretch.began_at for stretch in found} == {2.0}
