"""A claimed item is one owner's until its lease ends; whoever comes late changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import BEGIN, enqueue, incident, new, put, resolve, states, the

from exporter.store import action_runs, backlog, backlog_claims, backlog_takeover
from exporter.store.action_runs import ActionRun, Ended
from exporter.store.backlog_claims import LOOKED_AT, Begin, Claimed, Finish, Holder, KeepBack, Wish
from exporter.store.backlog_due import outlook

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store

ANN, BOB = Holder("ann#1", "ann", 30.0), Holder("bob#1", "bob", 30.0)


async def claim(
    store: Store,
    holder: Holder = ANN,
    limit: int = 10,
    decide: Callable[[BacklogItem, str | None], Begin | KeepBack] = lambda *_: BEGIN,
    **more: Any,
) -> Claimed:
    """Claim items of the queue q in a transaction of its own."""
    async with store.writing() as connection:
        return await backlog_claims.claimed(connection, store, holder, Wish("q", limit, **more), decide)


async def finish(store: Store, item: BacklogItem, holder: Holder = ANN, state: Any = "done", at: float = 300.0) -> bool:
    """Say how a run ended; return whether that was taken."""
    ended = Ended(item.id, item.fence, "done", "it went well", "output", at)
    async with store.writing() as connection:
        return bool(await backlog_claims.finished(connection, holder.owner, [Finish(item, state, "why", at, ended)]))


async def overdue(store: Store, holder: Holder = BOB, **more: Any) -> list[BacklogItem]:
    """Take over what is overdue of every queue."""
    async with store.writing() as connection:
        items, _ = await backlog_takeover.overdue(connection, store, holder, **{"queues": None} | more)
        return items


async def test_a_claim_is_a_run_that_begins(url: str, open_store: Callable[..., Any]) -> None:
    """The item runs, in its first attempt, with a lease of its owner; the run says by whom and what exactly."""
    store = await open_store(url)
    await enqueue(store, [new("a")])
    (item,) = (await claim(store)).begun
    stored = await the(store, item.id)
    assert (stored.state, stored.attempts, stored.fence, stored.lease_owner) == ("running", 1, 1, "ann#1")
    assert stored.lease_until is not None
    assert abs(stored.lease_until - 30.0 - store.clock.time()) < 25.0
    assert item == stored.__class__(
        **{name: getattr(stored, name) for name in stored.__dataclass_fields__} | {"lease_until": None}
    )
    assert item.item.attempt == 1
    (run,) = await action_runs.of(store, item.id)
    assert (run.attempt, run.fence, run.replica, run.kind, run.plan) == (1, 1, "ann", "command", "/bin/true")
    assert run.outcome is None
    assert (await claim(store, BOB)).begun == []


async def test_the_longest_due_first_whatever_its_state(url: str, open_store: Callable[..., Any]) -> None:
    """What waits, waits again after a failure, or is held, in one order; what is not due yet or over is left."""
    store = await open_store(url)
    due = [("d", "pending", 4.0), ("a", "failed", 1.0), ("c", "held", 3.0), ("b", "pending", 2.0)]
    rest = [("later", "failed", 1e11), ("done", "done", 0.0), ("dead", "dead", 0.0), ("other", "cancelled", 0.0)]
    await enqueue(store, [new(key, state=state, due_at=at) for key, state, at in due + rest])
    await enqueue(store, [new("elsewhere", queue="other")])
    begun = [item.key for _ in range(3) for item in (await claim(store, limit=2)).begun]
    assert begun == ["a", "b", "c", "d"]


async def test_only_the_states_asked_for_and_by_a_moment(url: str, open_store: Callable[..., Any]) -> None:
    """By hand, what the mode holds is taken whenever it is looked at again."""
    store = await open_store(url)
    await enqueue(store, [new("p", due_at=5.0), new("f", state="failed", due_at=6.0)])
    await enqueue(store, [new("h", state="held", hold="mode", due_at=1e11), new("w", state="held", hold="window")])
    assert [item.key for item in (await claim(store, states=("failed",))).begun] == ["f"]
    assert (await claim(store, due_by=4.0)).begun == []
    assert [item.key for item in (await claim(store, due_by=99.0, by_hand=True)).begun] == ["p", "h"]


async def test_what_is_held_says_why_and_bars_nothing(url: str, open_store: Callable[..., Any]) -> None:
    """It is looked at again at its time, keeps its attempts, and what is behind it begins."""
    store = await open_store(url)
    one = await incident(store, "one")
    await enqueue(store, [new(f"held{place}", due_at=1.0) for place in range(LOOKED_AT)])
    await enqueue(store, [new("over", incident_id=one, rule="r", step=0, due_at=2.0), new("go", due_at=3.0)])
    await resolve(store, one)
    asked: list[tuple[str, str | None]] = []

    def decide(item: BacklogItem, state: str | None) -> Begin | KeepBack:
        asked.append((item.key[:4], state))
        if state == "resolved":
            return KeepBack("resolved", "it is over", None)
        return BEGIN if item.key == "go" else KeepBack("window", "until noon", 1e11)

    found = await claim(store, limit=2, decide=decide)
    assert [item.key for item in found.begun] == ["go"]
    assert len(found.held) == LOOKED_AT + 1
    assert all(one.is_news for one in found.held)
    assert ("over", "resolved") in asked
    assert ("held", None) in asked
    held = (await backlog.listed(store, key="held0"))[0]
    assert (held.state, held.hold, held.explanation, held.due_at, held.attempts) == (
        "held",
        "window",
        "until noon",
        1e11,
        0,
    )
    over = (await backlog.listed(store, key="over"))[0]
    assert (over.state, over.hold, over.finished_at is None) == ("cancelled", "resolved", False)
    await put(store, held.id, due_at=1.0)
    again = (await claim(store, decide=decide)).held
    assert [one.is_news for one in again] == [False]


async def test_a_run_that_ended_is_written_once(url: str, open_store: Callable[..., Any]) -> None:
    """The item is over, its run has an outcome and an output; a second time nothing changes."""
    store = await open_store(url)
    number, _ = await backlog.add(store, "q", "a", "why", actor="ann", now=100.0)
    (item,) = (await claim(store)).begun
    assert await finish(store, item)
    stored = await the(store, number)
    assert (stored.state, stored.explanation, stored.finished_at, stored.active_key) == ("done", "why", 300.0, None)
    assert (stored.lease_owner, stored.lease_until, stored.fence) == (None, None, 1)
    (run,) = await action_runs.of(store, number)
    assert (run.outcome, run.detail, run.output, run.ended_at) == ("done", "it went well", "output", 300.0)
    assert not await finish(store, item, state="dead", at=400.0)
    assert await the(store, number) == stored


async def test_what_an_end_leaves(url: str, open_store: Callable[..., Any]) -> None:
    """A failed item is still the one of its key and is due again; a dead one waits for a person, and is not purged."""
    store = await open_store(url)
    for state in ("failed", "dead", "done", "cancelled"):
        await backlog.add(store, "q", state, "why", actor="ann", now=100.0)
    for item in (await claim(store)).begun:
        assert await finish(store, item, state=item.key)
    found = {item.key: (item.state, item.active_key, item.finished_at) for item in await backlog.listed(store)}
    assert found == {
        "failed": ("failed", "failed", None),
        "dead": ("dead", None, None),
        "done": ("done", None, 300.0),
        "cancelled": ("cancelled", None, 300.0),
    }
    assert [(one.key, one.due_at, one.attempts, one.fence) for one in (await claim(store)).begun] == [
        ("failed", 300.0, 2, 2)
    ]


async def test_a_stale_fence_changes_no_row(url: str, open_store: Callable[..., Any]) -> None:
    """Who was paused for longer than its lease neither ends, renews nor gives back what another has by now."""
    store = await open_store(url)
    await enqueue(store, [new("a")])
    (late,) = (await claim(store)).begun
    assert await overdue(store) == []
    await put(store, late.id, lease_until=1.0)
    (taken,) = await overdue(store)
    assert (taken.fence, taken.lease_owner, taken.attempts) == (2, "bob#1", 1)
    before = await the(store, late.id)
    assert not await finish(store, late, state="dead")
    async with store.writing() as connection:
        assert await backlog_claims.renewed(connection, store, ANN, [late]) == set()
        assert await backlog_claims.released(connection, ANN.owner, [late]) == set()
    assert await the(store, late.id) == before
    (run,) = await action_runs.of(store, late.id)
    assert run.outcome == "interrupted"
    assert await finish(store, taken, BOB)


async def test_an_own_older_claim_is_as_stale_as_anybodys(url: str, open_store: Callable[..., Any]) -> None:
    """The fence tells two claims of one owner apart."""
    store = await open_store(url)
    await enqueue(store, [new("a")])
    (late,) = (await claim(store)).begun
    await put(store, late.id, lease_until=1.0)
    (again,) = await overdue(store, ANN)
    assert not await finish(store, late)
    assert await finish(store, again)


async def test_a_renewed_lease_is_not_overdue(url: str, open_store: Callable[..., Any]) -> None:
    """A lease that ended and that nobody took is renewed as well; who runs it is not asked to take it over."""
    store = await open_store(url)
    await enqueue(store, [new("a"), new("b")])
    items = (await claim(store)).begun
    for item in items:
        await put(store, item.id, lease_until=1.0)
    assert (await outlook(store, ["q"], 0.0)).overdue == ["q"]
    async with store.writing() as connection:
        assert await backlog_claims.renewed(connection, store, ANN, items) == {item.id for item in items}
    assert (await outlook(store, ["q"], 0.0)).overdue == []
    assert await overdue(store) == []
    await put(store, items[0].id, lease_until=1.0)
    assert await overdue(store, ANN, running=[items[0].id]) == []


async def test_what_is_given_back_was_never_run(url: str, open_store: Callable[..., Any]) -> None:
    """The attempt does not count and leaves no run; the next claim has a greater fence all the same."""
    store = await open_store(url)
    await enqueue(store, [new("a"), new("b")])
    items = (await claim(store)).begun
    async with store.writing() as connection:
        assert await backlog_claims.released(connection, ANN.owner, items[:1]) == {items[0].id}
    stored = await the(store, items[0].id)
    assert (stored.state, stored.attempts, stored.lease_owner) == ("pending", 0, None)
    assert await action_runs.of(store, items[0].id) == []
    assert len(await action_runs.of(store, items[1].id)) == 1
    (again,) = (await claim(store, BOB)).begun
    assert (again.attempts, again.fence) == (1, 2)


async def test_a_claim_that_nobody_was_told_of_is_given_back(url: str, open_store: Callable[..., Any]) -> None:
    """What an owner has and does not run never began; what it runs and what others have is left alone."""
    store = await open_store(url)
    await enqueue(store, [new("lost"), new("runs"), new("bobs")])
    for holder in (ANN, ANN, BOB):
        await claim(store, holder, limit=1)
    items = {item.key: item for item in await backlog.listed(store)}
    async with store.writing() as connection:
        assert await backlog_claims.strays(connection, ANN.owner, [items["runs"].id]) != set()
    assert await states(store) == {"lost": "pending", "runs": "running", "bobs": "running"}


@pytest.mark.parametrize(
    ("owner", "at_once", "taken"),
    [("old#1", False, False), ("old#1", True, True), ("cli:ann#1", True, False)],
)
async def test_a_lease_of_an_earlier_server_is_not_waited_for(
    url: str, open_store: Callable[..., Any], owner: str, *, at_once: bool, taken: bool
) -> None:
    """Where no other server can live, what one left is ours at once; a command's is its until the lease ends."""
    store = await open_store(url)
    await enqueue(store, [new("a")])
    (item,) = (await claim(store, Holder(owner, "old", 30.0))).begun
    found = await overdue(store, at_once=at_once)
    assert [one.id for one in found] == ([item.id] if taken else [])
    await put(store, item.id, lease_until=1.0)
    assert len(await overdue(store, queues=["other"])) == 0
    assert len(await overdue(store, queues=["q"])) == 1


async def test_workers_at_once_share_what_there_is(url: str, open_store: Callable[..., Any]) -> None:
    """Ten at a time on two connections to the store: each item is claimed once, and none is left."""
    stores = [await open_store(url) for _ in range(2)]
    await enqueue(stores[0], [new(f"k{place}") for place in range(300)])
    claimed: list[int] = []

    async def work(place: int) -> None:
        holder = Holder(f"w{place}#1", "w", 30.0)
        while begun := (await claim(stores[place % 2], holder, limit=7)).begun:
            claimed.extend(item.id for item in begun)
            for item in begun:
                assert await finish(stores[place % 2], item, holder)

    await asyncio.gather(*(work(place) for place in range(6)))
    assert len(claimed) == len(set(claimed)) == 300
    assert await backlog.counts(stores[0]) == {("q", "done"): 300}


async def test_what_is_due_is_told_for_all_queues_at_once(url: str, open_store: Callable[..., Any]) -> None:
    """By state and queue, with the time of what is due next; a queue without anything is not named."""
    store = await open_store(url)
    await enqueue(store, [new("a", due_at=5.0), new("b", state="failed", due_at=5.0), new("c", due_at=500.0)])
    await enqueue(store, [new("d", queue="two", state="held", due_at=50.0), new("e", queue="odd", due_at=1.0)])
    queues = ["q", "two", *(f"empty{place}" for place in range(150))]
    found = await outlook(store, queues, 10.0)
    assert (found.states, found.next_at, found.overdue) == ({"q": ("pending", "failed")}, 50.0, [])
    assert (await outlook(store, queues, 50.0)).states["two"] == ("held",)
    assert (await outlook(store, [], 50.0)).states == {}


async def test_the_runs_of_an_item_are_kept(url: str, open_store: Callable[..., Any]) -> None:
    """Attempt by attempt; an output that is too long keeps its end, and goes with the item when that is purged."""
    store = await open_store(url)
    await enqueue(store, [new("a")])
    for outcome, state in (("retry", "failed"), ("done", "done")):
        (item,) = (await claim(store)).begun
        output = "é" * action_runs.TEXT_BYTES + "the end\0"
        end = Finish(item, state, "", 100.0, Ended(item.id, item.fence, outcome, "x" * 600, output, 100.0))  # type: ignore[arg-type]
        async with store.writing() as connection:
            await backlog_claims.finished(connection, ANN.owner, [end])
    runs = await action_runs.of(store, item.id)
    assert [(run.attempt, run.fence, run.outcome) for run in runs] == [(1, 1, "retry"), (2, 2, "done")]
    assert isinstance(runs[0], ActionRun)
    assert runs[0].output is not None
    assert runs[0].output.endswith("éthe end\ufffd")
    assert len(runs[0].output.encode()) <= action_runs.TEXT_BYTES
    assert len(runs[0].detail) == 500
    assert await backlog.purge(store, 200.0, 10) == 1
    assert await action_runs.of(store, item.id) == []
