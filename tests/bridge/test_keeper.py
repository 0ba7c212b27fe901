"""What time alone does: once, by whoever looks, and never because a clock was set or because we were away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from bridge.scenes import ENQUEUE, Scene, counted, firing, resolved, rule, scene, terms
from servers.watched import NOON

from exporter.bridge import keeper as keepers
from exporter.bridge.booking import HELD
from exporter.bridge.keeper import GRACE
from exporter.bridge.notices import Notice
from exporter.errors import StoreError
from exporter.policy import Step
from exporter.store import audit, backlog, counters, replicas
from exporter.store.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

DAY, HOUR = 86_400.0, 3_600.0
SILENT = 25 * HOUR
TOLD = Notice("chat", "incident", "http", (), "auto")


async def passes(one: Scene, seconds: float) -> None:
    """Let time pass, with a look before and after."""
    await one.keeper.tick()
    one.clock.pass_(seconds)
    await one.keeper.tick()
    assert one.keeper.trouble is None


async def late(one: Scene, user: str = "ada") -> None:
    """Let an alert be late: it fires with a start from before its end."""
    await one.one(resolved(user, NOON), firing(user, NOON - 60))


async def test_what_is_late_opens_without_another_message(url: str, open_store: Callable[..., Any]) -> None:
    """After five minutes, once, with its item, whoever is told, its entry, and a call to those who wait for items."""
    store = await open_store(url)
    async with scene(store, terms(notices=(TOLD,))) as one:
        await late(one)
        wakes = one.wakes
        await passes(one, 299.0)
        assert (await one.states(), await one.items(), one.wakes) == (["resolved", "late"], [], wakes)
        await passes(one, 1.0)
        await passes(one, 1.0)
        assert await one.states() == ["resolved", "open"]
        item, told = await one.items()
        assert (item.queue, item.key, item.state, item.context["labels"]["user"]) == ("sync", "ada", "pending", "ada")
        assert (told.queue, told.state) == ("notifications", "pending")
        assert one.wakes == wakes + 1
        incident = (await one.incidents())[1]
        assert (incident.episode.opened_at, incident.episode.first_at) == (NOON + 300, NOON)
        assert [each.verb for each in await audit.of(store, "incident", incident.id)] == ["opened"]
        assert await one.total(HELD, "late") == 1
        assert counted([await one.one(firing())]) == Counter(duplicate=1)
        assert len(await one.items()) == 2


async def test_what_is_late_and_resolved_never_opens(store: Store) -> None:
    """It leads to nothing, now or later."""
    async with scene(store) as one:
        await late(one)
        await one.one(resolved(ends_at=NOON))
        await passes(one, 10 * DAY)
        assert (await one.states(), await one.items()) == (["resolved", "resolved"], [])


async def test_what_is_late_is_decided_by_the_rules_of_then(store: Store) -> None:
    """Those that hold when it opens, not those from before."""
    async with scene(store) as one:
        await late(one)
        one.intake.terms = terms(rule(Step("enqueue", "by-hand")))
        await passes(one, 300.0)
        assert [each.queue for each in await one.items()] == ["by-hand"]
        assert (await one.incidents())[1].rulebook == one.intake.terms.rulebook.digest


async def test_what_is_silent_closes(url: str, open_store: Callable[..., Any]) -> None:
    """What waits for it is cancelled, whoever is told of incidents is told why, and others stay open."""
    store = await open_store(url)
    async with scene(store, terms(notices=(TOLD,))) as one:
        await one.one(firing("ada"), firing("bob"))
        await passes(one, 20 * HOUR)
        await one.one(firing("bob"))
        await passes(one, 5 * HOUR)
        assert await one.states() == ["open", "open"]
        await passes(one, 1.0)
        await passes(one, 1.0)
        (ada, _), states = await one.incidents(), await one.states()
        assert states == ["silent", "open"]
        assert (ada.episode.ended_at, ada.episode.closed_at) == (NOON + SILENT + 1, NOON + SILENT + 1)
        items = Counter((each.queue, each.key, each.state, each.hold) for each in await one.items())
        assert items["sync", "ada", "cancelled", "resolved"] == items["sync", "bob", "pending", None] == 1
        assert items["notifications", f"chat:incident:{ada.id}:closed", "pending", None] == 1
        assert sum(items.values()) == 5
        entry = (await audit.of(store, "incident", ada.id))[-1]
        assert (entry.actor, entry.verb) == ("watchbridge", "closed")
        assert "silent_after" in entry.reason
        assert await one.total(HELD, "resolved") == 1


async def test_more_than_a_look_takes_are_done_by_the_next(store: Store) -> None:
    """A storm that opens late is worked through, each once."""
    async with scene(store) as one:
        users = [f"{number:04}" for number in range(1200)]
        await one.one(*(resolved(user, NOON) for user in users), *(firing(user, NOON - 60) for user in users))
        await passes(one, 300.0)
        await passes(one, 1.0)
        assert Counter(await one.states()) == Counter(open=1200, resolved=1200)
        assert len({each.key for each in await one.items()}) == len(await one.items()) == 1200


async def test_a_clock_set_forward_does_nothing(store: Store) -> None:
    """Neither does anything become silent nor does what is late open early: they wait for as long as that takes."""
    async with scene(store) as one:
        await one.one(firing("open"))
        await late(one, "late")
        await passes(one, 2 * HOUR)
        await late(one, "later")
        await one.keeper.tick()
        one.clock.set(2 * DAY)
        await passes(one, 290.0)
        assert Counter(await one.states()) == Counter(open=2, resolved=2, late=1)
        await passes(one, 20.0)
        assert Counter(await one.states()) == Counter(open=3, resolved=2)
        await passes(one, SILENT - 320.0)
        assert Counter(await one.states()) == Counter(open=3, resolved=2)
        await passes(one, 30.0)
        assert Counter(await one.states()) == Counter(silent=3, resolved=2)


@pytest.mark.parametrize("back", [60.0, HOUR, 400 * DAY])
async def test_a_clock_set_back_holds_nothing_for_ever(store: Store, back: float) -> None:
    """What is late opens no later than after twice its time; what fires meanwhile is taken."""
    async with scene(store) as one:
        await late(one)
        await one.keeper.tick()
        one.clock.set(-back)
        await passes(one, 600.0)
        assert await one.states() == ["resolved", "open"]
        await one.one(firing("new", one.clock.time()))
        assert len(await one.items()) == 2


async def test_small_corrections_of_the_clock_change_nothing(store: Store) -> None:
    """A second at a time, as NTP does it: silence comes when it would have come."""
    async with scene(store) as one:
        await one.one(firing())
        await passes(one, SILENT - 10)
        for _ in range(8):
            one.clock.set(1.0)
            await one.keeper.tick()
        assert await one.states() == ["open"]
        await passes(one, 3.0)
        assert await one.states() == ["silent"]


async def test_nothing_is_silent_because_we_were_away(store: Store) -> None:
    """After a start, senders that could not reach us have an hour to try again; then who was not heard of closes."""
    async with scene(store) as one:
        await one.one(firing("heard"), firing("gone"))
    clock = one.clock
    clock.pass_(3 * DAY)
    async with scene(store, clock=clock) as again:
        await passes(again, GRACE - 10)
        assert await again.states() == ["open", "open"]
        assert counted([await again.one(firing("heard"))]) == Counter(duplicate=1)
        await passes(again, 11.0)
        assert {each.fingerprint: each.episode.state for each in await again.incidents()} == {
            "of-heard": "open",
            "of-gone": "silent",
        }
        assert {each.key: each.state for each in await again.items()} == {"heard": "pending", "gone": "cancelled"}


async def test_nothing_is_silent_because_the_store_was_away(store: Store) -> None:
    """Deliveries that could not be stored were not heard of either: they come again first."""
    async with scene(store) as one:
        await one.one(firing())
        await one.keeper.tick()
        one.keeper._store = Broken(store)  # type: ignore[assignment]  # a store that fails
        one.clock.pass_(2 * DAY)
        await one.keeper.tick()
        assert one.keeper.trouble is not None
        one.keeper._store = store
        await passes(one, GRACE - 10)
        assert await one.states() == ["open"]
        await passes(one, 11.0)
        assert await one.states() == ["silent"]


class Broken:
    """A store that cannot be read or written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def mark(self) -> None:
        """Tell of no commit."""

    def reading(self) -> Any:
        raise StoreError(where="the store", reason="as planned")

    writing = reading


async def test_trouble_is_said_once_and_ends(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A store that is away is told as a sentence, in the log once; after it is back there is none."""
    async with scene(store) as one:
        one.keeper._store = Broken(store)  # type: ignore[assignment]  # a store that fails
        for _ in range(3):
            await one.keeper.tick()
        assert one.keeper.trouble == "The store the store cannot be used: as planned."
        assert [each.exc_info for each in caplog.records] == [None]
        one.keeper._store = store
        await one.keeper.tick()
        assert one.keeper.trouble is None
        one.keeper._store = None  # type: ignore[assignment]  # nobody foresaw it
        await one.keeper.tick()
        assert "AttributeError" in str(one.keeper.trouble)


@pytest.mark.parametrize("fault", ["before", "during", "lost"])
async def test_a_look_that_fails_is_done_once(store: Store, fault: str) -> None:
    """Whatever became of its commit, the next one finds what is left to do."""
    async with scene(store, terms(notices=(TOLD,))) as one:
        await late(one)
        await one.keeper.tick()
        one.clock.pass_(300.0)
        one.store.plan.append(fault)
        await one.keeper.tick()
        assert one.keeper.trouble is not None
        await one.keeper.tick()
        assert one.keeper.trouble is None
        assert await one.states() == ["resolved", "open"]
        assert len(await one.items()) == 2


async def test_totals_of_replicas_that_nobody_knows_are_forgotten(store: Store) -> None:
    """Those of the living stay, and what this one counts itself."""
    async with scene(store) as one:
        await replicas.begun(store, "lives", NOON)
        for scope in ("lives", "gone", one.scope):
            async with store.writing() as connection:
                await counters.added(connection, scope, Counter({(HELD, ("late",)): 1}))
        one.clock.pass_(61.0)
        await one.keeper.tick()
        found = {scope: await counters.totals(store, scope, [HELD]) for scope in ("lives", "gone", one.scope)}
        assert [bool(found[scope][HELD]) for scope in ("lives", "gone", one.scope)] == [True, False, True]


async def test_where_nothing_is_written_it_looks_each_half_minute(store: Store) -> None:
    """A commit by anybody is looked at with the next beat; a shared store tells of none, and is asked each time."""
    async with scene(store) as one:
        one.keeper._store, one.keeper._changes = store, Changes(store, keepers.IDLE)
        looks: list[float] = []
        reading = store.reading
        store.reading = lambda **more: (looks.append(one.clock.monotonic()), reading(**more))[1]  # type: ignore[method-assign]
        try:
            for _ in range(55):
                one.clock.pass_(1.0)
                await one.keeper.tick()
            idle = len(looks)
            await one.one(firing("ada"))
            one.clock.pass_(1.0)
            await one.keeper.tick()
        finally:
            store.reading = reading  # type: ignore[method-assign]
        assert idle == (2 if store.dialect == "sqlite" else 55)
        assert len(looks) == idle + 1


async def test_two_keepers_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """Each incident opens, or closes, once, and nobody is told twice; neither keeper has any trouble."""
    stores = [await open_store(url) for _ in range(2)]
    told = terms(rule(ENQUEUE, Step("enqueue", "by-hand")), notices=(TOLD,))
    async with scene(stores[0], told) as one, scene(stores[1], told, clock=one.clock) as other:
        for each in (one, other):  # who counts is one that lives, or its totals are forgotten
            await replicas.begun(stores[0], each.scope, NOON)
        users = [f"{number:03}" for number in range(60)]
        await one.one(*(firing(f"open-{user}") for user in users))
        await passes(one, SILENT - 60)
        await one.one(*(resolved(user, NOON) for user in users), *(firing(user, NOON - 60) for user in users))
        one.clock.pass_(310.0)
        for _ in range(3):
            await asyncio.gather(one.keeper.tick(), other.keeper.tick())
            one.clock.pass_(GRACE)  # the second keeper began just now
            assert (one.keeper.trouble, other.keeper.trouble) == (None, None)
        states = Counter(await one.states())
        assert states == Counter(silent=60, open=60, resolved=60)
        items = Counter((each.queue, each.state) for each in await one.items())
        assert items["sync", "pending"] == items["by-hand", "pending"] == 60
        assert items["sync", "cancelled"] == items["by-hand", "cancelled"] == 60
        assert items["notifications", "pending"] == 60 + 60 + 60
        assert await one.total(HELD, "resolved") + await other.total(HELD, "resolved") == 120


async def test_what_is_old_is_forgotten(store: Store) -> None:
    """Closed incidents, finished items and the audit, once a minute; what is open, dead or waits is kept."""
    async with scene(store, terms(silent_after=1e9)) as one:
        one.keeper.retention, one.keeper.finished_retention = 10 * DAY, 5 * DAY
        await one.one(firing("open"), firing("over"), resolved("over", NOON + 1))
        await one.keeper.tick()
        (_, over), items = await one.incidents(), await one.items()
        assert Counter(each.state for each in items) == Counter(pending=1, cancelled=1)
        one.clock.pass_(6 * DAY)
        await one.keeper.tick()
        assert [each.state for each in await one.items()] == ["pending"]
        assert await one.states() == ["open", "resolved"]
        one.clock.pass_(6 * DAY)
        await one.keeper.tick()
        assert await one.states() == ["open"]
        assert [each.state for each in await one.items()] == ["pending"]
        assert await audit.of(store, "incident", over.id) == []


async def test_the_purge_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes so many rows at most and comes once a minute: nothing else waits for it for long."""
    monkeypatch.setattr(keepers, "PURGED", 10)
    async with scene(store) as one:
        one.keeper.retention = one.keeper.finished_retention = HOUR
        users = [f"{number:02}" for number in range(25)]
        await one.one(*map(firing, users), *(resolved(user, NOON + 1) for user in users))
        left = []
        one.clock.pass_(2 * HOUR)
        for _ in range(5):
            await one.keeper.tick()
            left.append((len(await one.incidents()), len(await one.items())))
            one.clock.pass_(30.0)
        assert left == [(15, 15), (15, 15), (5, 5), (5, 5), (0, 0)]


async def test_answers_are_written_without_a_delivery(store: Store) -> None:
    """Refusals alone are counted too: with each look, and at the end."""
    async with scene(store) as one:
        one.intake.answered(401)
        await one.keeper.tick()
        assert await one.total("watchbridge_deliveries_total", "401") == 1
        one.intake.answered(401)
        one.keeper.start()
        await one.keeper.close()
        assert await one.total("watchbridge_deliveries_total", "401") == 2
        assert await backlog.counts(one.store) == {}
