"""Replicas say that they live, that they end, and are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from exporter.store import replicas, service_states
from exporter.store.replicas import Replica
from exporter.store.service_states import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_life_of_a_replica(url: str, open_store: Callable[..., Any]) -> None:
    """The last heartbeat stays, a good end is noted, a new start lives again, others are left alone."""
    store = await open_store(url)
    assert await replicas.known(store) == []
    for at in (10.25, 11.5):
        async with store.writing() as connection:
            await replicas.beat(connection, "b", 9.0, at)
            await replicas.beat(connection, "A", 8.0, 10.0)
    assert await replicas.known(store) == [Replica("A", 8.0, 10.0), Replica("b", 9.0, 11.5)]
    await replicas.ended(store, "b", 12.0)
    assert Replica("b", 9.0, 12.0, 12.0) in await replicas.known(store)
    async with store.writing() as connection:
        await replicas.beat(connection, "b", 13.0, 13.0)
    assert Replica("b", 13.0, 13.0) in await replicas.known(store)
    await replicas.ended(store, "never-there", 1.0)
    assert {one.id for one in await replicas.known(store)} == {"A", "b"}


async def test_who_begins_keeps_the_heartbeat_of_its_last_life(url: str, open_store: Callable[..., Any]) -> None:
    """A new one lives from its start; one of a name that was there before lives again, and looked until then."""
    store = await open_store(url)
    await replicas.begun(store, "new", 9.0)
    async with store.writing() as connection:
        await replicas.beat(connection, "old", 1.0, 2.0)
    await replicas.ended(store, "old", 3.0)
    await replicas.begun(store, "old", 9.0)
    assert await replicas.known(store) == [Replica("new", 9.0, 9.0), Replica("old", 9.0, 3.0)]


async def test_the_node_of_a_replica_is_what_it_said_last(url: str, open_store: Callable[..., Any]) -> None:
    """Heartbeats and a good end leave it as it is; who begins anew may be elsewhere, or say nothing."""
    store = await open_store(url)

    async def nodes() -> dict[str, str | None]:
        return {one.id: one.node for one in await replicas.known(store)}

    await replicas.begun(store, "a", 1.0, "web1")
    await replicas.begun(store, "b", 1.0, "n" * 255)
    async with store.writing() as connection:
        await replicas.beat(connection, "a", 1.0, 2.0)
        await replicas.beat(connection, "silent", 1.0, 2.0)
    await replicas.ended(store, "b", 3.0)
    assert await nodes() == {"a": "web1", "b": "n" * 255, "silent": None}
    await replicas.begun(store, "a", 4.0, "Web1")
    await replicas.begun(store, "b", 4.0)
    assert await nodes() == {"a": "Web1", "b": None, "silent": None}


async def test_replicas_of_an_older_store_are_on_no_node(url: str, open_store: Callable[..., Any]) -> None:
    """The upgrade keeps them, and they say it when they begin anew."""
    older = await open_store(url)
    async with older.writing() as connection:
        await replicas.beat(connection, "a", 1.0, 2.0)
        await connection.execute(text("ALTER TABLE replicas DROP COLUMN node"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0033'"))
    store = await open_store(url)
    assert await replicas.known(store) == [Replica("a", 1.0, 2.0)]
    await replicas.begun(store, "a", 3.0, "web1")
    assert await replicas.known(store) == [Replica("a", 3.0, 2.0, node="web1")]


async def test_a_replica_is_forgotten_when_nothing_needs_it(
    url: str, open_store: Callable[..., Any], some_services: Callable[..., Any]
) -> None:
    """Who was seen of late stays, and who left an open stretch stays until that is closed."""
    store = await open_store(url)
    (service,) = await some_services(store, 1)
    async with store.writing() as connection:
        for name, at in (("dead", 10.0), ("observing", 10.0), ("living", 99.0)):
            await replicas.beat(connection, name, 1.0, at)
        numbers = await service_states.opened(connection, [Stretch(service, "up", "200", 5.0, "observing")])
    assert await replicas.forget(store, 50.0) == 1
    assert [one.id for one in await replicas.known(store)] == ["living", "observing"]
    async with store.writing() as connection:
        await service_states.closed(connection, {numbers[service]: 10.0})
    assert await replicas.forget(store, 50.0) == 1
    assert [one.id for one in await replicas.known(store)] == ["living"]
