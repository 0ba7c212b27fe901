"""`watchbridge backlog import`: files of JSON Lines become items of the backlog."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from exporter.backlog_lines import LINE_BYTES
from exporter.cli import data
from exporter.cli.backlog_export import added_at
from exporter.cli.option_types import FilePath
from exporter.cli.progress import ProgressLine
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporter.backlog_lines import Line
    from exporter.cli.backlog_log import Change
    from exporter.config import Configuration
    from exporter.store.backlog import BacklogItem, NewItem
    from exporter.store.store import Store

TOLD: Final = 20
"""Bad lines of a file that are told one by one; of the rest only how many there are."""


@dataclass(slots=True)
class Imported:
    """How the import of a file goes on."""

    file: str
    pending: int = 0
    processed: int = 0
    known: int = 0
    bad: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """Return it as a row."""
        return {name: getattr(self, name) for name in ("file", "pending", "processed", "known", "bad")}


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FilePath(dir_okay=False, allow_dash=True))
@click.option("--queue", metavar="QUEUE", help="The queue; see `watchbridge backlog --help` for the default.")
@click.option(
    "--processed/--pending",
    "processed",
    default=None,
    help="What the items of the files are. Left out, a file whose name begins with `processed` has processed ones, and "
    "any other has pending ones, but for lines with `processed_at`.",
)
@data.with_output
def import_(
    files: tuple[str, ...], queue: str | None, config: Path | None, output: str, *, processed: bool | None
) -> None:
    """Add the items of each FILE of JSON Lines to a queue, such as pending_users.jsonl; `-` is standard input.

    A line is an object with `user_id`, `key`, `id` or `user`, and perhaps `reason` and `timestamp` (or `added_at`,
    `created_at`, `queued_at`, `processed_at`), as ISO 8601 or as seconds since 1970. Processed items are added as
    done. What is in the backlog already is not added again, so the same file can be imported twice. A line that
    cannot be read is told with its number, and the rest is imported.

    Exit status: 0 all lines were read, 1 some were not, 2 usage or configuration, 3 the store or a file cannot be
    reached.
    """
    from exporter.cli import backlog_queues

    configuration = data.configured(config)
    chosen = backlog_queues.named(configuration, queue)
    with ProgressLine() as line:
        found = asyncio.run(_imported(configuration, chosen, files, processed, line.hook()))
    rows = [one.row for one in found]
    data.show(output, rows, tuple(rows[0]))
    if any(one.bad for one in found):
        raise click.exceptions.Exit(1)


async def _imported(
    configuration: Configuration,
    queue: str,
    files: tuple[str, ...],
    processed: bool | None,  # noqa: FBT001 -- an option
    tell: Callable[[str, int, int | None], None] | None,
) -> list[Imported]:
    found = []
    async with data.opened(configuration, make=True) as store:
        into = _Into(store, queue, configuration.backlog.log_file)
        for file in files:
            with _lines(file) as lines:
                found.append(Imported(file))
                named_so = Path(file).name.startswith("processed")
                await _file(into, lines, found[-1], named_so if processed is None else processed, tell)
    return found


async def _file(
    into: _Into,
    lines: Iterator[bytes],
    told: Imported,
    processed: bool,  # noqa: FBT001 -- an option
    tell: Callable[[str, int, int | None], None] | None,
) -> None:
    from exporter.store.backlog_import import MOST
    from exporter.store.bulk import pieces

    for piece in pieces(_good(lines, told, processed=processed), MOST):
        await into.take([line for _, line in piece], told)
        if tell is not None:
            tell(f"Importing {Path(told.file).name}", piece[-1][0], None)
    if told.bad > TOLD:
        data.tell(f"{told.file}: {told.bad - TOLD} more lines cannot be read")


def _good(lines: Iterator[bytes], told: Imported, *, processed: bool) -> Iterator[tuple[int, Line]]:
    """Yield the lines that can be taken with their numbers, and tell of the others."""
    from exporter import backlog_lines

    for found in backlog_lines.read(lines, processed=processed):
        if not isinstance(found, backlog_lines.BadLine):
            yield found
            continue
        told.bad += 1
        if told.bad <= TOLD:
            data.tell(f"{told.file}:{found.number}: {found.sentence}")


@dataclass(frozen=True, slots=True)
class _Into:
    """Where lines go: a queue of a store, and the log file of what changes."""

    store: Store
    queue: str
    log_file: Path | None

    async def take(self, lines: Sequence[Line], told: Imported) -> None:
        """Add the items of lines, unless they are there."""
        from exporter.cli import backlog_log
        from exporter.store.backlog_import import Import, add_many

        now = time.time()
        items = [_item(self.queue, line, now) for line in lines]
        added = await add_many(self.store, items, Import(self.queue, data.actor(), now, _is_known))
        new = [line for line, is_new in zip(lines, added, strict=True) if is_new]
        told.known += len(lines) - len(new)
        told.processed += sum(line.processed for line in new)
        told.pending += sum(not line.processed for line in new)
        backlog_log.record(self.log_file, now, [_change(self.queue, line) for line in new])


def _item(queue: str, line: Line, now: float) -> NewItem:
    from exporter.store.backlog import NewItem

    times = {"added_at": line.added_at, "processed_at": line.processed_at}
    context = {name: value for name, value in times.items() if value is not None}
    return NewItem(
        queue, line.key, line.reason, "import", "done" if line.processed else "pending", "auto", now, context
    )


def _change(queue: str, line: Line) -> Change:
    from exporter.cli.backlog_log import Change

    return Change("import-processed" if line.processed else "import", line.key, queue, line.reason)


def _is_known(item: NewItem, stored: BacklogItem) -> bool:
    """Return whether a line tells of an item that was pending here once, whatever has become of it since.

    A file that was imported before must not enqueue again what has been done meanwhile.
    """
    from exporter.backlog_lines import told

    if item.state == "done" or "processed_at" in stored.context:
        return False  # the store itself has no two done items of one key by hand
    wanted = item.context.get("added_at")
    if wanted is None:
        return stored.origin == "import" and "added_at" not in stored.context and stored.reason == item.reason
    return told(added_at(stored)) == told(wanted)


@contextlib.contextmanager
def _lines(file: str) -> Iterator[Iterator[bytes]]:
    try:
        with contextlib.ExitStack() as stack:
            stream: BinaryIO = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            yield _bounded(stream, file)
    except OSError as error:
        if error.filename is None:
            raise
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            reason=f"The file {file} cannot be read: {reason}; check its name and its rights."
        ) from error


def _bounded(stream: BinaryIO, file: str) -> Iterator[bytes]:
    """Yield lines; of one that is too long its beginning, still too long, and nothing of the rest."""
    while True:
        try:
            line = stream.readline(LINE_BYTES + 2)
            rest = line
            while len(rest) > LINE_BYTES + 1 and not rest.endswith(b"\n"):
                rest = stream.readline(LINE_BYTES + 2)
        except OSError as error:
            raise OSError(error.errno, error.strerror, file) from error
        if not line:
            return
        yield line
