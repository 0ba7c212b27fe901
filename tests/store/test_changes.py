"""An idle server asks the file whether anything was written before it asks the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.store.changes import Changes
from exporter.store.collector_runs import remember

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE = 30.0


async def test_a_commit_by_anybody_makes_a_look_worth_while(url: str, open_store: Callable[..., Any]) -> None:
    """Of a file each commit is seen, also by another connection; of a shared store nobody knows, so it is asked."""
    store, other = await open_store(url), await open_store(url)
    changes, is_file = Changes(store, IDLE), store.dialect == "sqlite"
    assert changes.possible(0.0), "nobody has looked yet"
    for turn, writer in enumerate((store, other, store)):
        changes.looked(float(turn))
        assert changes.possible(turn + 0.5) is not is_file
        await remember(writer, {("packages", f"npm-{turn}"): float(turn)})
        assert changes.possible(turn + 0.5)


async def test_it_is_asked_now_and_then_all_the_same(
    new_url: Callable[[str], str], open_store: Callable[..., Any]
) -> None:
    """And at once after a look that did not come to its end."""
    changes = Changes(await open_store(new_url("sqlite")), IDLE)
    changes.looked(100.0)
    assert [changes.possible(100.0 + seconds) for seconds in (0.0, IDLE - 0.1, IDLE)] == [False, False, True]
    changes.looked(200.0)
    changes.forget()
    assert changes.possible(200.0)
