"""How services stand by the store alone, whoever watched them last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servers.lives import Lives, registered
from sqlalchemy import update

from exporter.replicas import DEAD_AFTER
from exporter.services.overview import overview
from exporter.store import replicas, tables

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_it_tells_what_the_watching_replica_sees(url: str, open_store: Callable[..., Any]) -> None:
    """State, since when, the newest words for it, and the uptime until the last heartbeat."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 2))
    await lives.begin("me")
    lives.clock.pass_(10.0)
    lives.note(0, "up")
    lives.note(1, "down")
    lives.clock.pass_(30.0)
    lives.note(0, "down")
    lives.clock.pass_(10.0)
    await lives.commit()
    first, second = await overview(store, lives.clock.time() + 1, [one.id for one in lives.services])
    assert (first.service.name, first.state, first.since) == ("service-00000", "down", lives.clock.time() - 10)
    assert first.reason == "it is down"
    assert first.last is not None
    assert first.last.status == "down"
    assert first.uptime("24h") == 0.75
    assert first.until == lives.clock.time()
    assert (second.state, second.uptime("1h")) == ("down", 0.0)
    assert len(first.stretches) == 3


async def test_nobody_who_watches_makes_it_unknown(url: str, open_store: Callable[..., Any]) -> None:
    """Ten seconds after a kill, at once after a good end; the uptime is that until then."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    ids = [lives.services[0].id]
    (found,) = await overview(store, lives.clock.time(), ids)
    assert (found.state, found.since, found.last, found.uptime("24h")) == ("unknown", None, None, None)
    assert found.reason == "it was not watched yet: start Watchbridge"
    await lives.begin("me")
    lives.note(0, "up")
    lives.clock.pass_(10.0)
    await lives.commit()
    seen = lives.clock.time()
    (found,) = await overview(store, seen + DEAD_AFTER, ids)
    assert found.state == "up"
    (found,) = await overview(store, seen + DEAD_AFTER + 1, ids)
    assert (found.state, found.since, found.until) == ("unknown", None, seen)
    assert found.reason == "no Watchbridge watches it now: start it, or look at its log"
    assert found.uptime("24h") == 1.0
    await replicas.ended(store, "me", seen + 1)
    (found,) = await overview(store, seen + 2, ids)
    assert (found.state, found.until) == ("unknown", seen + 1)


async def test_a_disabled_one_says_so_and_gains_no_uptime(url: str, open_store: Callable[..., Any]) -> None:
    """Also where it was taken out of the configuration while nothing ran, and its stretch is still open."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    one = lives.services[0].id
    await lives.begin("me")
    lives.note(0, "down")
    lives.clock.pass_(10.0)
    await lives.commit()
    lives.note(0, "up")
    await lives.commit()
    async with store.writing() as connection:
        table = tables.client_services
        await connection.execute(update(table).where(table.c.id == one).values(enabled=False))
    (found,) = await overview(store, lives.clock.time() + 5000, [one])
    assert (found.state, found.reason) == ("unknown", "it is disabled, or no longer configured")
    assert found.uptime("24h") is not None
    assert (found.uptime("24h") or 0.0) < 0.01


async def test_it_tells_of_all_or_of_some(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    watched = await registered(store, 3)
    assert [one.service.name for one in await overview(store, 0.0)] == [one.name for one in watched]
    assert await overview(store, 0.0, []) == []
    (found,) = await overview(store, 0.0, [watched[1].id, 999_999])
    assert found.service.id == watched[1].id
