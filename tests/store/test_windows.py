"""Windows of the store are added, listed, ended and purged, each change with who made it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.watched import NOON
from sqlalchemy import insert, update

from exporter.errors import InvalidFieldsError
from exporter.schedule import Cron
from exporter.store import audit, bridge_tables, windows
from exporter.store.windows import StoredWindow
from exporter.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400.0
ONCE = Window(
    services=frozenset({"web", "Ünïcode ☂, with a comma"}),
    groups=frozenset({"front"}),
    comment="database upgrade",
    start=NOON + 0.5,
    end=NOON + 7200.0,
)
NIGHTLY = Window(everything=True, cron=Cron.parse("0 2 * * *", "Europe/Bucharest"), duration=5400.0)


def number(found: list[StoredWindow]) -> list[int]:
    return [one.id for one in found]


async def test_life_of_windows(url: str, open_store: Callable[..., Any]) -> None:
    """What is added is read as it was, ends once, and is told as past from then on."""
    store = await open_store(url)
    assert await windows.listed(store, NOON, past=True) == []
    once, nightly = await windows.add(store, [ONCE, NIGHTLY], "cli:ann", NOON - 10)
    assert once < nightly
    expected = [
        StoredWindow(once, ONCE, "cli:ann", NOON - 10),
        StoredWindow(nightly, NIGHTLY, "cli:ann", NOON - 10),
    ]
    assert await windows.listed(store, NOON) == expected
    assert number(await windows.listed(store, NOON + 7199)) == [once, nightly]
    assert number(await windows.listed(store, NOON + 7200)) == [nightly], "its end is not inside"
    assert await windows.end(store, nightly, "cli:bob", NOON + 1)
    assert number(await windows.listed(store, NOON + 1)) == [once]
    past = await windows.listed(store, NOON + 1, past=True)
    assert [(one.id, one.ended_at) for one in past] == [(once, None), (nightly, NOON + 1)]
    assert past[1].window == NIGHTLY


async def test_one_that_has_not_begun_is_ended_too_and_nothing_ends_twice(
    url: str, open_store: Callable[..., Any]
) -> None:
    store = await open_store(url)
    (coming, over) = await windows.add(store, [ONCE, ONCE], "cli:ann", NOON - DAY)
    assert await windows.end(store, coming, "cli:bob", NOON - 10)
    assert not await windows.end(store, coming, "cli:eve", NOON - 5)
    assert not await windows.end(store, over, "cli:eve", NOON + 7200), "it is over by itself"
    assert not await windows.end(store, over + 1, "cli:eve", NOON), "there is none"
    told = {
        one: [(entry.verb, entry.actor) for entry in await audit.of(store, "window", one)] for one in (coming, over)
    }
    assert told == {coming: [("added", "cli:ann"), ("ended", "cli:bob")], over: [("added", "cli:ann")]}


async def test_the_audit_tells_what_was_planned(url: str, open_store: Callable[..., Any]) -> None:
    store = await open_store(url)
    once, nightly = await windows.add(store, [ONCE, NIGHTLY], "cli:ann", NOON)
    (entry,) = await audit.of(store, "window", once)
    assert entry.reason == "services web, Ünïcode ☂, with a comma; group front: database upgrade"
    assert (entry.details["start"], entry.details["end"], entry.at) == (ONCE.start, ONCE.end, NOON)
    (entry,) = await audit.of(store, "window", nightly)
    assert entry.reason == "everything"
    assert entry.details == {
        "services": [],
        "groups": [],
        "all": True,
        "cron": "0 2 * * *",
        "timezone": "Europe/Bucharest",
        "duration": 5400.0,
    }


async def test_the_mark_changes_with_every_change(url: str, open_store: Callable[..., Any]) -> None:
    """And with nothing else: who asks each 3 seconds reads the windows only then."""
    store = await open_store(url)
    marks = [await windows.mark(store), await windows.mark(store)]
    first, second = await windows.add(store, [ONCE, ONCE], "cli:ann", NOON)
    marks += [await windows.mark(store)]
    await windows.end(store, first, "cli:ann", NOON + 1)
    marks += [await windows.mark(store)]
    assert not await windows.end(store, first, "cli:ann", NOON + 2)
    marks += [await windows.mark(store)]
    assert await windows.purge(store, NOON + 1 + windows.KEPT + 0.5) == 1
    marks += [await windows.mark(store)]
    await windows.add(store, [ONCE], "cli:ann", NOON + 3)
    await windows.end(store, second, "cli:ann", NOON + 4)
    marks += [await windows.mark(store)]
    assert marks[0] == marks[1]
    assert marks[3] == marks[4]
    assert len(set(marks)) == 5


async def test_what_is_long_past_is_purged(url: str, open_store: Callable[..., Any]) -> None:
    """Ninety days after its end, whoever ended it; what repeats stays until somebody ends it."""
    store = await open_store(url)
    assert await windows.purge(store, NOON) == 0
    over, ended, lasting, late = await windows.add(store, [ONCE, NIGHTLY, NIGHTLY, ONCE], "cli:ann", NOON)
    await windows.end(store, ended, "cli:ann", NOON + DAY)
    await windows.end(store, late, "cli:ann", NOON + 10)
    assert await windows.purge(store, NOON + 7200 + 90 * DAY) == 1, "the one that was ended early"
    assert await windows.purge(store, NOON + 7201 + 90 * DAY) == 1
    assert number(await windows.listed(store, NOON, past=True)) == [ended, lasting]
    assert await windows.purge(store, NOON + 1000 * DAY) == 1
    assert number(await windows.listed(store, NOON, past=True)) == [lasting]
    assert over < lasting


async def test_of_two_that_end_one_window_at_once_one_did(url: str, open_store: Callable[..., Any]) -> None:
    stores = [await open_store(url) for _ in range(2)]
    (one,) = await windows.add(stores[0], [ONCE], "cli:ann", NOON)
    done = await asyncio.gather(*(windows.end(store, one, "cli:ann", NOON + 1) for store in stores * 3))
    assert sorted(done) == [False] * 5 + [True]
    assert [entry.verb for entry in await audit.of(stores[0], "window", one)] == ["added", "ended"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"cron": "0 25 * * *", "duration": 60.0}, "its hour '25' cannot be read", id="cron"),
        pytest.param({"cron": "0 2 * * *", "timezone": "Mars/Base"}, "wanted a time zone", id="a zone of elsewhere"),
        pytest.param({"cron": "0 2 * * *", "duration": 1e12}, "wanted at most", id="a duration without end"),
        pytest.param({"end_at": 1e300}, "wanted at most", id="an end that no calendar has"),
        pytest.param({"services": "web"}, "cannot be read", id="no JSON"),
        pytest.param({"group_names": "3"}, "cannot be read", id="other JSON"),
    ],
)
async def test_a_row_that_cannot_be_read_costs_itself_only(
    new_url: Callable[[str], str], open_store: Callable[..., Any], changes: dict[str, Any], sentence: str
) -> None:
    """It says why, is never active, and can be ended."""
    store = await open_store(new_url("sqlite"))
    good, bad = await windows.add(store, [ONCE, ONCE], "cli:ann", NOON)
    async with store.writing() as connection:
        table = bridge_tables.windows
        await connection.execute(update(table).where(table.c.id == bad).values(changes))
    found = await windows.listed(store, NOON)
    assert [(one.id, one.problem is None) for one in found] == [(good, True), (bad, False)]
    assert sentence in (found[1].problem or "")
    assert not found[1].window.active(NOON + 60)
    assert found[1].window.comment == "database upgrade"
    assert await windows.end(store, bad, "cli:ann", NOON + 1)


async def test_windows_have_bounds(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """In number and in what one names; what is refused leaves nothing behind."""
    store = await open_store(new_url("sqlite"))
    wide = Window(services=frozenset(f"a-service-of-a-rather-long-name-{one}" for one in range(3000)), **TIMES)
    with pytest.raises(InvalidFieldsError, match="services: takes 60,000 bytes"):
        await windows.add(store, [ONCE, wide], "cli:ann", NOON)
    (first,) = await windows.add(store, [NIGHTLY], "cli:ann", NOON)
    async with store.writing() as connection:
        rows = [windows._row(NIGHTLY, "cli:ann", NOON)] * (windows.MOST - 1)
        await connection.execute(insert(bridge_tables.windows), rows)
    with pytest.raises(InvalidFieldsError, match="at most 1000 may last or come: end some first"):
        await windows.add(store, [ONCE], "cli:ann", NOON)
    assert len(await windows.listed(store, NOON)) == windows.MOST
    await windows.end(store, first, "cli:ann", NOON)
    await windows.add(store, [ONCE], "cli:ann", NOON)


TIMES: dict[str, Any] = {"start": NOON, "end": NOON + 60}
