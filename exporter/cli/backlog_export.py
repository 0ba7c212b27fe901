"""`watchbridge backlog export`: the backlog as files of JSON Lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from exporter.backlog_lines import PENDING_FILE, PROCESSED_FILE
from exporter.cli import data
from exporter.cli.option_types import FilePath
from exporter.errors import ExportFailedError, ExportWouldOverwriteError
from exporter.model import ITEM_STATES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from exporter.config import Configuration
    from exporter.store.backlog import BacklogItem
    from exporter.store.store import Store

PAGE: Final = 1000
TO_DO: Final = frozenset({"pending", "held", "failed", "running", "dead"})


@click.command()
@click.option("--queue", metavar="QUEUE", help="The queue; see `watchbridge backlog --help` for the default.")
@click.option(
    "--directory",
    type=FilePath(path_type=Path, file_okay=False),
    help=f"Write {PENDING_FILE} and {PROCESSED_FILE} into this folder, which is made where it is missing.",
)
@click.option(
    "--state",
    "states",
    type=click.Choice(list(ITEM_STATES)),
    multiple=True,
    help="Print items in this state; may be repeated. Left out, all that is still to be done.",
)
@click.option("--force", is_flag=True, help="Replace the files of --directory if they are there.")
@data.with_config
def export(
    queue: str | None, directory: Path | None, states: tuple[str, ...], config: Path | None, *, force: bool
) -> None:
    """Print the items of a queue as JSON Lines, or write them to two files of a folder.

    What is done goes to the file of processed items, with the time at which it was processed, and what is still to be
    done to the other; what was cancelled is in neither. `watchbridge backlog import` reads both.

    Exit status: 0 fine, 1 the files are there already, 2 usage or configuration, 3 the store cannot be reached or the
    files cannot be written.
    """
    from exporter.cli import backlog_queues

    if directory is not None and states:
        raise click.UsageError("Give --directory or --state, not both: the files have their states by their names.")
    configuration = data.configured(config)
    chosen = backlog_queues.named(configuration, queue)
    if directory is None:
        data.awaited("Reading the store", _printed(configuration, chosen, frozenset(states) or TO_DO))
        return
    there = [name for name in (PENDING_FILE, PROCESSED_FILE) if os.path.lexists(directory / name)]
    if there and not force:
        raise ExportWouldOverwriteError(target=str(directory), names=", ".join(there))
    counts = data.awaited("Reading the store", _exported(configuration, chosen, directory))
    for name in (PENDING_FILE, PROCESSED_FILE):
        data.tell(f"Wrote {counts[name]} item{'' if counts[name] == 1 else 's'} to {directory / name}.")


async def _printed(configuration: Configuration, queue: str, states: frozenset[str]) -> None:
    async with data.opened(configuration) as store:
        async for one in _items(store, queue, states):
            sys.stdout.buffer.write(_line(one))
    sys.stdout.buffer.flush()


async def _items(store: Store, queue: str, states: frozenset[str]) -> AsyncIterator[BacklogItem]:
    from exporter.store import backlog

    after = 0
    while page := await backlog.listed(store, queue=queue, states=tuple(sorted(states)), limit=PAGE, after_id=after):
        for one in page:
            yield one
        after = page[-1].id


def _line(one: BacklogItem) -> bytes:
    from exporter import backlog_lines

    moment = processed_at(one) if one.state == "done" else added_at(one)
    return backlog_lines.written(one.key, one.reason, moment).encode() + b"\n"


def added_at(one: BacklogItem) -> float:
    """Return when an item was added: what the file that it came from says, else when it was stored."""
    said = one.context.get("added_at")
    return float(said) if isinstance(said, int | float) else one.created_at


def processed_at(one: BacklogItem) -> float:
    """Return when an item that is done was processed."""
    said = one.context.get("processed_at")
    if isinstance(said, int | float):
        return float(said)
    return one.created_at if one.finished_at is None else one.finished_at


async def _exported(configuration: Configuration, queue: str, directory: Path) -> Counter[str]:
    """Write both files beside their places, then move them there: a reader never sees half of one."""
    counts: Counter[str] = Counter()
    async with data.opened(configuration) as store:
        with _written(directory) as files:
            async for one in _items(store, queue, TO_DO | {"done"}):
                name = PROCESSED_FILE if one.state == "done" else PENDING_FILE
                files[name].write(_line(one))
                counts[name] += 1
    return counts


@contextlib.contextmanager
def _written(directory: Path) -> Iterator[dict[str, BinaryIO]]:
    """Give both files to write, readable by their owner only; they take their names when all went well."""
    import tempfile

    made: dict[str, Any] = {}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (PENDING_FILE, PROCESSED_FILE):
            made[name] = tempfile.NamedTemporaryFile(dir=directory, prefix=f".{name}.", delete=False)  # noqa: SIM115
        yield made
        for name, file in made.items():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            Path(file.name).replace(directory / name)
    except OSError as error:
        raise ExportFailedError(target=str(directory), reason=error.strerror or type(error).__name__) from error
    finally:
        for file in made.values():
            file.close()
            Path(file.name).unlink(missing_ok=True)
