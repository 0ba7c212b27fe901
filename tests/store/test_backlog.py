"""Items are stored once, found again, counted, cancelled when their alert resolves, and purged when they are over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, incident, new, put, states, the

from exporter.model import ITEM_STATES
from exporter.store import audit, backlog
from exporter.store.backlog_rows import CONTEXT_BYTES, encoded

if TYPE_CHECKING:
    from collections.abc import Callable


async def add(store: Any, key: str = "k", queue: str = "q", **more: Any) -> tuple[int, bool]:
    """Add an item as a person does."""
    return await backlog.add(store, queue, key, "why", actor="cli:ann", now=100.0, **more)


async def test_what_was_added_is_there(url: str, open_store: Callable[..., Any]) -> None:
    """The item has all that it was given, its context as an action sees it, and the audit tells who added it."""
    store = await open_store(url)
    context = {
        "labels": {"alertname": "é\0\ud800"},
        "annotations": {"summary": "s"},
        "starts_at": 5.0,
        "generator_url": "http://p/",
    }
    number, is_new = await add(store, "a key", context=context)
    assert is_new
    item = await the(store, number)
    assert (item.queue, item.key, item.reason, item.state, item.origin) == ("q", "a key", "why", "pending", "cli")
    assert (item.approved_by, item.mode, item.attempts, item.created_at, item.due_at) == (
        "cli:ann",
        "auto",
        0,
        100.0,
        100.0,
    )
    seen = item.item
    assert seen.labels == {"alertname": "é\0\ufffd"}
    assert (seen.annotations, seen.starts_at, seen.generator_url, seen.attempt) == (
        {"summary": "s"},
        5.0,
        "http://p/",
        1,
    )
    (entry,) = await audit.of(store, "item", number)
    assert (entry.actor, entry.verb, entry.details) == ("cli:ann", "added", {"queue": "q", "key": "a key"})
    assert await backlog.one(store, number + 1) is None


async def test_adding_again_finds_what_is_there(url: str, open_store: Callable[..., Any]) -> None:
    """Eight at once add one; another queue or key has its own; so it is for as long as the item is not over."""
    stores = [await open_store(url) for _ in range(2)]
    found = await asyncio.gather(*(add(stores[place % 2]) for place in range(8)))
    assert sorted(is_new for _, is_new in found) == [False] * 7 + [True]
    assert len({number for number, _ in found}) == 1
    (number, _) = found[0]
    assert (await add(stores[0], queue="other"))[1]
    assert (await add(stores[0], "K"))[1]
    for state in ("held", "failed", "running"):
        await put(stores[0], number, state=state)
        assert await add(stores[1]) == (number, False)
    await put(stores[0], number, state="done", active_key=None)
    assert (await add(stores[1]))[1]


async def test_adding_what_a_rule_led_to_finds_that(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    await enqueue(store, [new("k")])
    number, is_new = await add(store)
    assert not is_new
    assert (await the(store, number)).origin == "rule"


async def test_what_is_imported_as_done_is_there_once(url: str, open_store: Callable[..., Any]) -> None:
    """It is over from the start, and beside one that waits."""
    store = await open_store(url)
    waiting, _ = await add(store)
    done, is_new = await add(store, origin="import", state="done", context={"processed_at": "2024"})
    assert is_new
    assert await add(store, origin="import", state="done") == (done, False)
    assert await add(store) == (waiting, False)
    assert (await the(store, done)).finished_at == 100.0
    assert (await the(store, done)).context == {"processed_at": "2024"}


async def test_one_item_for_each_step_of_an_incident(url: str, open_store: Callable[..., Any]) -> None:
    """However often it is told, in one batch or in many at once; what no rule led to is not compared."""
    stores = [await open_store(url) for _ in range(2)]
    one, two = await incident(stores[0], "one"), await incident(stores[0], "two")
    items = [
        new(f"{number}-{rule}-{step}", incident_id=number, rule=rule, step=step)
        for number in (one, two)
        for rule in ("r", "s")
        for step in (0, 1)
    ]
    counts = await asyncio.gather(*(enqueue(store, items * 2) for store in stores * 3))
    assert sum(counts) == 8
    assert sorted((await states(stores[0])).keys()) == sorted(item.key for item in items)
    assert await enqueue(stores[0], [new("note", incident_id=one, origin="notify")] * 2) == 2
    assert await enqueue(stores[0], []) == 0


async def test_items_are_listed_by_what_is_asked(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    await enqueue(store, [new(f"k{place}", queue=f"q{place % 2}", due_at=float(place)) for place in range(10)])
    first = (await backlog.listed(store, limit=1))[0].id
    await put(store, first, state="held")

    async def keys(**filters: Any) -> str:
        return " ".join(item.key[1:] for item in await backlog.listed(store, **filters))

    assert await keys() == "0 1 2 3 4 5 6 7 8 9"
    assert await keys(queue="q1") == "1 3 5 7 9"
    assert await keys(queue="q0", states=["held", "done"]) == "0"
    assert await keys(states=("pending",), limit=3, after_id=first + 2) == "3 4 5"
    assert await keys(key="k7") == "7"
    assert await keys(states=()) == ""
    assert await backlog.counts(store) == {("q0", "held"): 1, ("q0", "pending"): 4, ("q1", "pending"): 5}
    assert await backlog.oldest_pending(store) == {"q0": 2.0, "q1": 1.0}


async def test_a_resolved_alert_cancels_what_has_not_begun(url: str, open_store: Callable[..., Any]) -> None:
    """What runs goes on and says so; what is over, of another incident, or not of a rule stays as it is."""
    store = await open_store(url)
    ours, other = await incident(store, "ours"), await incident(store, "other")
    of_rule = [new(f"ours {one}", incident_id=ours, rule="r", step=place) for place, one in enumerate(ITEM_STATES)]
    elsewhere = [new(f"other {one}", incident_id=other, rule="r", step=place) for place, one in enumerate(ITEM_STATES)]
    told = [new(f"told {one}", incident_id=ours, origin="notify") for one in ITEM_STATES]
    await enqueue(store, [*of_rule, *elsewhere, *told])
    for item in await backlog.listed(store):
        await put(store, item.id, state=item.key.split()[1])
    async with store.writing() as connection:
        assert await backlog.cancelled_by_resolve(connection, [ours], 200.0) == 3
    for item in await backlog.listed(store):
        whose, state = item.key.split()
        verbs = [entry.verb for entry in await audit.of(store, "item", item.id)]
        if whose == "ours" and state in {"pending", "held", "failed"}:
            assert (item.state, item.hold, item.finished_at) == ("cancelled", "resolved", 200.0)
            assert (item.explanation, verbs) == (backlog.RESOLVED, ["cancelled"])
        else:
            meanwhile = (whose, state) == ("ours", "running")
            assert (item.state, item.hold, verbs) == (state, None, [])
            assert item.explanation == (backlog.RESOLVED_MEANWHILE if meanwhile else None)


async def test_only_what_is_over_is_purged(url: str, open_store: Callable[..., Any]) -> None:
    """Done and cancelled items go once they are old, the oldest first; dead ones are kept for a person."""
    store = await open_store(url)
    over = [new(f"{state}{at}", state=state) for at in (1, 2) for state in ("done", "cancelled")]
    for place, item in enumerate(over):
        await enqueue(store, [item], now=float(place))
    await enqueue(store, [new("dead", state="dead"), new("pending")], now=0.0)
    assert [await backlog.purge(store, 3.0, 2) for _ in range(3)] == [2, 1, 0]
    assert await states(store) == {"cancelled2": "cancelled", "dead": "dead", "pending": "pending"}


@pytest.mark.parametrize(
    ("context", "left"),
    [
        ({"labels": {"a": "é" * 1000}, "annotations": {"b": "c"}}, {"labels", "annotations"}),
        ({"labels": {"a": "b"}, "annotations": {"b": "é" * CONTEXT_BYTES}}, {"labels"}),
        ({"labels": {"a": "b" * CONTEXT_BYTES}, "annotations": {"b": "c"}, "starts_at": 1.0}, {"starts_at"}),
        ({"odd": "b" * CONTEXT_BYTES}, set()),
    ],
)
def test_a_context_that_is_too_long_loses_what_matters_least(context: dict[str, Any], left: set[str]) -> None:
    import json

    text = encoded(new(context=context), 1.0)["context"]
    assert set(json.loads(text)) == left
    assert len(text.encode()) <= CONTEXT_BYTES
