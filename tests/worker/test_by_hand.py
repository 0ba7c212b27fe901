"""`backlog process --no-test`: a person runs what is due, once, whatever the mode is, under the server's own lease."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from servers.backlog import enqueue, incident, new, resolve

from exporter.errors import StoreError
from exporter.store import action_runs, audit, backlog
from exporter.worker.by_hand import Equipment, process_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.worker.by_hand import Processed

TEXT = """
mode: {mode}
queues:
  q: {{{action}, concurrency: 2, attempts: 2, backoff: [1s]}}
  bad: {{action: {{kind: command, argv: [/bin/false]}}, attempts: 2, backoff: [1s]}}
  people: {{}}
"""


async def process(here: Any, *queues: str, limit: int = 100, **more: Any) -> list[Processed]:
    """Work off what is due as the command does."""
    return await process_once(
        here.store,
        here.clock,
        here.configuration,
        Equipment(here.parts, here.probing),
        actor="cli:ann",
        queues=queues or ("q", "bad", "people"),
        limit=limit,
        **more,
    )


@pytest.mark.parametrize("mode", ["observe", "approve", "auto"])
async def test_each_item_that_is_due_is_run_once(place: Callable[..., Any], marks: Any, mode: str) -> None:
    """Also what the mode holds; what fails is not run a second time, and what waits for its time is left."""
    here = await place(TEXT.format(mode=mode, action=marks.action()))
    now = here.clock.time()
    held = {"state": "held", "hold": "mode", "due_at": now + 30, "mode": mode}
    await enqueue(here.store, [new("held", **held), new("later", due_at=now + 60)], now)
    for key, queue in (("a", "q"), ("b", "q"), ("c", "bad"), ("d", "people")):
        await here.add(key, queue)
    heard: list[Processed] = []
    found = await process(here, told=heard.append)
    assert found == heard
    assert {one.item.key: one.state for one in found} == {"a": "done", "b": "done", "held": "done", "c": "failed"}
    assert marks.count == 3
    left = {item.key: item.state for item in await backlog.listed(here.store) if item.state != "done"}
    assert left == {"later": "pending", "c": "failed", "d": "pending"}
    (run,) = await action_runs.of(here.store, found[0].item.id)
    assert run.replica == "cli:ann"


async def test_not_for_what_is_over_nor_in_a_window(place: Callable[..., Any], marks: Any) -> None:
    """A person overrules the mode, not what the gate knows of the alert and of maintenance."""
    window = "windows:\n  - {all: true, start: '2026-05-01T11:00:00Z', end: '2026-05-01T13:00:00Z'}\n"
    here = await place(TEXT.format(mode="auto", action=marks.action()) + window)
    number, now = await incident(here.store, "one"), here.clock.time()
    await enqueue(here.store, [new("over", incident_id=number, rule="r", step=0, due_at=now)], now)
    await resolve(here.store, number)
    await here.add("window")
    assert await process(here) == []
    found = {item.key: (item.state, item.hold) for item in await backlog.listed(here.store)}
    assert found == {"over": ("cancelled", "resolved"), "window": ("held", "window")}
    assert marks.count == 0


@pytest.mark.parametrize(("limit", "queues", "ran"), [(2, (), 2), (100, ("q",), 3), (100, ("bad",), 0), (1, ("q",), 1)])
async def test_only_so_many_and_only_what_is_asked(
    place: Callable[..., Any], marks: Any, limit: int, queues: tuple[str, ...], ran: int
) -> None:
    here = await place(TEXT.format(mode="auto", action=marks.action()))
    for key in "abc":
        await here.add(key)
    assert len(await process(here, *queues, limit=limit)) == ran
    assert marks.count == ran


async def test_a_server_beside_it_runs_none_of_it_twice(url: str, place: Callable[..., Any], marks: Any) -> None:
    """Both claim from one store; the audit and the runs tell who had which."""
    here = await place(TEXT.format(mode="auto", action=marks.action()), url)
    worker = here.worker()
    for place_ in range(12):
        await here.add(f"k{place_}")

    async def serve() -> None:
        while (await backlog.counts(here.store)).get(("q", "done"), 0) < 12:
            await here.turn(worker, 0.0)

    await asyncio.gather(process(here), serve())
    assert marks.count == 12
    for item in await backlog.listed(here.store):
        assert len(await action_runs.of(here.store, item.id)) == 1


async def test_an_interrupted_command_leaves_nothing_running(place: Callable[..., Any], marks: Any) -> None:
    """Ctrl-C stops the action, and writes that its end was not seen and why."""
    here = await place(TEXT.format(mode="auto", action=marks.action("exec sleep 60")))
    number = await here.add()
    task = asyncio.create_task(process(here))
    while marks.count == 0:  # noqa: ASYNC110 -- a process says it, not the loop
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    item = await here.item(number)
    assert (item.state, item.lease_owner) == ("dead", None)
    assert (item.explanation or "").endswith("(the command was stopped)")
    assert [entry.verb for entry in await audit.of(here.store, "item", number)] == ["added", "dead"]


async def test_a_store_that_cannot_be_reached_is_said(place: Callable[..., Any], marks: Any) -> None:
    here = await place(TEXT.format(mode="auto", action=marks.action()))
    await here.add()
    here.store.plan.append("before")
    with pytest.raises(StoreError):
        await process(here)
    assert marks.count == 0
