"""What a person does to items: only from the states that it is meant for, told in the audit, and never to what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new, put, states, the

from exporter.model import ITEM_STATES
from exporter.store import audit, backlog
from exporter.store.bulk import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = [*[(state, None) for state in ITEM_STATES if state != "held"], ("held", "mode"), ("held", "window")]
FINAL = [("cancelled", "mode"), ("cancelled", "resolved")]


async def one_of_each(store: Any) -> dict[tuple[str, str | None], int]:
    """Store an item in each state, held and cancelled for each reason, and return their numbers."""
    cases = CASES + FINAL
    await enqueue(store, [new(f"{state}-{hold}") for state, hold in cases])
    numbers = [item.id for item in await backlog.listed(store)]
    for (state, hold), number in zip(cases, numbers, strict=True):
        await put(store, number, state=state, hold=hold, attempts=3, explanation="as it was", finished_at=1.0)
    return dict(zip(cases, numbers, strict=True))


@pytest.mark.parametrize(
    ("verb", "changed", "becomes"),
    [
        ("approved", {("held", "mode")}, "pending"),
        ("retried", {("dead", None), ("failed", None), ("cancelled", None)}, "pending"),
        ("cleared", {("pending", None), ("failed", None), ("held", "mode"), ("held", "window")}, "cancelled"),
        (
            "marked-processed",
            {("pending", None), ("failed", None), ("dead", None), ("held", "mode"), ("held", "window")},
            "done",
        ),
    ],
)
async def test_what_each_changes(
    url: str,
    open_store: Callable[..., Any],
    verb: str,
    changed: set[tuple[str, str | None]],
    becomes: str,
) -> None:
    """The table of states: what is changed is returned and audited, all else stays as it is."""
    store = await open_store(url)
    numbers = await one_of_each(store)
    before = {number: await the(store, number) for number in numbers.values()}
    ids, who = [*numbers.values(), 10_000], {"actor": "cli:ann", "now": 200.0}
    if verb == "approved":
        done = await backlog.approve(store, ids, **who)
    elif verb == "retried":
        done = await backlog.retry(store, ids, **who)
    elif verb == "cleared":
        done = await backlog.clear(store, None, **who)
    else:
        done = [one for number in ids for one in await backlog.mark_processed(store, None, number, **who)]
    assert sorted(done) == sorted(numbers[case] for case in changed)
    for case, number in numbers.items():
        item = await the(store, number)
        if case not in changed:
            assert item == before[number]
            assert await audit.of(store, "item", number) == []
            continue
        assert item.state == becomes
        assert item.hold is None
        assert (item.finished_at, item.active_key) == (None if becomes == "pending" else 200.0, None)
        (entry,) = await audit.of(store, "item", number)
        assert (entry.at, entry.actor, entry.verb) == (200.0, "cli:ann", verb)
        assert entry.details == {"queue": "q", "key": item.key, "was": case[0]}


async def test_what_is_released_is_due_and_of_a_person(url: str, open_store: Callable[..., Any]) -> None:
    """An approved item goes on with its attempts, a retried one begins with the first."""
    store = await open_store(url)
    numbers = await one_of_each(store)
    who = {"actor": "cli:ann", "now": 200.0}
    await backlog.approve(store, numbers.values(), **who)
    await backlog.retry(store, numbers.values(), **who)
    approved, retried = await the(store, numbers["held", "mode"]), await the(store, numbers["dead", None])
    assert (approved.approved_by, approved.due_at, approved.attempts) == ("cli:ann", 200.0, 3)
    assert (retried.approved_by, retried.due_at, retried.attempts) == ("cli:ann", 200.0, 0)


async def test_by_key_all_of_the_queue_that_wait(url: str, open_store: Callable[..., Any]) -> None:
    """A key names what waits in its queue, as it is written; a number one item, of the queue where one is given."""
    store = await open_store(url)
    await enqueue(store, [new("k"), new("K"), new("k", queue="other"), new("k")])
    numbers = [item.id for item in await backlog.listed(store)]
    who = {"actor": "cli:ann", "now": 200.0}
    assert await backlog.mark_processed(store, "q", "k", **who) == [numbers[0], numbers[3]]
    assert await backlog.mark_processed(store, "q", "k", **who) == []
    assert await backlog.mark_processed(store, "q", numbers[2], **who) == []
    assert await backlog.mark_processed(store, "other", numbers[2], **who) == [numbers[2]]


@pytest.mark.parametrize(
    ("queue", "wanted", "left"),
    [
        ("q", ("pending", "held", "failed"), 0),
        ("q", ("held",), 2),
        ("q", ("running", "done"), 2),
        ("other", ("pending",), 2),
    ],
)
async def test_only_what_is_asked_for_is_cleared(
    new_url: Callable[[str], str], open_store: Callable[..., Any], queue: str, wanted: tuple[str, ...], left: int
) -> None:
    store = await open_store(new_url("sqlite"))
    await enqueue(store, [new("a"), new("b"), new("c", state="running"), new("d", state="done")])
    cleared = await backlog.clear(store, queue, wanted, actor="cli:ann", now=200.0)
    assert len(cleared) == 2 - left
    found = await states(store)
    assert (found["c"], found["d"]) == ("running", "done")
    assert list(found.values()).count("pending") == left


async def test_thousands_are_cleared_in_pieces(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    await enqueue(store, [new(f"k{place}") for place in range(ROWS + 5)])
    assert len(await backlog.clear(store, "q", actor="cli:ann", now=200.0)) == ROWS + 5
    assert await backlog.counts(store) == {("q", "cancelled"): ROWS + 5}
