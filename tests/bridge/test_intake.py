"""Deliveries into the store: in groups, durable before the answer, each alert counted once, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from bridge import scenes
from bridge.histories import Message, history, timeline
from bridge.scenes import ENQUEUE, Scene, counted, delivery, firing, led_to, resolved, rule, scene, terms
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from servers.watched import NOON, FakeClock
from sqlalchemy import event

from exporter.alerts import Quarantined
from exporter.bridge import intake as intakes
from exporter.bridge import receipts as receipts_
from exporter.bridge.intake import DELIVERIES, LAST, TRUNCATED, OverloadedError
from exporter.errors import StoreError
from exporter.policy import Step
from exporter.store.options import StoreOptions
from exporter.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.alerts import Delivery
    from exporter.bridge.intake import Receipt

TWO_STEPS = (ENQUEUE, Step("enqueue", "by-hand"))


async def test_those_who_deliver_at_once_share_a_transaction(url: str, open_store: Callable[..., Any]) -> None:
    """Each of two hundred senders is answered after the commit of its alerts, and there are few commits."""
    store = await open_store(url)
    commits = 0

    @event.listens_for(store.engine.sync_engine, "commit")
    def _committed(_: object) -> None:
        nonlocal commits
        commits += 1

    async with scene(store) as one:
        receipts = await one.take(*(delivery(firing(f"{sender:03}"), firing("all")) for sender in range(200)))
        assert commits <= 5
        assert one.store.done == commits
        assert counted(receipts) == Counter(accepted=201, duplicate=199)
        assert await one.outcomes() == {"accepted": 201, "duplicate": 199}
        assert len(await one.items()) == 201
        assert 1 <= one.wakes <= commits


async def test_an_answer_comes_after_the_commit(store: Store) -> None:
    """What a sender was told is in the store for everybody else at that moment; a failed commit tells nobody."""
    async with scene(store) as one:
        one.store.plan.extend(["before", "during"])
        for _ in range(2):
            with pytest.raises(StoreError, match="as planned"):
                await one.one(firing())
            assert (await one.incidents(), await one.items(), await one.outcomes(), one.wakes) == ([], [], {}, 0)
        assert counted([await one.one(firing())]) == Counter(accepted=1)
        assert len(await one.items()) == 1


async def test_an_answer_that_was_lost_is_recognised(url: str, open_store: Callable[..., Any]) -> None:
    """A commit that is done and not told is an error to the sender; what it sends again is known."""
    store = await open_store(url)
    async with scene(store, terms(rule(*TWO_STEPS))) as one:
        one.store.plan.append("lost")
        with pytest.raises(StoreError, match="as planned"):
            await one.one(firing(), firing("bob"))
        assert counted([await one.one(firing(), firing("bob"))]) == Counter(duplicate=2)
        one.store.plan.append("lost")
        with pytest.raises(StoreError, match="as planned"):
            await one.one(resolved(ends_at=NOON + 1))
        assert counted([await one.one(resolved(ends_at=NOON + 1))]) == Counter(duplicate=1)
        assert await one.states() == ["resolved", "open"]
        assert len(await one.items()) == 4
        assert await one.outcomes() == {"accepted": 3, "duplicate": 3}


async def delivered(one: Scene, messages: list[Delivery], draw: random.Random, faults: float) -> Counter[str]:
    """Deliver in groups until each is acknowledged, through commits that fail; return what commits had taken."""
    taken: Counter[str] = Counter()
    while messages:
        group, messages = messages[: draw.randrange(1, 6)], messages[6:]
        waiting = list(group)
        while waiting:
            if draw.random() < faults:
                one.store.plan.append(draw.choice(["before", "during", "lost"]))
            done = one.store.done
            told = await asyncio.gather(*map(one.intake.take, waiting), return_exceptions=True)
            if one.store.done > done:
                taken["alerts"] += sum(len(each.alerts) for each in waiting)
                taken["quarantined"] += sum(len(each.quarantined) for each in waiting)
            assert all(isinstance(each, StoreError | intakes.Receipt) for each in told)
            waiting = [each for each, how in zip(waiting, told, strict=True) if isinstance(how, BaseException)]
    return taken


@pytest.mark.parametrize("faults", [0.01, 0.3])
async def test_f05_nothing_is_lost_or_doubled_by_a_store_that_fails(store: Store, faults: float) -> None:
    """What is sent again until it is acknowledged is there once, and the outcomes add up to what commits took."""
    draw = random.Random(f"f05 {faults}")  # noqa: S311 - no secret
    users = [f"user-{number:02}" for number in range(30)]
    messages = [
        delivery(
            *(firing(user) for user in draw.sample(users, 3)),
            quarantined=(Quarantined(3, "bad_labels", "its labels are none"),) if draw.random() < 0.1 else (),
        )
        for _ in range(300)
    ]
    seen = {alert.fingerprint for at in range(0, 300, 6) for each in messages[at : at + 1] for alert in each.alerts}
    async with scene(store, terms(rule(*TWO_STEPS))) as one:
        taken = await delivered(one, messages, draw, faults)
        outcomes = await one.outcomes()
        assert sum(outcomes.values()) == sum(taken.values())
        assert outcomes.get("quarantined", 0) == taken["quarantined"]
        found = await led_to(store, [f"of-{user}" for user in users])
        assert all(items in ([2], []) for items in found.values())
        assert all(found[fingerprint] == [2] for fingerprint in seen)


def test_f17_one_incident_an_episode_however_it_is_delivered(empty: Any, tmp_path: Any) -> None:
    """2,000 histories of pairs, retries, repeats, other groups and starts 15 s apart, through commits that fail."""
    shutil.copytree(empty.parent, tmp_path / "data")
    with asyncio.Runner() as runner:
        url = f"sqlite:///{tmp_path / 'data' / empty.name}"
        store = runner.run(Store.open(StoreOptions.from_scalar(url), FakeClock(), exclusive=False))
        made = iter(range(1_000_000))

        # A seed does not shrink: another one is another story.
        @settings(
            max_examples=4,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],
        )
        @given(st.integers(0, 2**32))
        def play(seed: int) -> None:
            draw = random.Random(seed)  # noqa: S311 - no secret
            histories = [history(draw, f"f-{next(made)}") for _ in range(500)]
            runner.run(_lived(store, draw, histories))

        try:
            play()
        finally:
            runner.run(store.close())


async def _lived(store: Store, draw: random.Random, histories: list[tuple[int, list[Message]]]) -> None:
    async with scene(store, terms(rule(*TWO_STEPS)), clock=FakeClock()) as one:
        taken = 0
        for at, group in timeline(draw, [message for _, messages in histories for message in messages]):
            one.clock.wall = max(one.clock.wall, at)
            one.clock.ticks = one.clock.wall
            await one.keeper.tick()
            while True:
                done = one.store.done
                if draw.random() < 0.01:
                    one.store.plan.append(draw.choice(["before", "during", "lost"]))
                told = await asyncio.gather(*map(one.intake.take, group), return_exceptions=True)
                taken += (one.store.done > done) * sum(len(each.alerts) for each in group)
                if not any(isinstance(each, BaseException) for each in told):
                    break
        names = [messages[0].alert.fingerprint for _, messages in histories]
        assert await led_to(store, names) == {
            name: [2] * episodes for name, (episodes, _) in zip(names, histories, strict=True)
        }
        assert sum((await one.outcomes()).values()) == taken


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
async def test_f17_two_replicas_are_told_the_same_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """Both take it, without an error to anybody: one incident each and one item a step."""
    stores = [await open_store(url) for _ in range(2)]
    told = terms(rule(*TWO_STEPS))
    draw = random.Random(17)  # noqa: S311 - no secret
    async with scene(stores[0], told) as one, scene(stores[1], told) as other:
        sent: Counter[str] = Counter()
        for turn in range(6):
            users = [f"{turn}-{number:02}" for number in range(40)]
            ends = [f"{turn - 1}-{number:02}" for number in range(40)] if turn else []
            alerts = [*map(firing, users), *(resolved(user, NOON + 1) for user in ends)]
            both = []
            for replica in (one, other):
                mixed = draw.sample(alerts, len(alerts))
                both.append(replica.take(*(delivery(*mixed[at : at + 8]) for at in range(0, len(mixed), 8))))
            for receipts in await asyncio.gather(*both):
                sent += counted(receipts)
        assert sent == Counter(accepted=6 * 40 + 5 * 40, duplicate=6 * 40 + 5 * 40)
        assert Counter(await one.states()) == Counter(resolved=200, open=40)
        names = [f"of-{turn}-{number:02}" for turn in range(6) for number in range(40)]
        assert await led_to(stores[0], names) == {name: [2] for name in names}
        for turn in range(8):
            alerts = [firing(f"alone-{turn}-{number:02}") for number in range(30)]
            sent += counted(await asyncio.gather(one.one(*alerts), other.one(*alerts[::-1])))
        assert len(await one.items()) == 2 * (240 + 240)
        outcomes = Counter(await one.outcomes()) + Counter(await other.outcomes())
        assert outcomes == sent


POISON = {
    "a lone surrogate": {"labels": {"alertname": "SyncFailed", "user": "ada", "bad": "\ud800"}},
    "a NUL": {"generator_url": "http://p/\x00"},
    "a fingerprint that is too long": {"fingerprint": "f" * 65},
    "labels that are too long": {"annotations": {"summary": "x" * 70_000}},
}


async def test_what_the_store_refuses_keeps_no_other_out(url: str, open_store: Callable[..., Any]) -> None:
    """Whatever the engine makes of one delivery, all others of its group are stored, each once."""
    store = await open_store(url)
    outcomes: Counter[str] = Counter()
    async with scene(store, terms(rule(*TWO_STEPS))) as one:
        for poison, values in POISON.items():
            bad: Any = replace(firing(poison), **values)
            users = [f"{poison[:20]}-{number:02}" for number in range(20)]
            for turn in range(2):
                sent = [delivery(firing(user)) for user in users]
                sent.insert(7, delivery(firing(users[7]), bad))
                told = await asyncio.gather(*map(one.intake.take, sent), return_exceptions=True)
                refused = [at for at, each in enumerate(told) if isinstance(each, StoreError)]
                assert refused in ([7], [] if poison != "a lone surrogate" else [7])
                taken = 22 - 2 * len(refused)
                fresh = 0 if turn else 21 - len(refused)
                outcomes += Counter(accepted=fresh, duplicate=taken - fresh)
            names = [f"of-{user}" for user in users]
            assert await led_to(store, names) == {name: [2] for name in names}
        assert await one.outcomes() == outcomes


async def test_one_poisoned_delivery_costs_few_transactions(store: Store) -> None:
    """It is found by halves: a storm of good ones beside it is not written one by one."""
    async with scene(store) as one:
        sent = [delivery(firing(f"{number:03}")) for number in range(256)]
        sent[100] = delivery(replace(firing("bad"), labels={"bad": "\ud800"}))
        told = await asyncio.gather(*map(one.intake.take, sent), return_exceptions=True)
        assert [at for at, each in enumerate(told) if isinstance(each, BaseException)] == [100]
        assert one.store.done <= 12


async def test_what_is_too_much_is_refused_and_taken_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a sender is asked to come again, nothing of it is kept; afterwards there is room."""
    monkeypatch.setattr(intakes, "WAITING", 50)
    async with scene(store) as one:
        sent = [delivery(*(firing(f"{sender}-{number}") for number in range(10))) for sender in range(8)]
        told = await asyncio.gather(*map(one.intake.take, sent), return_exceptions=True)
        assert [isinstance(each, OverloadedError) for each in told] == [False] * 5 + [True] * 3
        assert "again" in str(told[-1])
        assert await one.outcomes() == {"accepted": 50}
        assert counted(await one.take(*sent[5:])) == Counter(accepted=30)
        one.store.plan.append("during")
        told = await asyncio.gather(*map(one.intake.take, sent), return_exceptions=True)
        assert Counter(type(each).__name__ for each in told) == Counter(StoreError=5, OverloadedError=3)
        assert counted(await one.take(*sent[:5])) == Counter(duplicate=50)


async def test_one_delivery_may_be_larger_than_the_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else waits it is taken: else its sender could never deliver it."""
    monkeypatch.setattr(intakes, "WAITING", 5)
    monkeypatch.setattr(intakes, "BATCH", 3)
    async with scene(store) as one:
        large = delivery(*(firing(f"{number}") for number in range(10)))
        assert counted([await one.intake.take(large)]) == Counter(accepted=10)
        told = await asyncio.gather(
            *(one.intake.take(each) for each in (large, delivery(firing("more")))), return_exceptions=True
        )
        assert isinstance(told[1], OverloadedError)


async def test_a_transaction_has_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits beyond it is the next one's; a delivery is never parted."""
    monkeypatch.setattr(intakes, "BATCH", 20)
    async with scene(store) as one:
        sizes = (8, 8, 8, 30, 1, 1, 19)
        sent = [delivery(*(firing(f"{at}-{number}") for number in range(size))) for at, size in enumerate(sizes)]
        assert [each.accepted for each in await one.take(*sent)] == [*sizes]
        assert one.store.done == 5


class Gate:
    """A store whose next transactions wait in the middle until they are let on."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def writing(self, **options: Any) -> Any:
        @contextlib.asynccontextmanager
        async def gated() -> Any:
            async with self._store.writing(**options) as connection:
                self.reached.set()
                await self.open.wait()
                yield connection

        return gated()


async def test_closing_writes_what_waits(store: Store) -> None:
    """Both what is being written and what came meanwhile; who comes afterwards is asked to come again."""
    async with scene(store) as one:
        gate = Gate(one.store)
        one.intake._store = gate  # type: ignore[assignment]  # a store with a gate
        first = asyncio.create_task(one.one(firing("first")))
        await gate.reached.wait()
        second = asyncio.create_task(one.one(firing("second")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(one.intake.close())
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await one.one(firing("third"))
        gate.open.set()
        await closing
        assert counted([await first, await second]) == Counter(accepted=2)
        assert {each.fingerprint for each in await one.incidents()} == {"of-first", "of-second"}
        await one.intake.close()


async def test_closing_does_not_wait_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store hangs every sender is told to come again, and nothing of it is stored."""
    monkeypatch.setattr(intakes, "CLOSE_SECONDS", 0.05)
    async with scene(store) as one:
        gate = Gate(one.store)
        one.intake._store = gate  # type: ignore[assignment]  # a store with a gate
        one.intake.answered(200)
        first = asyncio.create_task(one.one(firing("first")))
        await gate.reached.wait()
        second = asyncio.create_task(one.one(firing("second")))
        await asyncio.sleep(0)
        await one.intake.close()
        told = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(each) for each in told] == [OverloadedError] * 2
        assert await one.incidents() == []
        gate.open.set()
        await one.intake.flush()
        assert await one.total(DELIVERIES, "200") == 1


async def test_an_intake_that_never_started_can_be_closed(store: Store) -> None:
    """Who waits is told."""
    intake = intakes.Intake(store, FakeClock(), "me", terms())
    waiting = asyncio.create_task(intake.take(delivery(firing())))
    await asyncio.sleep(0)
    await intake.close()
    with pytest.raises(OverloadedError):
        await waiting


async def test_a_sender_that_goes_away_costs_nobody_else(store: Store) -> None:
    """Whether it waits or is being written: the others are answered, and what it sent may be stored."""
    async with scene(store) as one:
        gate = Gate(one.store)
        one.intake._store = gate  # type: ignore[assignment]  # a store with a gate
        writing = [asyncio.create_task(one.one(firing(name))) for name in ("a", "b")]
        await gate.reached.wait()
        waiting = [asyncio.create_task(one.one(firing(name))) for name in ("c", "d")]
        await asyncio.sleep(0)
        writing[0].cancel()
        waiting[0].cancel()
        gate.open.set()
        assert counted([await writing[1], await waiting[1]]) == Counter(accepted=2)
        assert counted([await one.one(*map(firing, "abcd"))]) == Counter(duplicate=4)
        assert one.intake._alerts == 0


async def test_what_was_quarantined_is_told_without_its_content(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the delivery is taken; each one is counted, and some of very many are told one by one."""
    bad = tuple(Quarantined(at, "bad_labels", "its labels are none") for at in range(100))
    async with scene(store) as one:
        receipts = await one.take(delivery(firing(), quarantined=bad), delivery(quarantined=bad[:1]))
        assert counted(receipts) == Counter(accepted=1, quarantined=101)
        assert await one.outcomes() == {"accepted": 1, "quarantined": 101}
        told = [each for each in caplog.records if "quarantined" in each.message]
        assert len(told) == receipts_.QUARANTINED_TOLD


async def test_f19_what_was_left_out_is_counted_and_never_resolved(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A group whose alerts were cut by `max_alerts` says nothing of those that are missing."""
    async with scene(store) as one:
        await one.one(firing("a"), firing("b"))
        (receipt,) = await one.take(delivery(firing("a"), truncated=7))
        assert (receipt.duplicates, receipt.truncated) == (1, 7)
        assert await one.states() == ["open", "open"]
        assert await one.total(TRUNCATED) == 7
        assert [each.message for each in caplog.records if "max_alerts" in each.message]


async def test_an_empty_delivery_is_received(store: Store) -> None:
    """It holds no alert, and yet somebody delivered: the time of the last one says so."""
    async with scene(store) as one:
        assert counted(await one.take(delivery())) == Counter()
        assert await one.total(LAST) == NOON
        one.clock.pass_(60.0)
        await one.one(firing())
        assert await one.total(LAST) == NOON + 60
        assert await one.outcomes() == {"accepted": 1}


async def test_answers_are_counted_with_the_next_transaction(store: Store) -> None:
    """Or by a flush; what could not be written is kept for the next time, and no total falls."""
    async with scene(store) as one:
        for code in (200, 200, 401):
            one.intake.answered(code)
        one.store.plan.append("before")
        with pytest.raises(StoreError):
            await one.intake.flush()
        one.store.plan.append("during")
        with pytest.raises(StoreError):
            await one.one(firing())
        assert await one.total(DELIVERIES, "200") == 0
        await one.one(firing())
        assert (await one.total(DELIVERIES, "200"), await one.total(DELIVERIES, "401")) == (2, 1)
        one.intake.answered(503)
        await one.intake.flush()
        done = one.store.done
        await one.intake.flush()
        assert (await one.total(DELIVERIES, "503"), one.store.done) == (1, done)


async def test_counters_never_fall(store: Store) -> None:
    """Whichever commits fail, and in whichever way, each total that is read is at least the one before."""
    draw = random.Random(9)  # noqa: S311 - no secret
    shown: Counter[Any] = Counter()
    async with scene(store) as one:
        for turn in range(60):
            one.store.plan.append(draw.choice(["well", "before", "during", "lost"]))
            one.intake.answered(200)
            alert = firing(f"{turn % 7}", NOON + turn) if turn % 3 else resolved(f"{turn % 7}", NOON + turn)
            await asyncio.gather(one.one(alert), return_exceptions=True)
            found = Counter[Any](await one.outcomes())
            found[DELIVERIES] = int(await one.total(DELIVERIES, "200"))
            assert found >= shown
            shown = found


async def test_terms_are_exchanged_between_batches(store: Store) -> None:
    """A batch under way ends with the terms that it began with; the next one has the new ones."""
    async with scene(store) as one:
        gate = Gate(one.store)
        one.intake._store = gate  # type: ignore[assignment]  # a store with a gate
        first = asyncio.create_task(one.one(firing("first")))
        await gate.reached.wait()
        second = asyncio.create_task(one.one(firing("second")))
        await asyncio.sleep(0)
        one.intake.terms = terms(rule(replace(ENQUEUE, queue="other")))
        gate.open.set()
        await asyncio.gather(first, second)
        assert [(each.key, each.queue) for each in await one.items()] == [("first", "sync"), ("second", "other")]


def test_receipts_name_every_outcome() -> None:
    """What a delivery is told of its alerts are the outcomes that are counted."""
    receipt: Receipt = intakes.Receipt(1, 2, 3, 4, 5)
    assert dict(scenes.counted([receipt])) == {
        "accepted": 1,
        "duplicate": 2,
        "late": 3,
        "quarantined": 4,
        "refused": 5,
    }
