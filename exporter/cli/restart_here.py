"""`watchbridge restart --here`: services are restarted in this process, under the leases of all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import acting_here, data
from exporter.cli.progress import ProgressLine
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.config import Configuration
    from exporter.restarting.strategy import Restartable
    from exporter.store.store import Store
    from exporter.worker.by_hand import Restarted

COLUMNS: Final = ("service", "item", "outcome", "verified", "seconds", "what")
STOPPED: Final = (
    "Stopped: what ran was ended and judged, and is kept; a server goes on with it. `watchbridge backlog list --queue "
    "restarts` shows it."
)


def run(configuration: Configuration, terms: Restartable, names: Sequence[str], why: str, output: str) -> None:
    """Restart services, which are in their order; print how each ended, and exit with 1 where one did not help."""
    _refuse_foreign(terms, names)
    rows: list[dict[str, Any]] = []
    with ProgressLine() as line:

        def told(row: dict[str, Any]) -> None:
            rows.append(row)
            if output == "table":
                line.clear()
                data.write(data.line(_line(row)))

        work = acting_here.until_terminated(_restarted(configuration, names, why, told), STOPPED)
        asyncio.run(line.during(f"Restarting {_counted(names)}", work))
    if output != "table":
        data.show(output, rows, COLUMNS)
    if any(row["outcome"] != "done" for row in rows):
        raise click.exceptions.Exit(1)


def _refuse_foreign(terms: Restartable, names: Sequence[str]) -> None:
    for name in names:
        if name in terms.foreign:
            node = terms.strategies[name].node
            raise ConfigurationError(
                reason=f"Nothing is restarted: {name} runs on the node {node}, and this is {terms.node}; leave --here "
                "out, or run it there."
            )


async def _restarted(
    configuration: Configuration, names: Sequence[str], why: str, told: Callable[[dict[str, Any]], None]
) -> None:
    from exporter.cli import restart
    from exporter.clock import SystemClock
    from exporter.store import backlog
    from exporter.worker.by_hand import RESERVED, restart_each

    # Each end is printed; the log of restarts and of the worker is that of the server.
    for name in ("exporter.worker", "exporter.restarts"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(data.opened(configuration, make=True))
        tools = await stack.enter_async_context(acting_here.equipment(configuration, clock))

        async def enqueued(name: str) -> int:
            one = await restart.enqueued(store, name, why, reserved=RESERVED)
            if one.outcome == "there":
                retried = await backlog.retry(store, [one.item], actor=data.actor(), now=time.time())
                data.tell(f"{name} (item {one.item}): {one.what}{'; it is tried at once' if retried else ''}.")
            return one.item

        ended: list[Restarted] = []
        found = asyncio.create_task(
            restart_each(store, clock, configuration, tools, names, enqueued, actor=data.actor(), told=ended.append)
        )
        await _tell_each(store, configuration, found, ended, told)


async def _tell_each(
    store: Store,
    configuration: Configuration,
    work: asyncio.Task[list[Restarted]],
    ended: list[Restarted],
    told: Callable[[dict[str, Any]], None],
) -> None:
    """Tell of each end as it comes; the work is stopped with us."""
    from exporter.cli import restart
    from exporter.worker.by_hand import LOOK_AGAIN

    count = 0
    try:
        while count < len(ended) or not work.done():
            for one in ended[count:]:
                row = await restart.ended(store, configuration, one.service, one.number, one.item)
                told(row | {"seconds": None if one.seconds is None else round(one.seconds, 3)})
                count += 1
            await asyncio.wait({work}, timeout=LOOK_AGAIN)
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
    work.result()


def _counted(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} services"


def _line(row: dict[str, Any]) -> str:
    took = "" if row["seconds"] is None else f" ({row['seconds']:.1f} s)"
    stays = "" if row["outcome"] in {"done", "dead", "cancelled", "gone"} else _STAYS.format(item=row["item"])
    what = row["what"] if row["what"].startswith(f"{row['outcome']}") else f"{row['outcome']}: {row['what']}"
    return f"{row['service']} (item {row['item']}): {what}{took}.{stays}"


_STAYS: Final = " It stays in the backlog for a server: `watchbridge backlog mark-processed --id {item}` takes it out."
