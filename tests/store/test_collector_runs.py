"""The last success of each source outlives the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from exporter.store.collector_runs import recall, remember

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_newest_stays(url: str, open_store: Callable[..., Any]) -> None:
    """A newer time replaces an older one, an older one changes nothing, and other rows are left alone."""
    store = await open_store(url)
    await remember(store, {("packages", "a"): 10.0, ("packages", "b"): 20.0})
    await remember(store, {("packages", "a"): 9.0, ("packages", "b"): 21.5})
    assert await recall(store) == {("packages", "a"): 10.0, ("packages", "b"): 21.5}


async def test_keys_compare_byte_for_byte(url: str, open_store: Callable[..., Any]) -> None:
    """Names that differ in case, accent or script are different sources; a microsecond survives."""
    expected = {
        ("packages", name): 1_700_000_000.123456 + at for at, name in enumerate(("npm", "NPM", "nпm", "é", "e", "😀"))
    }
    store = await open_store(url)
    await remember(store, expected)
    assert await recall(await open_store(url)) == expected


async def test_nothing_to_remember(url: str, open_store: Callable[..., Any]) -> None:
    """No success is no statement and no error."""
    store = await open_store(url)
    await remember(store, {})
    assert await recall(store) == {}


async def test_many_writers_of_the_same_rows(url: str, open_store: Callable[..., Any]) -> None:
    """Replicas that note the same sources at once, in any order, neither deadlock nor lose the newest time."""
    stores = [await open_store(url) for _ in range(2)]
    names = [f"source-{number}" for number in range(20)]

    async def write(at: int) -> None:
        order = names if at % 2 else names[::-1]
        await remember(stores[at % 2], {("packages", name): float(at) for name in order})

    await asyncio.gather(*(write(at) for at in range(20)))
    assert await recall(stores[0]) == {("packages", name): 19.0 for name in names}
