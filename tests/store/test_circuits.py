"""Circuits in the store: kept as they are, closed by a person, and moved with the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import select

from exporter.circuit import CLOSED, Circuit, Key, Limits, step
from exporter.store import circuits, service_leases
from exporter.store.bridge_tables import audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

NOON: Final = 1_777_636_800.0
WEB, FRONT = Key("service", "web"), Key("group", "front")
OPEN: Final = Circuit(3, 1, NOON, NOON + 300.5)
TRYING: Final = Circuit(5, 2, NOON - 400, NOON - 100.25, 2**40)


async def put(store: Store, changed: dict[Key, Circuit]) -> None:
    async with service_leases.deciding(store) as (connection, _):
        await circuits.put(connection, changed)


async def known(store: Store) -> dict[Key, Circuit]:
    return (await circuits.listed(store))[0]


async def test_circuits_are_kept_as_they_are(url: str, open_store: Callable[..., Any]) -> None:
    """By noun and name, new and changed ones in one go; one that was never stepped is closed and has no row."""
    store = await open_store(url)
    assert await known(store) == {}
    await put(store, {})
    await put(store, {WEB: OPEN, FRONT: Circuit(1)})
    assert await known(store) == {WEB: OPEN, FRONT: Circuit(1)}
    await put(store, {FRONT: TRYING, Key("group", "web"): CLOSED})
    assert await known(store) == {WEB: OPEN, FRONT: TRYING, Key("group", "web"): CLOSED}
    await put(store, {WEB: CLOSED})
    assert (await known(store))[WEB] == CLOSED
    assert await circuits.opened_total(store) == 2
    names = ["Web", "wéb", "x" * 128]
    await put(store, {Key("service", name): Circuit(place) for place, name in enumerate(names)})
    assert [(await known(store))[Key("service", name)].failures for name in names] == [0, 1, 2]
    assert (await known(store))[WEB] == CLOSED, "names differ in every letter"
    async with service_leases.deciding(store) as (_, before):
        pass
    assert before <= (await circuits.listed(store))[1], "the clock is that which decides"


async def test_a_person_closes_a_circuit(url: str, open_store: Callable[..., Any]) -> None:
    """Whatever state it is in; how often it opened stays, and the audit says who did it. What is closed stays as is."""
    store = await open_store(url)
    await put(store, {WEB: OPEN, FRONT: TRYING, Key("service", "db"): Circuit(2), Key("service", "ok"): CLOSED})
    assert await circuits.closed(store, WEB, "cli:ann", NOON)
    assert await circuits.closed(store, FRONT, "cli:ann", NOON)
    assert await circuits.closed(store, Key("service", "db"), "cli:ann", NOON)
    for key in (WEB, Key("service", "ok"), Key("service", "never"), Key("group", "web")):
        assert not await circuits.closed(store, key, "cli:bob", NOON)
    found = await known(store)
    assert (found[WEB], found[FRONT], found[Key("service", "db")]) == (Circuit(opened=1), Circuit(opened=2), CLOSED)
    async with store.reading() as connection:
        entries = (await connection.execute(select(audit).order_by(audit.c.id))).all()
    assert [(one.actor, one.verb, one.noun, one.reason) for one in entries] == [
        ("cli:ann", "reset", "circuit", f"the circuit of the {which} was closed by hand")
        for which in ("service web", "group front", "service db")
    ]


@pytest.mark.parametrize("seconds", [86_400.0, -86_400.0, 0.5])
async def test_open_circuits_wait_for_as_long_as_before(
    new_url: Callable[[str], str], open_store: Callable[..., Any], seconds: float
) -> None:
    """Where the clock by which they run was set; closed ones wait for nothing."""
    store = await open_store(new_url("sqlite"))
    await put(store, {WEB: OPEN, FRONT: TRYING, Key("service", "db"): Circuit(2)})
    async with store.writing() as connection:
        assert await circuits.moved(connection, seconds) == 2
    assert await known(store) == {
        WEB: Circuit(3, 1, NOON + seconds, NOON + 300.5 + seconds),
        FRONT: Circuit(5, 2, NOON - 400 + seconds, NOON - 100.25 + seconds, 2**40),
        Key("service", "db"): Circuit(2),
    }


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
async def test_what_a_person_closed_is_not_undone_by_a_restart_that_ends(
    engine: str, new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """It failed before the circuit was closed, or after: then it is the first failure, and no trial is waited for."""
    store = await open_store(new_url(engine))
    await put(store, {WEB: Circuit(2)})
    async with service_leases.deciding(store) as (connection, now):
        before = (await circuits.known(connection))[WEB]
        closing = asyncio.create_task(circuits.closed(store, WEB, "cli:ann", NOON))
        await asyncio.wait({closing}, timeout=0.2)
        await circuits.put(connection, {WEB: step(before, False, now, Limits(3, 300.0))})  # noqa: FBT003 -- it failed
    assert await closing
    assert (await known(store))[WEB].retry_at is None
