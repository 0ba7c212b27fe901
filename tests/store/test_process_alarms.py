"""Alarms of processes in the store: one stands at a time, on every engine, whoever writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, new, put, the
from sqlalchemy import select

from exporter.store import audit, backlog, process_alarms
from exporter.store.process_alarms import NewAlarm, head_of
from exporter.store.restart_tables import process_alarms as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store


@pytest.fixture
async def store(url: str, open_store: Callable[..., Any]) -> Store:
    """Give an empty store, on each engine in turn."""
    opened: Store = await open_store(url)
    return opened


def alarm(number: int | str = 1, process: str = "web", service: str | None = "web") -> NewAlarm:
    return NewAlarm("plant", str(number), process, service)


async def raise_(store: Store, *alarms: NewAlarm, now: float = 100.0) -> list[int]:
    """Store alarms and return the numbers of those that stand now, in the order of the arguments."""
    async with store.writing() as connection:
        await process_alarms.raised(connection, alarms, now)
        known = {one.head: one.id for one in await process_alarms.locked(connection, [one.head for one in alarms])}
    return [known[one.head] for one in alarms]


async def ended(store: Store, *ids: int, by: Any = "monitor", now: float = 200.0) -> tuple[list[int], int]:
    async with store.writing() as connection:
        return await process_alarms.ended(connection, ids, by, now)


async def asked(store: Store, *of: tuple[int, str | None, int | None], now: float = 100.0) -> None:
    async with store.writing() as connection:
        await process_alarms.asked(connection, of, now)


async def ends(store: Store) -> list[tuple[str | None, float | None, str | None]]:
    query = select(table.c.head, table.c.ended_at, table.c.ended_by).order_by(table.c.id)
    async with store.reading() as connection:
        return [(row.head, row.ended_at, row.ended_by) for row in await connection.execute(query)]


def alarms_item(key: str = "web", **changes: Any) -> Any:
    return new(key, queue="restarts", origin="alarm", service=key, **changes)


async def added(store: Store, *items: Any, now: float = 100.0) -> dict[str, tuple[int, bool]]:
    async with store.writing() as connection:
        return await process_alarms.enqueued(connection, items, now)


async def test_an_alarm_stands_once_until_it_ends(store: Store) -> None:
    """Raised again it is the same; after its end it is another one."""
    (first,) = await raise_(store, alarm())
    assert await raise_(store, alarm(), now=150.0) == [first]
    (one,) = await process_alarms.standing(store, "plant")
    assert (one.id, one.raised_at, one.process, one.service, one.item_id) == (first, 100.0, "web", "web", None)
    assert await ended(store, first) == ([first], 0)
    assert await process_alarms.standing(store, "plant") == []
    (second,) = await raise_(store, alarm(), now=300.0)
    assert second > first
    assert await ends(store) == [(None, 200.0, "monitor"), (alarm().head, None, None)]
    assert await process_alarms.sources(store) == ["plant"]
    assert await process_alarms.standing(store, "other") == []


async def test_the_end_by_a_restart_is_told_whoever_saw_it_first(store: Store) -> None:
    """A look may see the cleared table before the restart has noted why: the time stays, the reason is corrected."""
    (first,) = await raise_(store, alarm())
    await ended(store, first, by="monitor", now=200.0)
    assert await ended(store, first, by="restart", now=201.0) == ([first], 0)
    assert await ended(store, first, by="monitor", now=300.0) == ([], 0)
    assert await ends(store) == [(None, 200.0, "restart")]


async def test_items_are_cancelled_when_their_last_alarm_ends(store: Store) -> None:
    """Only those that alarms led to; what runs goes on; an item that is over stays as it is."""
    numbers = await raise_(store, *(alarm(number, f"s{number}") for number in range(6)))
    await enqueue(store, [new("theirs", queue="restarts")])
    found = await added(store, *(alarms_item(key) for key in ("both", "running", "done", "held")))
    items = {key: number for key, (number, _) in found.items()}
    items["theirs"] = (await backlog.listed(store, limit=1))[0].id
    await put(store, items["running"], state="running")
    await put(store, items["done"], state="done", active_key=None)
    await put(store, items["held"], state="held", hold="window")
    led = ("both", "both", "running", "done", "held", "theirs")
    await asked(store, *((number, key, items[key]) for number, key in zip(numbers, led, strict=True)))
    assert await ended(store, numbers[0]) == ([numbers[0]], 0)
    assert (await the(store, items["both"])).state == "pending"
    assert await ended(store, *numbers[1:]) == (numbers[1:], 2)
    states = {key: ((one := await the(store, number)).state, one.hold) for key, number in items.items()}
    assert states == {
        "both": ("cancelled", "resolved"),
        "running": ("running", None),
        "done": ("done", None),
        "held": ("cancelled", "resolved"),
        "theirs": ("pending", None),
    }
    assert (await the(store, items["both"])).active_key is None
    assert (await the(store, items["both"])).finished_at == 200.0
    assert (await the(store, items["running"])).explanation == process_alarms.RESOLVED_MEANWHILE
    assert [entry.verb for entry in await audit.of(store, "item", items["held"])] == ["cancelled"]


async def test_an_item_that_is_there_is_the_one(store: Store) -> None:
    """Unfinished ones of every state and origin are found; one that is over does not count."""
    for key, state in (
        ("a", "pending"),
        ("b", "held"),
        ("c", "failed"),
        ("d", "running"),
        ("e", "done"),
        ("f", "dead"),
    ):
        await enqueue(store, [new(key, queue="restarts", state=state)])
    before = {one.key: one.id for one in await backlog.listed(store)}
    found = await added(store, *(alarms_item(key) for key in "abcdefg"), alarms_item("a"))
    assert {key: is_new for key, (_, is_new) in found.items()} == {
        **dict.fromkeys("abcd", False),
        **dict.fromkeys("efg", True),
    }
    assert {key: found[key][0] for key in "abcd"} == {key: before[key] for key in "abcd"}
    again = await added(store, *(alarms_item(key) for key in "abcdefg"), now=101.0)
    assert {key: (number, False) for key, (number, _) in found.items()} == again
    assert await added(store) == {}


async def test_what_is_only_observed_leaves_its_key_free(store: Store) -> None:
    """It is over from the start: the next one is another item."""
    first = await added(store, alarms_item(state="cancelled", hold="mode"))
    second = await added(store, alarms_item(state="cancelled", hold="mode"), now=101.0)
    assert first["web"][1] is second["web"][1] is True
    assert first["web"][0] != second["web"][0]
    assert {one.active_key for one in await backlog.listed(store)} == {None}
    assert {one.finished_at for one in await backlog.listed(store)} == {100.0, 101.0}


async def test_keys_are_compared_letter_by_letter(store: Store) -> None:
    """On engines that do not as well: `web` and `Web` are two services."""
    found = await added(store, alarms_item("web"), alarms_item("Web"), alarms_item("wéb"))
    assert len({number for number, _ in found.values()}) == 3
    numbers = await raise_(store, alarm("a", "web"), alarm("A", "Web"))
    assert len(set(numbers)) == 2


HOSTILE = ["nul\0", "lone \ud800 surrogate", "x" * 1_048_576, "two\nlines", "Żółw 🐢", "", "'; DROP TABLE x; --"]


async def test_whatever_a_table_holds_can_be_stored(store: Store) -> None:
    """Numbers and names alike, those that differ apart."""
    told = [NewAlarm(source, text, text, None) for source in ("plant", "s" * 300) for text in HOSTILE]
    numbers = await raise_(store, *told)
    assert len(set(numbers)) == len(told)
    assert await raise_(store, *told) == numbers
    assert len(await process_alarms.of_heads(store, [one.head for one in told])) == len(told)
    assert len(await process_alarms.standing(store, "s" * 300)) == len(HOSTILE)
    assert (await ended(store, *numbers))[0] == sorted(numbers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b/c"), ("a/b", "c")),
        (("a", "1"), ("a1", "")),
        (("x" * 300, "1"), ("x" * 300, "2")),
        (('"', ""), ("", '"')),
    ],
)
def test_heads_tell_processes_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert head_of(*one) != head_of(*other)
    assert len(head_of(*one)) <= 255
    assert head_of(*one).isascii()


async def test_the_last_item_is_told_with_the_alarm(store: Store) -> None:
    """Its state and hold, and None once it is forgotten."""
    (number,) = await raise_(store, alarm())
    found = await added(store, alarms_item())
    item = found["web"][0]
    await asked(store, (number, "web", item))
    (one,) = await process_alarms.standing(store, "plant")
    assert (one.item_id, one.item_state, one.item_hold, one.asked_at) == (item, "pending", None, 100.0)
    await put(store, item, state="cancelled", hold="mode", finished_at=1.0, active_key=None)
    (one,) = await process_alarms.of_heads(store, [alarm().head])
    assert (one.item_state, one.item_hold) == ("cancelled", "mode")
    assert await backlog.purge(store, 2.0, 10) == 1
    (one,) = await process_alarms.standing(store, "plant")
    assert (one.item_id, one.item_state) == (item, None)


async def test_alarms_that_ended_long_ago_are_forgotten(store: Store) -> None:
    """The oldest first, so many at a time; one that stands is kept."""
    numbers = await raise_(store, *(alarm(number) for number in range(4)), now=1.0)
    for place, number in enumerate(numbers[:3]):
        await ended(store, number, now=10.0 + place)
    assert await process_alarms.purge(store, 11.5, 1) == 1
    assert await process_alarms.purge(store, 11.5, 10) == 1
    assert await process_alarms.purge(store, 11.5, 10) == 0
    assert [end for _, end, _ in await ends(store)] == [12.0, None]
