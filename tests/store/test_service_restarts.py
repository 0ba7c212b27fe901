"""Attempts to restart services: what budgets count, when one last helped, and what is shown of the past."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from servers.backlog import enqueue, new

from exporter.budgets import Begun
from exporter.store import backlog, service_restarts
from exporter.store.columns import REASON_LENGTH
from exporter.store.service_restarts import AttemptEnd, ServiceRestart, Trend

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.store.store import Store

NOON: Final = 1_777_636_800.0
ONE: Final = ServiceRestart("web", "front", 1, 1, "r1", "command", "rule", NOON)


def attempt(item: int, ago: float = 0.0, **changes: Any) -> ServiceRestart:
    """Return an attempt for an item that began so many seconds before noon."""
    return replace(ONE, item_id=item, began_at=NOON - ago, **changes)


async def begin(store: Store, *attempts: ServiceRestart) -> None:
    async with store.writing() as connection:
        await service_restarts.begun(connection, attempts)


async def end(store: Store, *ends: AttemptEnd, now: float = NOON) -> None:
    async with store.writing() as connection:
        await service_restarts.ended(connection, ends, now)


async def since(store: Store, at: float) -> list[Begun]:
    async with store.reading() as connection:
        return sorted(await service_restarts.since(connection, at))


async def verified(store: Store, *services: str) -> dict[str, int]:
    async with store.reading() as connection:
        return await service_restarts.verified(connection, services)


async def past(store: Store, service: str | None = None) -> list[ServiceRestart]:
    return await service_restarts.history(store, service, since=0.0)


async def test_an_attempt_is_kept_with_how_it_ended(url: str, open_store: Callable[..., Any]) -> None:
    """What has ended stays as it is, also where the item is tried again."""
    store = await open_store(url)
    await begin(store)
    await begin(store, ONE, attempt(2, 5, service="db", group_name=None))
    await end(
        store,
        AttemptEnd(1, acted=True, verified=False, detail="it is down"),
        AttemptEnd(99, acted=True, verified=True, detail="of nobody"),
        now=NOON + 3,
    )
    first = replace(ONE, ended_at=NOON + 3, acted=True, verified=False, detail="it is down")
    assert await past(store) == [first, attempt(2, 5, service="db", group_name=None)]
    await begin(store, replace(attempt(1, -10), fence=2))
    await end(store, AttemptEnd(1, acted=None, verified=True, detail="unseen"), now=NOON + 20)
    assert await past(store, "web") == [
        replace(attempt(1, -10), fence=2, ended_at=NOON + 20, acted=None, verified=True, detail="unseen"),
        first,
    ]
    assert await past(store, "nobody") == []


async def test_a_long_detail_is_cut(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """As the column takes it; so is what no database takes."""
    store = await open_store(new_url("sqlite"))
    await begin(store, ONE)
    await end(store, AttemptEnd(1, acted=True, verified=True, detail="\0\ud800é" * REASON_LENGTH))
    [found] = await past(store)
    assert 0 < len(found.detail) <= REASON_LENGTH


async def test_what_budgets_count(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """What runs, and what restarted something or may have done so, from just after a moment on."""
    store = await open_store(new_url("sqlite"))
    acted = {1: True, 2: False, 3: None}
    await begin(store, *(attempt(item, item, ended_at=NOON, acted=one) for item, one in acted.items()))
    await begin(store, attempt(4, 4, service="db", group_name=None), attempt(5, 600))
    assert await since(store, NOON - 600) == [
        Begun(NOON - 4, "db", None),
        Begun(NOON - 3, "web", "front"),
        Begun(NOON - 1, "web", "front"),
    ]


async def test_what_was_claimed_and_never_began_is_forgotten(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """Not an earlier attempt of the same item, which has ended."""
    store = await open_store(new_url("sqlite"))
    await begin(store, attempt(1, 60), attempt(2))
    await end(store, AttemptEnd(1, acted=True, verified=False, detail="down"))
    await begin(store, attempt(1))
    async with store.writing() as connection:
        await service_restarts.undone(connection, [1])
    assert [(one.item_id, one.began_at) for one in await past(store)] == [(2, NOON), (1, NOON - 60)]


async def test_which_items_a_restart_that_helped_was_for(url: str, open_store: Callable[..., Any]) -> None:
    """All that there were when it ended; what was well before, what failed, and what nobody saw, says nothing."""
    store = await open_store(url)
    helped = [(True, True, 40), (True, True, 70)]
    rows = [*helped, (True, False, 80), (None, True, 81), (False, True, 82), (True, None, 83)]
    await begin(
        store,
        *(attempt(9, acted=acted, verified=seen, last_item=last) for acted, seen, last in rows),
        attempt(9, service="db", acted=True, verified=False),
        attempt(9, service="api", acted=True, verified=True, last_item=99),
        attempt(9, service="old", acted=True, verified=True),
    )
    assert await verified(store, "web", "db", "old", "never") == {"web": 70, "old": 0}
    assert await verified(store) == {}
    await enqueue(store, [new(f"k{number}", queue=f"q{number % 2}") for number in range(5)])
    newest = max(one.id for one in await backlog.listed(store))
    await begin(store, attempt(1, service="new"), attempt(2, service="bad"))
    await end(
        store, AttemptEnd(1, acted=True, verified=True, detail=""), AttemptEnd(2, acted=True, verified=False, detail="")
    )
    await enqueue(store, [new("later")])
    assert {one.service: one.last_item for one in await past(store) if one.item_id < 9} == {"new": newest, "bad": None}
    assert await verified(store, "new", "bad") == {"new": newest}


@pytest.mark.parametrize("seconds", [86_400.0, -86_400.0, -3.5])
async def test_they_count_for_as_long_as_before_where_the_clock_was_set(
    new_url: Callable[[str], str], open_store: Callable[..., Any], seconds: float
) -> None:
    """Those of the last month, which still may count in a budget; one that runs has no end to move."""
    store = await open_store(new_url("sqlite"))
    month = 31 * 86_400
    await begin(store, attempt(1, 50, ended_at=NOON - 10), attempt(2), attempt(3, month - 1), attempt(4, month + 1))
    async with store.writing() as connection:
        await service_restarts.moved(connection, NOON + seconds, seconds)
    found = {one.item_id: (one.began_at, one.ended_at) for one in await past(store)}
    assert found == {
        1: (NOON - 50 + seconds, NOON - 10 + seconds),
        2: (NOON + seconds, None),
        3: (NOON - month + 1 + seconds, None),
        4: (NOON - month - 1, None),
    }


async def test_the_past_is_bounded_and_the_newest_come_first(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    store = await open_store(new_url("sqlite"))
    await begin(store, *(attempt(item, item) for item in range(10)))
    found = await service_restarts.history(store, "web", since=NOON - 8, limit=3)
    assert [one.item_id for one in found] == [0, 1, 2]
    assert len(await service_restarts.history(store, None, since=NOON - 8)) == 8


async def test_a_trend(new_url: Callable[[str], str], open_store: Callable[..., Any]) -> None:
    """In equal stretches: how often, and whether it helped (S3.34); one that is empty is there too."""
    store = await open_store(new_url("sqlite"))
    await begin(
        store,
        attempt(1, 299, acted=True, verified=True),
        attempt(2, 250, acted=True, verified=False),
        attempt(3, 201, acted=False, verified=None),
        attempt(4, 99, acted=None, verified=True),
        attempt(5, 0),
        attempt(6, 50, service="db", acted=True, verified=True),
    )
    assert await service_restarts.trend(store, "web", since=NOON - 300, until=NOON, buckets=3) == [
        Trend(NOON - 300, 3, 2, 1, 1),
        Trend(NOON - 200, 0, 0, 0, 0),
        Trend(NOON - 100, 2, 0, 1, 0),
    ]


async def test_old_attempts_are_deleted_the_oldest_first(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    store = await open_store(new_url("sqlite"))
    await begin(store, *(attempt(item, item) for item in range(10)))
    assert await service_restarts.purge(store, NOON - 5, 3) == 3
    assert await service_restarts.purge(store, NOON - 5, 3) == 1
    assert [one.item_id for one in await past(store)] == [0, 1, 2, 3, 4, 5]
