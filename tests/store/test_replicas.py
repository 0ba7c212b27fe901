"""Replicas say that they live, that they end, and are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.store import replicas
from exporter.store.replicas import Replica

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
    await replicas.gone(store, "b")
    await replicas.gone(store, "never-there")
    await replicas.ended(store, "never-there", 1.0)
    assert await replicas.known(store) == [Replica("A", 8.0, 10.0)]
