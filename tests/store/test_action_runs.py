"""Runs are stored when they begin, ended once, and forgotten where nothing of them began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servers.backlog import enqueue, new

from exporter.store import action_runs, backlog
from exporter.store.action_runs import ActionRun, Ended

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_life_of_runs(url: str, open_store: Callable[..., Any]) -> None:
    """An end is written to the run of its fence alone, and only once; what nobody saw end is told with what it was."""
    store = await open_store(url)
    await enqueue(store, [new("a"), new("b")])
    one, two = [item.id for item in await backlog.listed(store)]
    begun = [
        ActionRun(number, fence, fence, "r", "command", "/bin/x é", 10.0 * fence)
        for number in (one, two)
        for fence in (1, 2)
    ]
    async with store.writing() as connection:
        await action_runs.begun(connection, begun)
        await action_runs.ended(connection, [])
        await action_runs.ended(connection, [Ended(one, 1, "done", "well", "", 15.0)])
        await action_runs.ended(connection, [Ended(one, 1, "retry", "again", "more", 16.0)])
    first, second = await action_runs.of(store, one)
    assert (first.outcome, first.detail, first.output, first.ended_at) == ("done", "well", None, 15.0)
    assert second == begun[1]
    async with store.writing() as connection:
        await action_runs.undone(connection, [(two, 1), (one, 1), (two, 9)])
        unseen = await action_runs.interrupted(connection, [one, two], 50.0, "nobody saw")
    assert [(run.item_id, run.kind, run.plan, run.began_at) for run in unseen] == [
        (one, "command", "/bin/x é", 20.0),
        (two, "command", "/bin/x é", 20.0),
    ]
    assert [(run.outcome, run.detail, run.ended_at) for run in await action_runs.of(store, two)] == [
        ("interrupted", "nobody saw", 50.0)
    ]
    async with store.writing() as connection:
        assert await action_runs.interrupted(connection, [one, two], 60.0, "") == []
    assert len(await action_runs.of(store, one)) == 2
