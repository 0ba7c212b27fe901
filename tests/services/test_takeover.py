"""Who takes a service over goes on where the last heartbeat was, and nobody's time is anybody's uptime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.lives import Lives, registered
from servers.watched import NOON

from exporter.services import takeover
from exporter.services.takeover import UNSEEN, Taker, taken_over
from exporter.store import replicas, service_states, service_status, service_totals
from exporter.store.service_states import Stretch
from exporter.store.service_status import StoredReading

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.services.service import Service
    from exporter.store.store import Store


async def left(store: Store, watched: Service, *, heartbeat: float, last: StoredReading | None = None) -> None:
    """Leave a service as a killed replica does: up since noon, seen until its heartbeat."""
    async with store.writing() as connection:
        await service_states.opened(connection, [Stretch(watched.id, "up", "200", NOON, "old")])
        await service_totals.added(connection, {watched.id: service_totals.Totals(7, 3, {"up": 100.0})})
        await replicas.beat(connection, "old", NOON, heartbeat)
        if last is not None:
            await service_status.add(connection, [last])


async def test_the_time_that_nobody_saw_is_unknown(url: str, open_store: Callable[..., Any]) -> None:
    """Up until the last heartbeat, unknown until now, and what the last reading says from now on."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    await left(
        store,
        one,
        heartbeat=NOON + 50,
        last=StoredReading(one.id, "degraded", NOON + 49, 301, 12.5, "it redirects", "status"),
    )
    (standing,) = await taken_over(store, [one], Taker("new", NOON + 80))
    assert (standing.state, standing.reason, standing.since) == ("degraded", "it redirects", NOON + 80)
    assert standing.ran_at == NOON + 49
    assert standing.reading is not None
    assert (standing.reading.duration, standing.reading.status_code) == (0.0125, 301)
    assert standing.counted.seconds == {"up": 150.0, "unknown": 30.0}
    assert (standing.counted.runs_success, standing.counted.runs_failure) == (7, 3)
    assert (standing.counted.state, standing.counted.began) == ("degraded", NOON + 80)
    found = await service_states.since(store, [one.id], 0.0)
    assert [stretch[1:-1] for stretch in found] == [
        ("up", "200", NOON, "old", NOON + 50),
        ("unknown", UNSEEN, NOON + 50, "new", NOON + 80),
        ("degraded", "it redirects", NOON + 80, "new", None),
    ]
    assert found[-1].id == standing.counted.number
    stored = (await service_totals.known(store, [one.id]))[one.id]
    assert (stored.seconds["up"], stored.seconds["unknown"]) == (150.0, 30.0)


@pytest.mark.parametrize(
    ("age", "state"),
    [
        pytest.param(185.0, "up", id="just fresh"),
        pytest.param(186.0, "unknown", id="too old"),
        pytest.param(-60.0, "unknown", id="of a time to come"),
        pytest.param(None, "unknown", id="none"),
    ],
)
async def test_a_reading_goes_on_only_while_it_says_something(
    url: str, open_store: Callable[..., Any], age: float | None, state: str
) -> None:
    """One that is too old opens no stretch of its state, not for a moment."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    now = NOON + 1000
    last = None if age is None else StoredReading(one.id, "up", now - age)
    await left(store, one, heartbeat=NOON + 900, last=last)
    (standing,) = await taken_over(store, [one], Taker("new", now))
    assert standing.state == state
    assert standing.since == now
    (opened,) = await service_states.open_ones(store, [one.id])
    assert opened.state == state
    assert not standing.due(now, window=None)


async def test_a_new_service_begins_unknown_and_with_nothing(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    (one,) = await registered(store, 1)
    (standing,) = await taken_over(store, [one], Taker("new", NOON))
    assert standing.counted.seconds == {}
    assert await service_totals.known(store, [one.id]) == {}
    (found,) = await service_states.since(store, [one.id], 0.0)
    assert (found.state, found.reason, found.ended_at) == ("unknown", "not probed yet", None)


async def test_an_owner_that_never_beat_saw_nothing(url: str, open_store: Callable[..., Any]) -> None:
    """Its stretch lasted no time: what it saw is not known."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    async with store.writing() as connection:
        await service_states.opened(connection, [Stretch(one.id, "up", "200", NOON, "never")])
    (standing,) = await taken_over(store, [one], Taker("new", NOON + 80))
    assert standing.counted.seconds == {"up": 0.0, "unknown": 80.0}


async def test_a_heartbeat_of_a_time_to_come_counts_whole_and_adds_no_stretch(
    url: str, open_store: Callable[..., Any]
) -> None:
    """A clock that was set back between two lives must not make fall what was shown before."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    await left(store, one, heartbeat=NOON + 500)
    (standing,) = await taken_over(store, [one], Taker("new", NOON + 80))
    assert standing.counted.seconds == {"up": 600.0, "unknown": 0.0}
    found = await service_states.since(store, [one.id], 0.0)
    assert [(stretch.state, stretch.began_at, stretch.ended_at) for stretch in found] == [
        ("up", NOON, NOON + 500),
        ("unknown", NOON + 80, None),
    ]


async def test_a_start_in_a_window_finds_nothing_down(url: str, open_store: Callable[..., Any]) -> None:
    """What is broken during maintenance is in maintenance from the first moment on, whatever its last reading says."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    await left(store, one, heartbeat=NOON + 60, last=StoredReading(one.id, "down", NOON + 55, 500))
    (standing,) = await taken_over(store, [one], Taker("new", NOON + 70, in_window={one.id: "planned maintenance"}))
    assert (standing.state, standing.window) == ("maintenance", "planned maintenance")
    assert not standing.due(NOON + 71, window="planned maintenance")
    found = await service_states.since(store, [one.id], 0.0)
    assert [stretch.state for stretch in found] == ["up", "unknown", "maintenance"]


async def test_more_than_one_open_stretch_ends_in_one(url: str, open_store: Callable[..., Any]) -> None:
    """Two replicas that owned it at once: the later one counts, and nothing stays open."""
    store = await open_store(url)
    (one,) = await registered(store, 1)
    await left(store, one, heartbeat=NOON + 50)
    async with store.writing() as connection:
        await service_states.opened(connection, [Stretch(one.id, "down", "500", NOON + 20, "other")])
        await replicas.beat(connection, "other", NOON, NOON + 60)
    (standing,) = await taken_over(store, [one], Taker("new", NOON + 80))
    assert standing.counted.seconds == {"up": 100.0, "down": 40.0, "unknown": 20.0}
    assert [stretch.id for stretch in await service_states.open_ones(store, [one.id])] == [standing.counted.number]


async def test_many_are_taken_over_in_parts_and_again_after_a_failure(
    url: str, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it breaks off in the middle, the next try ends with each service open once and no second lost."""
    monkeypatch.setattr(takeover, "CHUNK", 3)
    store = await open_store(url)
    lives = Lives(store, await registered(store, 10))
    await lives.begin("old")
    for place in range(10):
        lives.note(place, "up")
    lives.clock.pass_(50.0)
    await lives.commit()
    lives.clock.pass_(10.0)
    lives.store.plan.extend(["well", "well"])
    await lives.begin("new", "before", "well", "lost")
    lives.check_counters()
    lives.clock.pass_(5.0)
    await lives.commit()
    lives.check_counters()
    opened = await service_states.open_ones(store, [one.id for one in lives.services])
    assert sorted(stretch.id for stretch in opened) == sorted(one.counted.number for one in lives.board)
    totals = await service_totals.known(store, [one.id for one in lives.services])
    assert all(total.seconds["up"] == pytest.approx(50.0, abs=0.01) for total in totals.values())
    for one in lives.services:
        shown = {labels[2]: spent for labels, spent in lives.ledger.uptime().items() if labels[1] == one.name}
        assert shown["up"] >= 50.0 - 0.01
        assert sum(shown.values()) == pytest.approx(lives.ledger.seen_until - NOON, abs=0.01), "no second is lost"
