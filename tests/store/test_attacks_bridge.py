"""What was begun by somebody else is never taken for what nobody began."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from servers.backlog import enqueue, new

from exporter.store import action_runs, backlog, backlog_claims, backlog_takeover
from exporter.store.backlog_claims import Begin, Holder, Wish

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_what_was_taken_over_is_no_stray(url: str, open_store: Callable[..., Any]) -> None:
    """Where the answer to the takeover was lost, and that to a claim after it: only the claim is given back."""
    store = await open_store(url)
    await enqueue(store, [new("taken"), new("claimed")], 100.0)
    taken, claimed = (one.id for one in await backlog.listed(store))
    dead, ours = Holder("dead#1", "a", 0.0), Holder("ours#1", "b", 30.0)
    for holder in (dead, ours):
        async with store.writing() as connection:
            begun = lambda _item, _incident: Begin("command", "true")  # noqa: E731 -- decides for both alike
            await backlog_claims.claimed(connection, store, holder, Wish("q", 1), begun)
        if holder is dead:
            await asyncio.sleep(0.01)  # the lease ends by the clock of the database
            async with store.writing() as connection:
                items, _ = await backlog_takeover.overdue(connection, store, ours, queues=None)
            assert [one.id for one in items] == [taken]
    async with store.writing() as connection:
        assert len(await backlog_claims.strays(connection, "ours#1", ())) == 1
    states = {one.id: (one.state, one.attempts) for one in await backlog.listed(store)}
    assert states == {taken: ("running", 1), claimed: ("pending", 0)}
    assert [run.outcome for run in await action_runs.of(store, taken)] == ["interrupted"]
