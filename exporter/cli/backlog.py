"""`watchbridge backlog`: what is to be done, what became of it, and what a person does about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from exporter.cli import backlog_changes, backlog_export, backlog_files, backlog_process, data
from exporter.model import ITEM_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.config import Configuration

STATES = click.Choice(list(ITEM_STATES))
QUEUE = click.option("--queue", metavar="QUEUE", help="Only this queue.")


@click.group()
def command() -> None:
    """Show and change the backlog: durable items of work in queues.

    With an action, a queue is worked off by the running server; without one, its items wait for a person. A command
    that changes one queue and names none takes `backlog.queue` of the configuration, or the only queue there is, or
    the queue `default`. Each takes effect at once, beside a running server or without one.
    """


@command.command()
@click.argument("key")
@click.argument("reason", nargs=-1)
@click.option("--queue", metavar="QUEUE", help="The queue; see `watchbridge backlog --help` for the default.")
@data.with_output
def add(key: str, reason: tuple[str, ...], queue: str | None, config: Path | None, output: str) -> None:
    """Add KEY to a queue, with the REASON that people will read.

    Adding what is there already changes nothing: it prints the id of the item that is there.

    Exit status: 0 it is in the backlog, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter import backlog_lines
    from exporter.cli import backlog_log, backlog_queues

    configuration = data.configured(config)
    try:
        key, why = backlog_lines.key_of(key), backlog_lines.reason_of(" ".join(reason))
    except backlog_lines.LineError as error:
        raise click.UsageError(f"This cannot be added: {error}.") from None
    chosen = backlog_queues.named(configuration, queue)
    now = time.time()
    number, added = data.awaited("Writing the store", _add(configuration, chosen, key, why, now))
    row = {"id": number, "queue": chosen, "key": key, "added": added}
    said = "Added" if added else "There already is"
    data.show_one(output, row, lambda _: data.line(f"{said} item {number}: {key} in the queue {chosen}."))
    if added:
        backlog_log.record(configuration.backlog.log_file, now, [backlog_log.Change("add", key, chosen, why)])
        backlog_queues.tell_unrun(configuration, [chosen])


async def _add(configuration: Configuration, queue: str, key: str, why: str, now: float) -> tuple[int, bool]:
    from exporter.store import backlog

    async with data.opened(configuration, make=True) as store:
        return await backlog.add(store, queue, key, why, actor=data.actor(), now=now)


@command.command("list")
@QUEUE
@click.option("--state", "states", type=STATES, multiple=True, help="Only items in this state; may be repeated.")
@click.option("--key", help="Only items of this key.")
@click.option("--all", "everything", is_flag=True, help="Also what is done or cancelled.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rows at most.")
@data.with_output
def list_(  # noqa: PLR0913 -- the options of a command
    queue: str | None,
    states: tuple[str, ...],
    key: str | None,
    limit: int,
    config: Path | None,
    output: str,
    *,
    everything: bool,
) -> None:
    """List items, the oldest first: what is still to be done, or those of the states.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import backlog_tables, service_tables

    wanted = None if everything else states or backlog_tables.UNFINISHED
    found = data.awaited("Reading the store", _listed(data.configured(config), queue, wanted, key, limit + 1))
    as_table = service_tables.of(backlog_tables.IN_TABLE, "No item.")
    data.show(output, found[:limit], backlog_tables.LISTED, more=backlog_tables.MORE, as_table=as_table)
    if len(found) > limit:
        data.tell(f"These are the oldest {limit}: a higher --limit shows more.")


async def _listed(
    configuration: Configuration, queue: str | None, states: Sequence[str] | None, key: str | None, limit: int
) -> list[dict[str, Any]]:
    from exporter.cli import backlog_queues, backlog_tables
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        if queue is not None:
            backlog_queues.sought(configuration, queue, [one for one, _ in await backlog.counts(store)])
        rows = await backlog.listed(store, queue=queue, states=states, key=key, limit=limit)
    return [backlog_tables.item(row) for row in rows]


@command.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@data.with_output
def show(number: int, config: Path | None, output: str) -> None:
    """Show all of the item ID: why it is in its state, each run with its output, and who did what to it.

    Exit status: 0 fine, 1 there is no such item, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import details

    row = data.awaited("Reading the store", _shown(data.configured(config), number))
    details.show(output, row, f"There is no item {number}: `watchbridge backlog list --all` shows which there are.")


async def _shown(configuration: Configuration, number: int) -> dict[str, Any] | None:
    from exporter.cli import backlog_tables
    from exporter.store import action_runs, audit, backlog

    async with data.opened(configuration) as store:
        one = await backlog.one(store, number)
        if one is None:
            return None
        return backlog_tables.shown(one, await action_runs.of(store, number), await audit.of(store, "item", number))


@command.command()
@QUEUE
@data.with_output
def status(queue: str | None, config: Path | None, output: str) -> None:
    """Count the items of each queue by state, with its action and mode, and say when the next attempt is.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import backlog_tables

    rows, oldest = data.awaited("Reading the store", _status(data.configured(config), queue))
    now = time.time()
    data.show(
        output, rows, backlog_tables.STATUS, as_table=lambda found: backlog_tables.status_table(found, now, oldest)
    )


async def _status(configuration: Configuration, queue: str | None) -> tuple[list[dict[str, Any]], dict[str, float]]:
    from exporter.cli import backlog_queues, backlog_tables
    from exporter.store import backlog

    async with data.opened(configuration) as store:
        counts = await backlog.counts(store)
        if queue is not None:
            backlog_queues.sought(configuration, queue, [one for one, _ in counts])
        oldest = await backlog.oldest_pending(store)
        following: dict[str, float] = {}
        for one in await backlog.listed(store, queue=queue, states=("failed",), limit=10_000):
            following[one.queue] = min(one.due_at, following.get(one.queue, one.due_at))
    rows = backlog_tables.status(configuration, counts, oldest, following)
    return [row for row in rows if queue in (None, row["queue"])], oldest


for _command in (
    backlog_changes.approve,
    backlog_changes.mark_processed,
    backlog_changes.old_spelling,
    backlog_changes.retry,
    backlog_changes.clear,
    backlog_files.import_,
    backlog_export.export,
    backlog_process.process,
):
    command.add_command(_command)
