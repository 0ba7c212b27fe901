"""Leases of services: one restart of a service at a time, with numbers that only grow, decided by one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from exporter.store import service_leases
from exporter.store.backlog_leases import Holder
from exporter.store.restart_tables import service_leases as table
from exporter.store.service_leases import DecisionsBusyError, Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

ANN, BOB = Holder("ann#1", "ann", 30.0), Holder("bob#1", "bob", 30.0)


async def take(store: Store, holder: Holder, items: dict[str, tuple[int, int]]) -> float:
    """Hold services; return the time at which that was done."""
    async with service_leases.deciding(store) as (connection, now):
        await service_leases.taken(connection, holder, items, now)
    return now


async def known(store: Store) -> dict[str, Lease]:
    async with store.reading() as connection:
        return await service_leases.known(connection)


async def row(store: Store, service: str) -> Any:
    async with store.reading() as connection:
        return (await connection.execute(select(table).where(table.c.service == service))).one()


async def test_a_service_is_held_for_an_item(url: str, open_store: Callable[..., Any]) -> None:
    """By a number that stays when it is free again; a service that was never restarted has no lease."""
    store = await open_store(url)
    assert await known(store) == {}
    now = await take(store, ANN, {"web": (7, 1), "db": (8, 3)})
    assert await known(store) == {"web": Lease(1, 7), "db": Lease(3, 8)}
    found = await row(store, "web")
    assert (found.owner, found.lease_until) == ("ann#1", now + 30.0)
    before = await row(store, "db")
    async with store.writing() as connection:
        await service_leases.renewed(connection, store, BOB, [7])
    found = await row(store, "web")
    assert (found.owner, found.fence) == ("bob#1", 1), "who took the item over has its service too"
    assert found.lease_until >= now + 30.0
    assert await row(store, "db") == before
    async with store.writing() as connection:
        await service_leases.freed(connection, [7, 99])
        await service_leases.freed(connection, [])
    assert await known(store) == {"web": Lease(1, None), "db": Lease(3, 8)}
    assert (await row(store, "web")).owner is None
    await take(store, BOB, {"web": (9, 2)})
    await take(store, BOB, {})
    assert await known(store) == {"web": Lease(2, 9), "db": Lease(3, 8)}


async def test_many_items_at_once(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """More than one statement takes."""
    store = await open_store(new_url("sqlite"))
    await take(store, ANN, {f"s{number}": (number, 1) for number in range(2500)})
    async with store.writing() as connection:
        await service_leases.renewed(connection, store, BOB, range(2500))
        await service_leases.freed(connection, range(1, 2500))
    held = {service: lease for service, lease in (await known(store)).items() if lease.item is not None}
    assert held == {"s0": Lease(1, 0)}


async def test_one_decides_at_a_time(url: str, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the first time, when nobody has made the row that is locked: what one decided the next one sees."""
    monkeypatch.setattr(service_leases, "TRIES", 10_000)
    stores = [await open_store(url), await open_store(url, upgrade=False)]

    async def decide(number: int) -> None:
        store = stores[number % 2]
        async with service_leases.deciding(store) as (connection, now):
            before = (await service_leases.known(connection)).get("web", Lease(0, None))
            await asyncio.sleep(0)
            taken = {"web": (number, before.fence + 1)}
            await service_leases.taken(connection, ANN, taken, now)

    await asyncio.gather(*(decide(number) for number in range(8)))
    assert (await known(stores[0]))["web"].fence == 8
    assert "" not in await known(stores[0])


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
async def test_who_stops_while_it_decides_stops_nobody_else(
    engine: str, new_url: Callable[[str], str], open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are told so in a moment, and hold nothing while they wait; they decide when it has ended."""
    monkeypatch.setattr(service_leases, "TRIES", 2)
    store = await open_store(new_url(engine))
    await take(store, ANN, {"web": (7, 1)})
    async with service_leases.deciding(store) as (stopped, now):
        await service_leases.taken(stopped, ANN, {"web": (8, 2)}, now)
        with pytest.raises(DecisionsBusyError):
            await take(store, BOB, {"db": (9, 1)})
        async with store.writing() as connection:
            await service_leases.renewed(connection, store, BOB, [99])
    assert await known(store) == {"web": Lease(2, 8)}
    await take(store, BOB, {"db": (9, 1)})
    assert await known(store) == {"web": Lease(2, 8), "db": Lease(1, 9)}
