"""The life of items in a worker: acted on, verified, tried again, held back, and told of, with counts that are true."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, incident, new, resolve

from exporter import config
from exporter.store import action_runs, audit, backlog
from exporter.worker.gate import MODE_AGAIN, WINDOW_AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable

ECHO = "action: {kind: command, argv: [/bin/echo, did, '{key}']}"
FALSE = "action: {kind: command, argv: [/bin/false]}"


def one_queue(*options: str, mode: str = "auto", more: str = "") -> str:
    """Return a configuration with the queue q."""
    return f"mode: {mode}\nqueues:\n  q: {{{', '.join(options)}}}\n{more}"


async def test_an_item_is_done(url: str, place: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """The plan that was logged is the one that is kept with the run; what it said and how long it took is there too."""
    here = await place(one_queue(ECHO), url)
    worker = here.worker()
    number = await here.add("a key")
    with caplog.at_level(logging.INFO):
        await here.turn(worker)
    item = await here.item(number)
    assert (item.state, item.attempts, item.lease_owner) == ("done", 1, None)
    (run,) = await action_runs.of(here.store, number)
    assert (run.outcome, run.output, run.replica, run.kind) == ("done", "did a key\n", "r1", "command")
    assert run.plan == "/bin/echo did 'a key'"
    assert await here.counted() == {("q", "command", "done"): 1.0}
    said = [(line.getMessage(), line.fields) for line in caplog.records if line.name == "exporter.worker"]
    assert said[0] == (f"runs: {run.plan}", {"queue": "q", "item": number, "key": "a key", "attempt": 1})
    assert (said[1][1]["outcome"], said[1][1]["state"]) == ("done", "done")
    assert worker.trouble is None
    assert worker.leases.runs == {}


async def test_a_failed_item_waits_and_is_dead_in_the_end(url: str, place: Callable[..., Any]) -> None:
    """Each attempt waits for its time; a dead item is tried again by hand, from the first attempt."""
    here = await place(one_queue(FALSE, "attempts: 3", "backoff: [10s, 20s]"), url)
    worker = here.worker()
    number = await here.add()
    seen = []
    for seconds in (1.0, 9.0, 2.0, 19.0, 2.0, 100.0):
        await here.turn(worker, seconds)
        item = await here.item(number)
        seen.append((item.state, item.attempts))
    assert seen == [("failed", 1), ("failed", 1), ("failed", 2), ("failed", 2), ("dead", 3), ("dead", 3)]
    assert await here.counted() == {("q", "command", "retry"): 3.0}
    assert [entry.verb for entry in await audit.of(here.store, "item", number)] == ["added", "dead"]
    assert await backlog.retry(here.store, [number], actor="cli:ann", now=here.clock.time()) == [number]
    await here.turn(worker)
    item = await here.item(number)
    assert (item.state, item.attempts, item.fence) == ("failed", 1, 4)


@pytest.mark.parametrize(
    ("action", "verify", "state", "outcome"),
    [
        (ECHO, "/bin/true", "done", "done"),
        (ECHO, "/bin/false", "failed", "unverified"),
        (FALSE, "/bin/true", "failed", "retry"),
        ("action: {kind: command, argv: [/bin/echo, '{missing}']}", "/bin/true", "dead", "give_up"),
    ],
)
async def test_the_probe_has_the_last_word(
    place: Callable[..., Any], action: str, verify: str, state: str, outcome: str
) -> None:
    """Of what the action says that it did; what cannot be planned is given up before anything runs."""
    here = await place(one_queue(action, f"verify: {{kind: command, argv: [{verify}]}}"))
    number = await here.add()
    await here.turn(here.worker())
    assert await here.state(number) == state
    (run,) = await action_runs.of(here.store, number)
    assert run.outcome == outcome


async def test_what_is_held_by_a_window_is_done_once_when_it_ends(url: str, place: Callable[..., Any]) -> None:
    """It says why, is counted once however often it is looked at, and is audited."""
    window = "windows:\n  - {all: true, start: '2026-05-01T11:00:00Z', end: '2026-05-01T12:01:00Z', comment: upgrade}\n"
    here = await place(one_queue(ECHO, more=window), url)
    worker = here.worker()
    number = await here.add()
    for _ in range(3):
        await here.turn(worker, WINDOW_AGAIN + 1)
        item = await here.item(number)
        assert (item.state, item.hold, item.attempts) == ("held", "window", 0)
        assert "upgrade" in (item.explanation or "")
    assert await here.counted() == {("window",): 1.0}
    for _ in range(3):
        await here.turn(worker, 15.0)
    assert await here.state(number) == "done"
    assert await here.counted() == {("window",): 1.0, ("q", "command", "done"): 1.0}
    assert [entry.verb for entry in await audit.of(here.store, "item", number)] == ["added", "held"]


async def test_until_the_windows_are_known_nothing_begins(place: Callable[..., Any]) -> None:
    """Where the store was not read yet, a window of it may be open."""
    here = await place(one_queue(ECHO))
    worker = here.worker()
    number = await here.add()
    here.maintenance.known = False
    await here.turn(worker)
    assert await here.state(number) == "pending"
    here.maintenance.known = True
    await here.turn(worker)
    assert await here.state(number) == "done"


async def test_a_person_releases_what_a_rule_led_to(url: str, place: Callable[..., Any]) -> None:
    """In the mode approve; what a person added is released by that.

    The intake stores such items held: they are counted there, and nobody was told of them yet.
    """
    notify = "notify:\n  - {name: desk, on: backlog, action: {kind: command, argv: [/bin/true]}}\n"
    here = await place(one_queue(ECHO, "concurrency: 2", mode="approve", more=notify), url)
    worker = here.worker()
    now = here.clock.time()
    await enqueue(here.store, [new("rule", due_at=now), new("stored", due_at=now, state="held", hold="mode")], now)
    numbers = {item.key: item.id for item in await backlog.listed(here.store)}
    by_hand = await here.add("person")
    for _ in range(2):
        await here.turn(worker, MODE_AGAIN + 1)
    assert await here.state(by_hand) == "done"
    assert [(await here.item(one)).hold for one in numbers.values()] == ["mode", "mode"]
    assert (await here.counted())["mode",] == 1.0
    told = await backlog.listed(here.store, queue="notifications")
    assert sorted(item.key for item in told) == sorted(f"desk:backlog:{one}:held" for one in numbers.values())
    await backlog.approve(here.store, list(numbers.values()), actor="cli:ann", now=here.clock.time())
    await here.turn(worker)
    assert [await here.state(one) for one in numbers.values()] == ["done", "done"]


async def test_in_the_mode_observe_nothing_runs_until_it_changes(place: Callable[..., Any]) -> None:
    """Then once: what a person added, and what was stored while the mode was another."""
    here = await place(one_queue(ECHO, mode="observe"))
    worker = here.worker()
    numbers = [await here.add("a"), await here.add("b")]
    await here.turn(worker)
    assert [(await here.item(one)).hold for one in numbers] == ["mode", "mode"]
    here.adopt(worker, one_queue(ECHO))
    for _ in numbers:
        await here.turn(worker)
    assert [await here.state(one) for one in numbers] == ["done", "done"]
    assert (await here.counted())["q", "command", "done"] == 2.0


MODES = """
mode: {whole}
queues: {{q: {{action: {{kind: command, argv: [/bin/echo]}}, mode: {queue}}}}}
rules:
  - {{name: new, matchers: [a=b], action: none, mode: {new}}}
  - {{name: sync, action: enqueue, queue: q, mode: {rule}}}
"""


@pytest.mark.parametrize(
    ("before", "after", "is_due"),
    [
        ({"whole": "observe"}, {}, True),
        ({"queue": "observe"}, {}, True),
        ({"rule": "approve"}, {}, True),
        ({"rule": "approve"}, {"rule": "observe"}, True),
        ({"rule": "approve"}, {"rule": "approve"}, False),
        ({"rule": "approve"}, {"rule": "approve", "new": "observe"}, True),
    ],
)
async def test_only_a_mode_that_changed_makes_what_it_held_due(
    url: str, place: Callable[..., Any], before: dict[str, str], after: dict[str, str], *, is_due: bool
) -> None:
    """A reload of the same modes writes nothing; what is held for another reason, or waits, is left as it is."""
    auto = dict.fromkeys(("whole", "queue", "rule", "new"), "auto")
    here = await place(MODES.format(**auto | before), url)
    worker, now = here.worker(), here.clock.time()
    far = {"due_at": now + 900, "rule": "sync"}
    held = [new("mode", state="held", hold="mode", **far), new("window", state="held", hold="window", **far)]
    await here.turn(worker)
    await enqueue(here.store, [*held, new("failed", state="failed", **far)], now)
    here.adopt(worker, MODES.format(**auto | after))
    await here.turn(worker)
    items = {item.key: item for item in await backlog.listed(here.store)}
    assert {key for key, item in items.items() if item.due_at != now + 900} == ({"mode"} if is_due else set())


async def test_at_its_start_a_server_looks_at_all_that_a_mode_holds(place: Callable[..., Any]) -> None:
    """The mode may have changed while it was down; looked at once more, it waits as long as any."""
    here = await place(one_queue(ECHO, mode="observe"))
    number = await here.add()
    await here.turn(here.worker())
    await here.turn(here.worker())
    assert (await here.item(number)).due_at == here.clock.time() + MODE_AGAIN
    here.configuration = config.parse(one_queue(ECHO), name="test.yml")
    await here.turn(here.worker())
    assert await here.state(number) == "done"


async def test_nothing_is_run_for_an_alert_that_has_resolved(url: str, place: Callable[..., Any]) -> None:
    """Decided in the transaction that claims (I5), where the intake did not say so before."""
    here = await place(one_queue(ECHO), url)
    worker = here.worker()
    over, still = await incident(here.store, "over"), await incident(here.store, "still")
    now = here.clock.time()
    items = [new(f"{one}", incident_id=one, rule="r", step=0, due_at=now) for one in (over, still)]
    await enqueue(here.store, items, now)
    await resolve(here.store, over)
    await here.turn(worker)
    found = {item.incident_id: item for item in await backlog.listed(here.store)}
    assert (found[over].state, found[over].hold) == ("cancelled", "resolved")
    assert found[still].state == "done"
    assert (await here.counted())["resolved",] == 1.0


@pytest.mark.parametrize(("mode", "state"), [("auto", "done"), ("observe", "cancelled")])
async def test_a_dead_item_is_told_of(place: Callable[..., Any], marks: Any, mode: str, state: str) -> None:
    """By the action of the entry whose matchers match, of which a program starts in the mode auto alone."""
    notify = (
        "notify:\n"
        f"  - {{name: desk, on: backlog, {marks.action()}}}\n"
        "  - {on: backlog, action: {kind: command, argv: [/bin/true]}, matchers: ['team=\"b\"']}\n"
        "  - {on: incident, action: {kind: command, argv: [/bin/true]}}\n"
    )
    here = await place(one_queue(FALSE, "attempts: 1", more=notify))
    worker = here.worker()
    number = await here.add("a key", context={"labels": {"team": "a"}})
    here.clock.pass_(1.0)
    await worker.tick()
    await here.ended(worker)
    here.adopt(worker, one_queue(FALSE, "attempts: 1", more=notify, mode=mode))
    await here.turn(worker)
    assert await here.state(number) == "dead"
    (told,) = await backlog.listed(here.store, queue="notifications")
    assert told.key == f"desk:backlog:{number}:dead"
    assert "q a key" in told.reason
    assert told.item.labels == {"team": "a"}
    await here.turn(worker)
    assert (await here.state(told.id), marks.count) == (state, int(mode == "auto"))


async def test_as_many_at_once_as_the_queue_lets(place: Callable[..., Any], marks: Any) -> None:
    """Not one more; as soon as one has ended the next one begins."""
    here = await place(one_queue(marks.action(), "concurrency: 2"))
    worker = here.worker()
    for key in "abcde":
        await here.add(key)
    here.clock.pass_(1.0)
    await worker.tick()
    await worker.tick()
    running = []
    while tasks := worker.leases.acting():
        running.append(len(worker.leases.runs))
        await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        await worker.tick()
    await worker.tick()
    assert (running[0], max(running)) == (2, 2)
    assert marks.count == 5
    assert await backlog.counts(here.store) == {("q", "done"): 5}


async def test_no_faster_than_the_rate(place: Callable[..., Any]) -> None:
    """Two in ten seconds, however many places there are."""
    here = await place(one_queue(ECHO, "concurrency: 5", "rate: {items: 2, per: 10s}"))
    worker = here.worker()
    for key in "abcde":
        await here.add(key)
    done = []
    for seconds in (1.0, 1.0, 9.0, 1.0, 10.0):
        await here.turn(worker, seconds)
        done.append((await backlog.counts(here.store)).get(("q", "done"), 0))
    assert done == [2, 2, 4, 4, 5]


async def test_what_runs_ends_under_the_configuration_that_it_began_under(
    place: Callable[..., Any], marks: Any
) -> None:
    """A queue that lost its action is no longer worked off."""
    here = await place(one_queue(marks.action()))
    worker = here.worker()
    first, second = await here.add("a"), await here.add("b")
    here.clock.pass_(1.0)
    await worker.tick()
    here.adopt(worker, "mode: auto\nqueues: {q: {}}\n")
    await here.ended(worker)
    await here.turn(worker)
    assert (await here.state(first), await here.state(second)) == ("done", "pending")
    assert marks.count == 1


async def test_an_idle_worker_asks_the_store_one_thing_a_second(url: str, place: Callable[..., Any]) -> None:
    """For all queues together; of a file that tells of every commit not even that, until half a minute has passed."""
    queues = "".join(f"  q{place}: {{{ECHO}}}\n" for place in range(5))
    here = await place(f"mode: auto\nqueues:\n{queues}", url)
    here.store.mark = here.store._store.mark  # the store's own, where that of the tests tells of nothing
    worker = here.worker()
    await worker.tick()
    asked: list[str] = []
    reading, writing = here.store._store.reading, here.store._store.writing
    here.store._store.reading = lambda **more: (asked.append("reading"), reading(**more))[1]
    here.store._store.writing = lambda **more: (asked.append("writing"), writing(**more))[1]
    for _ in range(4):
        here.clock.pass_(0.5)
        await worker.tick()
    is_file = here.store.dialect == "sqlite"
    assert asked == ([] if is_file else ["reading", "reading"])
    await here.add("a")
    asked.clear()
    here.clock.pass_(1.0)
    await worker.tick()
    assert asked[:1] == ["reading"], "something was written"
    await here.ended(worker)
    await here.turn(worker)
    asked.clear()
    here.clock.pass_(31.0)
    await worker.tick()
    assert asked == ["reading"]


async def test_a_worker_that_was_started_works_by_itself(
    open_store: Callable[..., Any], place: Callable[..., Any]
) -> None:
    """It begins what is stored when it is woken, and what is due later by itself; it ends when it is told to."""
    here = await place(one_queue(ECHO, "concurrency: 4"))
    worker = here.worker()
    heard: asyncio.Queue[str] = asyncio.Queue()
    worker.heard = lambda one: heard.put_nowait(one.finish.item.key)
    worker.start()
    for key in "abcdef":
        await here.add(key)
    worker.wake()
    found = [await asyncio.wait_for(heard.get(), 20) for _ in range(6)]
    assert sorted(found) == list("abcdef")
    await worker.close(1.0)
    number = await here.add("late")
    worker.wake()
    assert worker.leases.runs == {}
    assert await here.state(number) == "pending"
