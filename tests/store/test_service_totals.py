"""Counters only grow, by exactly what is added, whoever adds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from exporter.errors import StoreError
from exporter.model import STATES
from exporter.store import service_totals
from exporter.store.service_totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable

ZEROS = dict.fromkeys(STATES, 0.0)


async def test_sums(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """The first increment makes the row, later ones add to it, a state left out gains nothing."""
    store = await open_store(url)
    one, two, three = await some_services(store, 3)
    async with store.writing() as connection:
        await service_totals.added(connection, {two: Totals(1, 2, {"up": 0.5, "unknown": 8.0}), one: Totals(0, 0, {})})
        await service_totals.added(connection, {})
    async with store.writing() as connection:
        await service_totals.added(connection, {two: Totals(2**40, 1, {"up": 0.25, "down": 1e9})})
    expected = Totals(2**40 + 1, 3, ZEROS | {"up": 0.75, "down": 1e9, "unknown": 8.0})
    assert await service_totals.known(store) == {one: Totals(0, 0, ZEROS), two: expected}
    assert await service_totals.known(store, [two, three]) == {two: expected}
    assert await service_totals.known(store, []) == {}


async def test_many_writers(url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]) -> None:
    """Replicas that add to the same services at once, in any order, neither deadlock nor lose an increment."""
    stores = [await open_store(url) for _ in range(2)]
    services = await some_services(stores[0], 20)

    async def add(at: int) -> None:
        order = services if at % 2 else services[::-1]
        async with stores[at % 2].writing() as connection:
            await service_totals.added(connection, {service: Totals(1, at, {"up": 0.5}) for service in order})

    await asyncio.gather(*(add(at) for at in range(20)))
    expected = Totals(20, sum(range(20)), ZEROS | {"up": 10.0})
    assert await service_totals.known(stores[0]) == dict.fromkeys(services, expected)


async def test_services_that_are_gone(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """Counters of a service that is not there are refused, together with all else of their transaction."""
    store = await open_store(url)
    (one,) = await some_services(store, 1)
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        async with store.writing() as connection:
            await service_totals.added(connection, {one: Totals(1, 0, {}), one + 1: Totals(1, 0, {})})
    assert await service_totals.known(store) == {}
