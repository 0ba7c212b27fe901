"""What goes wrong beside the action: the store, the lease, a crash, the end of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from exporter.store import action_runs, backlog
from exporter.worker.leases import LEASE, MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE, FALSE = "verify: {kind: command, argv: [/bin/true]}", "verify: {kind: command, argv: [/bin/false]}"


def one_queue(*options: str) -> str:
    """Return a configuration with the queue q, in the mode auto."""
    return f"mode: auto\nqueues:\n  q: {{{', '.join(options)}}}\n"


async def begun(here: Any, worker: Any, marks: Any) -> int:
    """Let an item begin and its action have added its mark; return the item's number."""
    number: int = await here.add()
    here.clock.pass_(1.0)
    if worker._serving is None:
        await worker.tick()
    worker.wake()
    while marks.count == 0:  # noqa: ASYNC110 -- a process says it, not the loop
        await asyncio.sleep(0.01)
    return number


async def test_a_store_that_is_away_is_told_later(place: Callable[..., Any], marks: Any) -> None:
    """How a run ended is kept until the store takes it, and is counted once; the trouble is said until then."""
    here = await place(one_queue(marks.action()))
    worker = here.worker()
    number = await here.add()
    here.clock.pass_(1.0)
    await worker.tick()
    await here.ended(worker)
    for how in ("before", "during", "before"):
        here.store.plan.append(how)
        await worker.tick()
        assert worker.trouble is not None
        assert await here.state(number) == "running"
    await worker.tick()
    assert worker.trouble is None
    assert (await here.state(number), marks.count) == ("done", 1)
    assert await here.counted() == {("q", "command", "done"): 1.0}


async def test_an_answer_that_was_lost_changes_nothing(url: str, place: Callable[..., Any], marks: Any) -> None:
    """A commit that was done and not told: no item runs twice or never, and nothing is counted twice (F05)."""
    here = await place(one_queue(marks.action()), url)
    worker = here.worker()
    await worker.tick()
    number = await here.add()
    here.store.plan.append("lost")
    here.clock.pass_(1.0)
    await worker.tick()
    assert (await here.state(number), worker.leases.runs, marks.count) == ("running", {}, 0)
    await here.turn(worker)
    await worker.tick()
    await here.ended(worker)
    here.store.plan.append("lost")
    await worker.tick()
    await worker.tick()
    assert (await here.state(number), marks.count) == ("done", 1)
    assert [(run.attempt, run.outcome) for run in await action_runs.of(here.store, number)] == [(1, "done")]
    assert await here.counted() == {("q", "command", "done"): 1.0}
    assert worker.leases.runs == {}


async def test_a_lease_is_renewed_while_its_action_runs(url: str, place: Callable[..., Any], marks: Any) -> None:
    """Each third of it; nobody can take the item over for as long as that goes on."""
    here = await place(one_queue(marks.action("exec sleep 60")), url)
    worker, other = here.worker(), here.worker("r2")
    number = await begun(here, worker, marks)
    for _ in range(5):
        await here.put(number, lease_until=here.clock.time() + 1.0)
        here.clock.pass_(LEASE / 3 + 1)
        worker.leases.keep()
        await worker.leases._renewing
        assert await other._told.leases.take_over(None, ()) == []
    assert len(worker.leases.acting()) == 1


async def test_what_cannot_be_renewed_is_stopped_in_time(place: Callable[..., Any], marks: Any) -> None:
    """Before anybody may take it over; that its end was not seen is written once the store is back."""
    here = await place(one_queue(marks.action("exec sleep 60")))
    worker = here.worker()
    number = await begun(here, worker, marks)
    for _ in range(2):
        here.store.plan.append("before")
        here.clock.pass_((LEASE - MARGIN) / 2)
        assert len(worker.leases.acting()) == 1
        worker.leases.keep()
        await worker.leases._renewing
    await here.ended(worker)
    assert worker.leases.acting() == []
    await worker.tick()
    item = await here.item(number)
    assert (item.state, marks.count) == ("dead", 1)
    assert "the store could not be reached" in (item.explanation or "")
    assert await here.counted() == {("q", "command", "interrupted"): 1.0}


async def test_what_another_took_over_is_left_to_it(url: str, place: Callable[..., Any], marks: Any) -> None:
    """The action is stopped, and what became of it here changes nothing: neither the item nor a counter."""
    here = await place(one_queue(marks.action("exec sleep 60"), TRUE), url)
    worker, other = here.worker(), here.worker("r2")
    number = await begun(here, worker, marks)
    await here.put(number, lease_until=1.0)
    other._is_new = False
    await here.turn(other, 0.0)
    assert (await here.state(number), (await here.item(number)).fence) == ("done", 2)
    before, counted = await here.item(number), await here.counted()
    await worker.leases.renew()
    await asyncio.wait(worker.leases.acting() or {asyncio.ensure_future(asyncio.sleep(0))}, timeout=20)
    await worker.tick()
    assert worker.leases.runs == {}
    assert (await here.item(number), await here.counted()) == (before, counted)
    assert counted == {("q", "command", "interrupted"): 1.0}


@pytest.mark.parametrize(
    ("options", "state", "runs"),
    [
        ((), "dead", 1),
        (("interrupted: retry", "backoff: [0s]"), "done", 2),
        ((TRUE,), "done", 1),
        ((FALSE, "backoff: [0s]", "attempts: 2"), "dead", 2),
        ((FALSE, "attempts: 1"), "dead", 1),
    ],
)
async def test_a_run_whose_end_nobody_saw(
    place: Callable[..., Any], marks: Any, options: tuple[str, ...], state: str, runs: int
) -> None:
    """After a kill the probe decides, else the queue; nothing is run again before (I7)."""
    here = await place(one_queue(marks.action(), *options))
    killed = here.worker("old")
    number = await begun(here, killed, marks)
    await here.ended(killed)
    killed.leases.runs.clear()  # it was killed before it wrote how the run ended
    await here.put(number, lease_until=1.0)
    worker = here.worker()
    for _ in range(3):
        await here.turn(worker)
    item = await here.item(number)
    assert (item.state, marks.count) == (state, runs)
    found = await action_runs.of(here.store, number)
    assert found[0].outcome == "interrupted"
    assert len(found) == runs
    assert (await here.counted())["q", "command", "interrupted"] == 1.0


async def test_what_an_earlier_server_left_in_a_file_is_ours_at_once(place: Callable[..., Any], marks: Any) -> None:
    """Its lease lasts still, but an SQLite store has one server; a queue without an action cannot go on."""
    here = await place(one_queue(marks.action(), TRUE))
    killed = here.worker("old")
    number = await begun(here, killed, marks)
    await here.ended(killed)
    killed.leases.runs.clear()
    worker = here.worker()
    here.adopt(worker, "mode: auto\nqueues: {q: {}}\n")
    await here.turn(worker)
    item = await here.item(number)
    assert item.state == "dead"
    assert "no action any more" in (item.explanation or "")


async def test_a_clock_that_was_set_back_stalls_nothing(url: str, place: Callable[..., Any], marks: Any) -> None:
    """By a day: what waits for its next attempt waits as long as it would have, and what is new is due (I14)."""
    here = await place(one_queue("action: {kind: command, argv: [/bin/false]}", "backoff: [10s]"), url)
    worker = here.worker()
    number = await here.add()
    await here.turn(worker)
    here.clock.set(-86_400.0)
    await here.turn(worker, 2.0)
    assert (await here.item(number)).attempts == 1
    await here.turn(worker, 9.0)
    assert (await here.item(number)).attempts == 2
    here.clock.set(86_400.0)
    await here.turn(worker, 2.0)
    assert (await here.item(number)).attempts == 3


async def test_at_the_end_what_runs_may_end(place: Callable[..., Any], marks: Any) -> None:
    """Within the grace; nothing new begins."""
    here = await place(one_queue(marks.action("sleep 0.3")))
    worker = here.worker()
    worker.start()
    number = await begun(here, worker, marks)
    second = await here.add("second")
    worker.wake()
    await worker.close(20.0)
    assert (await here.state(number), await here.state(second), marks.count) == ("done", "pending", 1)


@pytest.mark.parametrize(
    ("options", "state"), [((), "dead"), (("interrupted: retry",), "failed"), ((TRUE,), "done"), ((FALSE,), "failed")]
)
async def test_what_does_not_end_in_time_is_stopped_and_judged(
    place: Callable[..., Any], marks: Any, options: tuple[str, ...], state: str
) -> None:
    """As after a crash, and its lease is given back at once; no process of it is left."""
    here = await place(one_queue(marks.action("exec sleep 60"), *options))
    worker = here.worker()
    worker.start()
    number = await begun(here, worker, marks)
    await worker.close(0.0)
    item = await here.item(number)
    assert (item.state, item.lease_owner, marks.count) == (state, None, 1)
    assert "the server was stopped" in (item.explanation or "")
    assert await here.counted() == {("q", "command", "interrupted"): 1.0}
    assert worker.leases.acting() == []


async def test_what_cannot_be_written_at_the_end_is_left_to_the_next(place: Callable[..., Any], marks: Any) -> None:
    """The end of the server does not wait for a store that is away."""
    here = await place(one_queue(marks.action(), TRUE))
    worker = here.worker()
    number = await here.add()
    here.clock.pass_(1.0)
    await worker.tick()
    await here.ended(worker)
    here.store.plan.extend(["before"] * 20)
    await worker.close(0.0)
    here.store.plan.clear()
    assert await here.state(number) == "running"
    await here.turn(here.worker("r2"))
    assert (await here.state(number), marks.count) == ("done", 1)
    assert await backlog.counts(here.store) == {("q", "done"): 1}
