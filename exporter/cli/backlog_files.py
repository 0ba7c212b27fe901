"""`watchbridge backlog import`: files of JSON Lines become items of the backlog."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
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
    from collections.abc import Callable, Iterator

    from exporter.backlog_lines import Line
    from exporter.cli.backlog_log import Change
    from exporter.config import Configuration
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
    changes: list[Change] = field(default_factory=list)

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
    from exporter.cli import backlog_log, backlog_queues

    configuration = data.configured(config)
    chosen = backlog_queues.named(configuration, queue)
    found: list[Imported] = []
    now = time.time()
    try:
        with ProgressLine() as line:
            asyncio.run(_imported(configuration, chosen, files, processed, found, line.hook()))
    finally:
        for one in found:
            backlog_log.record(configuration.backlog.log_file, now, one.changes)
    rows = [one.row for one in found]
    data.show(output, rows, tuple(rows[0]))
    if any(one.bad for one in found):
        raise click.exceptions.Exit(1)


async def _imported(
    configuration: Configuration,
    queue: str,
    files: tuple[str, ...],
    processed: bool | None,  # noqa: FBT001 -- an option
    found: list[Imported],
    tell: Callable[[str, int, int | None], None] | None,
) -> None:
    async with data.opened(configuration) as store:
        for file in files:
            with _lines(file) as lines:
                found.append(Imported(file))
                named_so = Path(file).name.startswith("processed")
                await _file(store, queue, lines, found[-1], named_so if processed is None else processed, tell)


async def _file(
    store: Store,
    queue: str,
    lines: Iterator[bytes],
    told: Imported,
    processed: bool,  # noqa: FBT001 -- an option
    tell: Callable[[str, int, int | None], None] | None,
) -> None:
    from exporter import backlog_lines

    for found in backlog_lines.read(lines, processed=processed):
        if isinstance(found, backlog_lines.BadLine):
            told.bad += 1
            if told.bad <= TOLD:
                data.tell(f"{told.file}:{found.number}: {found.sentence}")
            continue
        await _take(store, queue, found[1], told)
        if tell is not None:
            tell(f"Importing {Path(told.file).name}", found[0], None)
    if told.bad > TOLD:
        data.tell(f"{told.file}: {told.bad - TOLD} more lines cannot be read")


async def _take(store: Store, queue: str, line: Line, told: Imported) -> None:
    """Add one item, unless it is there."""
    from exporter.cli.backlog_log import Change
    from exporter.store import backlog

    if await _known(store, queue, line):
        told.known += 1
        return
    times = {"added_at": line.added_at, "processed_at": line.processed_at}
    _, added = await backlog.add(
        store,
        queue,
        line.key,
        line.reason,
        actor=data.actor(),
        now=time.time(),
        origin="import",
        context={name: value for name, value in times.items() if value is not None},
        state="done" if line.processed else "pending",
    )
    if not added:
        told.known += 1
        return
    told.processed += line.processed
    told.pending += not line.processed
    verb = "import-processed" if line.processed else "import"
    told.changes.append(Change(verb, line.key, queue, line.reason))


async def _known(store: Store, queue: str, line: Line) -> bool:
    """Return whether a line tells of an item that was pending here once, whatever has become of it since.

    A file that was imported before must not enqueue again what has been done meanwhile.
    """
    from exporter.backlog_lines import told
    from exporter.store import backlog

    if line.processed:
        return False  # the store itself has no two done items of one key by hand
    wanted = None if line.added_at is None else told(line.added_at)
    for one in await backlog.listed(store, queue=queue, key=line.key):
        if "processed_at" in one.context:
            continue
        if wanted is None:
            if one.origin == "import" and "added_at" not in one.context and one.reason == line.reason:
                return True
        elif told(added_at(one)) == wanted:
            return True
    return False


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
