"""`watchbridge backlog process`: say what would be done with the items that are due, or do it here and now."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import acting_here, data, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.restarting.strategy import Strategy
    from exporter.store.backlog import BacklogItem
    from exporter.worker.by_hand import Processed

    Windows = Callable[[str | None, str | None], str | None]

RESTARTS: Final = "restarts"
COLUMNS: Final = ("id", "queue", "key", "outcome", "what")
WAITING: Final = ("pending", "failed", "held")
STOPPED: Final = "Stopped: what ran was ended, and is kept as interrupted; `watchbridge backlog list` shows it."


@click.command()
@click.option("--queue", metavar="QUEUE", help="Only this queue; left out, `backlog.queue`, or all of them.")
@click.option(
    "--test/--no-test",
    "test",
    default=None,
    help="Only say what would be done, or do it; left out, `backlog.test_mode` of the configuration, which is --test.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Items at most.")
@data.with_output
def process(queue: str | None, limit: int, config: Path | None, output: str, *, test: bool | None) -> None:
    """Say what would be done with each item that waits, or with --no-test run the action of each that is due.

    With --test nothing is changed and nothing is run. With --no-test the items run in this process, under the same
    lease as in the server and whatever the mode is: this command is a person's. Items of a queue without an action
    wait for a person: see `watchbridge backlog mark-processed`.

    Exit status: 0 fine, 1 one that ran has failed, 2 usage or configuration, 3 the store cannot be reached.
    """
    configuration = data.configured(config)
    chosen = queue or configuration.backlog.queue
    if configuration.backlog.test_mode if test is None else test:
        _simulated(configuration, chosen, limit, output, asked=test is not None)
    else:
        _real(configuration, chosen, limit, output)


def _simulated(configuration: Configuration, queue: str | None, limit: int, output: str, *, asked: bool) -> None:
    rows = data.awaited("Reading the store", _planned(configuration, queue, limit + 1))
    data.show(output, rows[:limit], COLUMNS, "No item waits.", more=("plan",))
    if len(rows) > limit:
        data.tell(f"These are the oldest {limit}: a higher --limit shows more.")
    why = "--test was given" if asked else "`backlog: {test_mode: true}`, the default, says so"
    data.tell(
        f"Test mode: nothing was run and nothing was changed ({why}). To run what is due: "
        "watchbridge backlog process --no-test"
    )


async def _planned(configuration: Configuration, queue: str | None, limit: int) -> list[dict[str, Any]]:
    from exporter.cli import backlog_queues
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        if queue is not None:
            backlog_queues.sought(configuration, queue, [one for one, _ in await backlog.counts(store)])
        found = await backlog.listed(store, queue=queue, states=WAITING, limit=limit)
        now = time.time()
        windows = await data.maintenance(configuration, store, now)
    return [_row(configuration, one, now, windows) for one in found]


def _row(configuration: Configuration, one: BacklogItem, now: float, windows: Windows) -> dict[str, Any]:
    """Return what would be done with an item now."""
    from exporter import acting
    from exporter.cli import backlog_queues
    from exporter.logs import REDACTION
    from exporter.model import Plan

    row = {"id": one.id, "queue": one.queue, "key": one.key, "outcome": "waits", "what": "", "plan": None}
    action = backlog_queues.action_of(configuration, one)
    strategy = _strategy(configuration, one)
    if one.queue == RESTARTS and strategy is None:
        return row | {"what": "its service has no `restart`: a person does it, then `mark-processed`"}
    if action is None and strategy is None:
        return row | {"what": "its queue has no action: a person does it, then `mark-processed`"}
    if (why := _held(configuration, one, windows)) is not None:
        return row | {"outcome": "held", "what": why}
    if one.state != "held" and one.due_at > now:
        return row | {"what": f"its next attempt is at {tables.moment(one.due_at)}"}
    if strategy is not None:
        plan = strategy.plan()
    elif action is not None:
        plan = acting.plan(action.kind, action.options, one.item)
    if not isinstance(plan, Plan):
        return row | {"outcome": "would fail", "what": REDACTION.apply(plan)}
    return row | {"outcome": "would run", "what": REDACTION.apply(plan.sentence), "plan": dict(plan.details)}


def _strategy(configuration: Configuration, one: BacklogItem) -> Strategy | None:
    """Return how the service of an item is restarted; None for what is no restart, and for a service without one."""
    from exporter.restarting.strategy import strategy_of

    service = configuration.services.get(one.service or "") if one.queue == RESTARTS else None
    return None if service is None or one.service is None else strategy_of(one.service, service)


def _held(configuration: Configuration, one: BacklogItem, windows: Windows) -> str | None:
    """Return why an item would not be run although a person asks for it, if so."""
    service = configuration.services.get(one.service or "")
    if (why := windows(one.service, None if service is None else service.group)) is not None:
        return why
    if one.state == "held" and one.hold not in {"mode", "window"}:
        return one.explanation or f"held: {one.hold}"
    return None


def _real(configuration: Configuration, queue: str | None, limit: int, output: str) -> None:
    found, waiting = data.awaited(
        "Running what is due", acting_here.until_terminated(_processed(configuration, queue, limit), STOPPED)
    )
    rows = [
        {
            "id": one.item.id,
            "queue": one.item.queue,
            "key": one.item.key,
            "outcome": one.state,
            "what": one.explanation,
            "seconds": None if one.seconds is None else round(one.seconds, 3),
        }
        for one in found
    ]
    data.show(output, rows, COLUMNS, "Nothing that can be run here is due.", more=("seconds",))
    for name, count in waiting.items():
        data.tell(
            f"{count} item{'' if count == 1 else 's'} of the queue {name}, which has no action, "
            f"wait{'s' if count == 1 else ''} for a person: `watchbridge backlog mark-processed --queue {name} KEY`."
        )
    if any(row["outcome"] in {"failed", "dead"} for row in rows):
        raise click.exceptions.Exit(1)


async def _processed(
    configuration: Configuration, queue: str | None, limit: int
) -> tuple[Sequence[Processed], dict[str, int]]:
    """Run what is due; return what became of it, and how many items wait for a person by queue."""
    from exporter.cli import backlog_queues
    from exporter.clock import SystemClock
    from exporter.store import backlog
    from exporter.worker.by_hand import process_once

    # The rows and their outcomes say it; the worker's log is that of the server.
    logging.getLogger("exporter.worker").addHandler(logging.NullHandler())
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(data.opened(configuration))
        if queue is not None:
            backlog_queues.sought(configuration, queue, [one for one, _ in await backlog.counts(store)])
        chosen = [queue] if queue is not None else list(configuration.queues)
        tools = await stack.enter_async_context(acting_here.equipment(configuration, clock))
        found = await process_once(store, clock, configuration, tools, actor=data.actor(), queues=chosen, limit=limit)
        counts = await backlog.counts(store)
    return found, _for_people(configuration, chosen if queue is not None else [one for one, _ in counts], counts)


def _for_people(
    configuration: Configuration, queues: Iterable[str], counts: Mapping[tuple[str, str], int]
) -> dict[str, int]:
    """Return how many items of queues without an action wait, by queue."""
    from exporter.bridge.options import BUILT_IN
    from exporter.cli import backlog_queues

    waiting = {
        name: sum(counts.get((name, state), 0) for state in WAITING)
        for name in sorted(set(queues))
        if name not in BUILT_IN and backlog_queues.action(configuration, name) is None
    }
    return {name: count for name, count in waiting.items() if count}
