"""The books: nothing is lost, nothing counted twice and no counter falls, whatever breaks and whenever."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.lives import Lives, registered
from servers.watched import NOON, FakeClock, reading, service
from sqlalchemy import delete

from exporter.errors import StoreError
from exporter.model import STATES
from exporter.services import batch as batches
from exporter.services.batch import FORGOTTEN, Batch
from exporter.services.standing import Standing, Transition
from exporter.store import replicas, service_states, service_status, service_totals, tables
from exporter.store.options import StoreOptions
from exporter.store.store import Store
from exporter.uptime import WINDOWS, Stretch, ratio, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = ("before", "during", "lost")

steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 4000).map(lambda tenths: tenths / 4)),
        st.tuples(st.just("note"), st.integers(0, 2), st.sampled_from(["up", "degraded", "down", "unknown"])),
        st.tuples(st.just("look"), st.sets(st.integers(0, 2))),
        st.tuples(st.just("commit"), st.lists(st.sampled_from(["well", *FAULTS]), max_size=2)),
        st.tuples(st.just("kill"), st.sampled_from(["same", "other"]), st.lists(st.sampled_from(FAULTS), max_size=2)),
    ),
    max_size=40,
)


async def lived(lives: Lives, script: list[Any]) -> None:
    """Play a script, and hold what is shown against the record after each step."""
    first = lives.services[0].client  # a name that no earlier life in this store had
    names = (f"{first}-{number}" for number in itertools.count())
    await lives.begin(first)
    for word, *arguments in script:
        match word:
            case "pass":
                lives.clock.pass_(*arguments)
            case "note":
                lives.note(*arguments)
            case "look":
                lives.look(*arguments)
            case "commit":
                await lives.commit(*arguments[0])
            case "kill":
                replica = first if arguments[0] == "same" else next(names)
                lives.clock.pass_(30.0)
                await lives.begin(replica, *arguments[1])
        lives.check_counters()
        lives.check_seconds()
    lives.clock.pass_(10.0)
    assert await lives.commit()
    lives.check_counters()
    lives.check_seconds()
    assert lives.waiting == Counter()


async def agrees(lives: Lives) -> None:
    """Hold the store and the ratios against the record: one stretch after the other, one open, totals as shown."""
    totals = await service_totals.known(lives.store, [one.id for one in lives.services])
    lives.ledger._ratios_at = None
    ratios = lives.ledger.ratios()
    for one in lives.services:
        found = await service_states.since(lives.store, [one.id], 0.0)
        opened = [stretch for stretch in found if stretch.ended_at is None]
        assert len(opened) == 1
        until = lives.ledger.seen_until
        assert opened[0].id == lives.board.standings[one.id].counted.number
        for before, after in itertools.pairwise(found):
            assert before.ended_at == pytest.approx(after.began_at, abs=1e-3)
        record = lives.seconds(one.id)
        stored = seconds([Stretch(stretch.state, stretch.began_at, stretch.ended_at) for stretch in found], 0.0, until)
        zeros = dict.fromkeys(STATES, 0.0)
        assert zeros | stored == pytest.approx(zeros | record, abs=0.01)
        total = totals.get(one.id, service_totals.Totals(0, 0, {}))
        runs = total.runs_success, total.runs_failure
        assert runs == (lives.counted[one.id, True], lives.counted[one.id, False])
        for window, length in WINDOWS.items():
            observed = seconds(lives.stretches(one.id), until - length, until)
            if sum(observed.get(state, 0.0) for state in ("up", "degraded", "down")) > 0.1:
                # Two commits at one moment of the clock have heartbeats a little apart: less says nothing.
                expected = ratio(observed)
                assert ratios[one.client, one.name, window] == pytest.approx(expected, abs=1e-4)


def played(url: str, examples: int, test: Callable[[Store, list[Any]], Any]) -> None:
    """Run a test with random scripts on one open store."""
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(StoreOptions.from_scalar(url), FakeClock(), exclusive=False))
        try:

            @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            @given(steps)
            def play(script: list[Any]) -> None:
                runner.run(test(store, script))

            play()
        finally:
            runner.run(store.close())


def test_counters_are_those_of_the_record_through_every_failure(url: str) -> None:
    """On random lives: commits that fail or are done and not told, kills at any point, take-overs that fail too."""

    async def test(store: Store, script: list[Any]) -> None:
        lives = Lives(store, await registered(store, 3, full=True))
        await lived(lives, script)
        await agrees(lives)

    played(url, 40 if url.startswith("sqlite") else 12, test)


@pytest.mark.parametrize("fault", ["well", *FAULTS])
async def test_a_commit_is_counted_once_however_it_ends(url: str, open_store: Callable[..., Any], fault: str) -> None:
    """Readings, runs, stretches and seconds are all there once after the next commit."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 2))
    first, second = lives.services
    await lives.begin("me")
    await lives.commit()
    lives.clock.pass_(5.0)
    lives.note(0, "up")
    lives.note(1, "down")
    assert await lives.commit(fault) == (fault == "well")
    lives.check_counters()
    assert lives.ledger.waits == (fault != "well")
    lives.clock.pass_(1.0)
    lives.note(0, "down")
    lives.clock.pass_(10.0)
    assert await lives.commit()
    lives.check_counters()
    lives.check_seconds()
    assert not lives.ledger.waits
    history = await service_status.history(store, first.id, 0.0, 100)
    assert [(one.status, one.checked_at) for one in history] == [("down", NOON + 6), ("up", NOON + 5)]
    states = await service_states.since(store, [first.id, second.id], 0.0)
    assert [(one.state, one.began_at, one.ended_at) for one in states] == [
        ("unknown", NOON, NOON + 5),
        ("up", NOON + 5, NOON + 6),
        ("down", NOON + 6, None),
        ("unknown", NOON, NOON + 5),
        ("down", NOON + 5, None),
    ]
    key = (first.client, first.name)
    uptime = {labels[2]: spent for labels, spent in lives.ledger.uptime().items() if labels[:2] == key}
    assert uptime == pytest.approx({"unknown": 5.0, "up": 1.0, "down": 10.0}, abs=1e-3)


# A connection that was just being opened is closed when it is collected, which Python 3.13 tells of.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
async def test_a_commit_that_is_cancelled_loses_nothing(url: str, open_store: Callable[..., Any]) -> None:
    """Cut off at any of its steps, what it had is written by the next one, once."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    await lives.begin("me")
    for turns in range(0, 60, 3):
        lives.clock.pass_(1.0)
        lives.note(0, "up" if turns % 2 else "down")
        committing = asyncio.create_task(lives.ledger.commit())
        for _ in range(turns):
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait({committing})
        if not committing.cancelled():
            committing.result()
    lives.clock.pass_(1.0)
    await lives.ledger.commit()
    (one,) = lives.board
    assert (one.counted.runs_success, one.counted.runs_failure) == (10, 10)
    assert (await service_totals.known(store, [one.service.id]))[one.service.id][:2] == (10, 10)
    assert len(await service_status.history(store, one.service.id, 0.0, 100)) == 20
    lives.check_seconds()
    await store.close()
    del committing
    gc.collect()


async def test_deleted_services_cost_the_others_nothing(url: str, open_store: Callable[..., Any]) -> None:
    """One that is deleted while readings of it wait is left out, without a failed commit."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 3))
    await lives.begin("me")
    lives.clock.pass_(1.0)
    for place in range(3):
        lives.note(place, "up")
    gone = lives.services[1].id
    async with store.writing() as connection:
        await connection.execute(delete(tables.client_services).where(tables.client_services.c.id == gone))
    assert await lives.commit()
    lives.clock.pass_(1.0)
    for place in range(3):
        lives.note(place, "down")
    lives.ledger.release(gone, ended=True)
    lives.board.remove(gone)
    assert await lives.commit()
    totals = await service_totals.known(store, [one.id for one in lives.services])
    assert {number: total[:2] for number, total in totals.items()} == {
        lives.services[0].id: (1, 1),
        lives.services[2].id: (1, 1),
    }


async def test_who_is_dropped_ends_with_all_that_was_seen(url: str, open_store: Callable[..., Any]) -> None:
    """The stretch ends when the service was dropped, though the store takes it later, and changes before are kept."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 2))
    dropped, moved = lives.services
    await lives.begin("me")
    await lives.commit()
    lives.clock.pass_(10.0)
    lives.note(0, "up")
    lives.note(1, "up")
    lives.clock.pass_(10.0)
    lives.ledger.release(dropped.id, ended=True)
    lives.ledger.release(moved.id, ended=False)
    lives.clock.pass_(100.0)
    assert not await lives.commit("before")
    lives.clock.pass_(100.0)
    await lives.ledger.commit()
    found = await service_states.since(store, [dropped.id], 0.0)
    assert [(one.state, one.began_at, one.ended_at) for one in found] == [
        ("unknown", NOON, NOON + 10),
        ("up", NOON + 10, NOON + 20),
    ]
    totals = await service_totals.known(store, [dropped.id, moved.id])
    assert totals[dropped.id].seconds["up"] == 10.0
    assert totals[dropped.id].seconds["unknown"] == 10.0
    assert totals[moved.id].runs_success == 1
    (left,) = await service_states.since(store, [moved.id], 0.0)
    assert (left.state, left.ended_at) == ("unknown", None), "whoever takes it over ends it"
    assert lives.ledger.uptime() == {}


async def test_one_that_comes_back_before_its_end_was_written_counts_once(
    url: str, open_store: Callable[..., Any]
) -> None:
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    (one,) = lives.services
    await lives.begin("me")
    lives.note(0, "up")
    await lives.commit()
    lives.clock.pass_(10.0)
    await lives.commit()
    lives.ledger.release(one.id, ended=True)
    lives.clock.pass_(5.0)
    (standing,) = await lives.ledger.take([one])
    await lives.ledger.commit()
    totals = (await service_totals.known(store, [one.id]))[one.id]
    assert totals.seconds["up"] == 10.0
    assert totals.seconds["unknown"] == 5.0
    assert standing.counted.seconds["up"] == 10.0
    opened = await service_states.open_ones(store, [one.id])
    assert [stretch.id for stretch in opened] == [standing.counted.number]


@pytest.mark.parametrize("back", [0.5, 1.9])
async def test_a_clock_that_goes_back_a_little_makes_no_counter_fall(
    url: str, open_store: Callable[..., Any], back: float
) -> None:
    """Less than a jump: what was shown up to the heartbeat stays, though the next change seems to be before it."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    await lives.begin("me")
    lives.note(0, "up")
    lives.clock.pass_(100.0)
    await lives.commit()
    lives.check_counters()
    lives.clock.set(-back)
    lives.note(0, "down")
    await lives.commit()
    lives.check_counters()
    lives.clock.pass_(10.0)
    await lives.commit()
    lives.check_counters()
    await lives.begin("other")
    lives.check_counters()


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
async def test_a_clock_that_is_set_adds_to_nobodys_uptime(
    url: str, open_store: Callable[..., Any], jump: float
) -> None:
    """The day that did not pass is `unknown`, or nothing where it is gone through twice; no counter falls."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 2, full=True))
    await lives.begin("me")
    for place in (0, 1):
        lives.note(place, "up")
    lives.clock.pass_(100.0)
    await lives.commit()
    lives.check_counters()
    lives.clock.pass_(1.0)
    before = lives.clock.time()
    lives.clock.set(jump)
    for standing in lives.board:
        standing.rebase(before, lives.clock.time())
    lives.ledger.rebase(lives.board, before, lives.clock.time())
    assert not await lives.commit("lost")
    lives.clock.pass_(50.0)
    await lives.commit()
    lives.check_counters()
    for one in lives.services:
        shown = {labels[2]: spent for labels, spent in lives.ledger.uptime().items() if labels[1] == one.name}
        assert shown["up"] == pytest.approx(151.0, abs=0.01)
        assert shown.get("unknown", 0.0) == pytest.approx(max(0.0, jump), abs=0.01)
    for stretch in await service_states.since(store, [one.id for one in lives.services], 0.0):
        assert stretch.ended_at is None or stretch.ended_at >= stretch.began_at, "less than no time"
    beats = {one.id: one.heartbeat_at for one in await replicas.known(store)}
    assert beats["me"] == lives.clock.time()
    lives.clock.pass_(3.0)
    await lives.begin("other")
    lives.check_counters()
    await lives.commit()
    ratios = {labels[2]: share for labels, share in lives.ledger.ratios().items()}
    assert set(ratios.values()) == {1.0}


async def test_ratios_follow_the_options_and_are_computed_each_minute(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    (one,) = lives.services
    await lives.begin("me")
    lives.note(0, "up")
    lives.clock.pass_(60.0)
    await lives.commit()
    assert lives.ledger.ratios() == {}
    full = service(one.id, client=one.client, name=one.name, full=True)
    await lives.ledger.changed(full)
    assert set(lives.ledger.ratios().values()) == {1.0}
    assert len(lives.ledger.ratios()) == len(WINDOWS)
    lives.note(0, "down")
    lives.clock.pass_(59.0)
    await lives.commit()
    assert set(lives.ledger.ratios().values()) == {1.0}
    lives.clock.pass_(1.0)
    await lives.commit()
    assert set(lives.ledger.ratios().values()) == {0.5}
    await lives.ledger.changed(one)
    lives.clock.pass_(60.0)
    await lives.commit()
    assert lives.ledger.ratios() == {}


async def test_who_was_taken_over_meanwhile_is_lost(url: str, open_store: Callable[..., Any]) -> None:
    """After a time without heartbeats: those whose stretch another replica ended are not ours any more."""
    store = await open_store(url)
    lives = Lives(store, await registered(store, 3))
    await lives.begin("me")
    await lives.commit()
    assert await lives.ledger.lost() == []
    ours, board = lives.ledger, lives.board
    await lives.begin("other")
    await lives.commit()
    assert sorted(await ours.lost()) == sorted(one.service.id for one in board)
    assert await lives.ledger.lost() == []


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest readings go, counts never; of too many changes the first time and the last state stay."""
    monkeypatch.setattr(batches, "KEPT_TRANSITIONS", 10)
    watched, kept = service(), Batch()
    for second in range(batches.KEPT_READINGS + 10):
        kept.note(watched, reading("up" if second % 2 else "down"), NOON + second)
    assert len(kept.readings) == batches.KEPT_READINGS
    assert kept.readings[0].at == NOON + 10
    assert sum(kept.runs[watched.id]) == batches.KEPT_READINGS + 10
    for second in range(20):
        kept.transit(Transition(watched, "up" if second % 2 else "down", "", NOON + second))
    joined = Batch().before(kept)
    joined.shorten()
    first, last = joined.transitions[watched.id]
    assert (first.state, first.reason, first.at) == ("unknown", FORGOTTEN, NOON)
    assert (last.state, last.at) == ("up", NOON + 19)
    joined.shorten()
    assert len(joined.transitions[watched.id]) == 2


def test_one_commit_takes_so_many_readings_and_the_next_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "READINGS_AT_ONCE", 7)
    watched, kept = service(), Batch()
    for second in range(20):
        kept.note(watched, reading(), NOON + second)
    taken = []
    while kept.readings:
        rest = kept.split()
        assert rest.runs == {}
        taken.append([one.at - NOON for one in kept.readings])
        kept = rest
    assert taken == [list(range(7)), list(range(7, 14)), list(range(14, 20))]


async def test_a_long_outage_is_written_in_parts(
    url: str, open_store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "READINGS_AT_ONCE", 7)
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    await lives.begin("me")
    for _ in range(20):
        lives.clock.pass_(1.0)
        lives.note(0, "up")
        assert not await lives.commit("before")
    for _ in range(3):
        lives.clock.pass_(1.0)
        assert lives.ledger.waits
        await lives.ledger.commit()
    assert not lives.ledger.waits
    identity = lives.services[0].id
    assert len(await service_status.history(store, identity, 0.0, 100)) == 20
    assert (await service_totals.known(store, [identity]))[identity].runs_success == 20


async def test_a_store_that_is_gone_says_so_and_keeps_what_waits(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    lives = Lives(store, await registered(store, 1))
    await lives.begin("me")
    lives.note(0, "up")
    lives.store.plan.extend(["before", "before", "before"])
    with pytest.raises(StoreError):
        await lives.ledger.commit()
    with pytest.raises(StoreError):
        await lives.ledger.commit()
    assert lives.ledger.waits
    lives.store.plan.clear()
    await lives.ledger.commit()
    assert isinstance(lives.board.standings[lives.services[0].id], Standing)
    assert lives.board.standings[lives.services[0].id].counted.runs_success == 1
