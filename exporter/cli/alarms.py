"""`watchbridge alarms`: which processes are in alarm in the tables of process monitors, once or again and again."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import data, service_tables, tables
from exporter.errors import ConfigurationError, UnreachableError, WatchbridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.process_alarms.process import Process
    from exporter.process_alarms.source import AlarmSource
    from exporter.store.process_alarms import Alarm
    from exporter.store.store import Store

COLUMNS: Final = ("source", "process_id", "process", "alarm", "service", "since", "item", "item_state")
NOT_CONFIGURED: Final = "not configured"
LONGEST: Final = 64
"""Characters of a name in a table; the other formats have all of it."""
IN_ALARM: Final = 1
SIGNALLED: Final = 128
"""An exit status above it is the signal that ended us, as shells count."""


@click.command()
@click.argument("source", required=False)
@click.option("--all", "everything", is_flag=True, help="Also the processes that are not in alarm.")
@click.option("--watch", is_flag=True, help="Look again each `every` of the configuration, until Ctrl-C.")
@data.with_output
def command(source: str | None, config: Path | None, output: str, *, everything: bool, watch: bool) -> None:
    """Show the processes that are in alarm now: of every source below `alarms`, or of SOURCE.

    The tables are only read. Since when an alarm stands, and what the last item is that it led to, is what the store
    knows, where there is one.

    Exit status: 0 nothing is in alarm, 1 something is, 2 usage or configuration, 3 the tables of a source cannot be
    read. --watch ends with 0.
    """
    configuration = data.configured(config)
    look = Look(configuration, _named(configuration, source), output, everything=everything, watched=watch)
    try:
        code = asyncio.run(_main(look))
    except KeyboardInterrupt:
        if not watch:
            raise
        code = 0
    click.get_current_context().exit(code)


def _named(configuration: Configuration, source: str | None) -> tuple[str, ...]:
    """Return the sources to look at. Raises ConfigurationError."""
    import difflib

    known = configuration.alarms
    if not known:
        raise ConfigurationError(reason="There is no source of alarms: add one below `alarms`, and name the --config.")
    if source is None:
        return tuple(known)
    if source not in known:
        near = difflib.get_close_matches(source, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigurationError(reason=f"There is no source of alarms {source!r}{hint}: known are {', '.join(known)}.")
    return (source,)


@dataclass(slots=True)
class Look:
    """What to look at, how to show it, and what the last look found."""

    configuration: Configuration
    names: tuple[str, ...]
    output: str
    everything: bool
    watched: bool
    sources: list[AlarmSource] = field(default_factory=list)
    store: Store | None = None
    is_first: bool = True

    @property
    def every(self) -> float:
        """Seconds between two looks: those of the source that is looked at most often."""
        return min(float(self.configuration.alarms[name].every) for name in self.names)

    async def open(self, stack: AsyncExitStack) -> None:
        """Open what is read: it is closed with the stack. A store that cannot be read is told of, and left out."""
        from exporter.clock import SystemClock
        from exporter.databases import open_database
        from exporter.process_alarms.source import AlarmSource

        configuration = self.configuration
        words = dict.fromkeys(configuration.alarms[name].database for name in self.names)
        databases = {word: open_database(word, configuration.databases[word]) for word in words}
        for database in databases.values():
            stack.push_async_callback(database.close)
        for name in self.names:
            options = configuration.alarms[name]
            self.sources.append(AlarmSource(name, options, databases[options.database], SystemClock()))
        if not data.missing(configuration):
            try:
                self.store = await stack.enter_async_context(data.opened(configuration))
            except WatchbridgeError as error:
                data.tell(f"warning: what alarms led to is not shown: {error}")

    async def once(self) -> int:
        """Look once, show what was found, and return the exit status."""
        found = await asyncio.gather(*(self._read(one) for one in self.sources))
        rows = [row for part in found if part is not None for row in part]
        if any(part is not None for part in found):
            self._show(await self._told(rows))
        if any(part is None for part in found):
            return UnreachableError.exit_code
        return IN_ALARM if any(process.alarm for _, process in rows) else 0

    async def _read(self, source: AlarmSource) -> list[tuple[str, Process]] | None:
        try:
            processes = await (await source.tables()).processes()
        except UnreachableError as error:
            source.forget()
            data.tell(f"watchbridge: {tables.printable(source.name)}: {error}")
            return None
        return [(source.name, one) for one in processes if one.alarm or self.everything]

    async def _told(self, rows: Sequence[tuple[str, Process]]) -> list[dict[str, Any]]:
        from exporter.process_alarms.options import services_by_process
        from exporter.store import process_alarms

        heads = [process_alarms.head_of(name, process.id) for name, process in rows]
        known: dict[str, Alarm] = {}
        if self.store is not None and heads:
            try:
                known = {one.head: one for one in await process_alarms.of_heads(self.store, heads)}
            except WatchbridgeError as error:
                data.tell(f"warning: what alarms led to is not shown: {error}")
        services = services_by_process(self.configuration.services)
        return [
            _row(name, process, services, known.get(head)) for (name, process), head in zip(rows, heads, strict=True)
        ]

    def _show(self, rows: list[dict[str, Any]]) -> None:
        if self.watched and self.output == "table":
            click.clear()  # does nothing where standard output is no terminal
        if self.output == "table" or not self.watched:
            data.show(self.output, rows, COLUMNS, as_table=self._table)
        elif self.output == "json":
            data.write(json.dumps(rows, ensure_ascii=False) + "\n")
        else:
            text = tables.values(rows, COLUMNS)
            data.write(text if self.is_first else text.partition("\r\n")[2])
        self.is_first = False

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> str:
        nothing = "There is no process." if self.everything else "No process is in alarm."
        short = ({name: _short(value) for name, value in row.items()} for row in rows)
        return service_tables.of(COLUMNS, nothing)(list(short))

    async def repeat(self) -> None:
        """Look on a fixed beat until cancelled; a beat that was missed is left out, not made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.once()
            due += self.every
            late = loop.time() - due
            if late > 0:
                due += (late // self.every + 1) * self.every
            await countdown(due)


def _short(value: Any) -> Any:
    """Return a value of a row as a table has room for it: a name may be a megabyte."""
    return f"{value[: LONGEST - 1]}…" if isinstance(value, str) and len(value) > LONGEST else value


def _row(source: str, process: Process, services: Mapping[str, str], known: Alarm | None) -> dict[str, Any]:
    service = None if process.name is None else services.get(process.name)
    return {
        "source": source,
        "process_id": process.id,
        "process": process.name,
        "alarm": process.alarm,
        "service": service or NOT_CONFIGURED,
        "since": None if known is None else tables.moment(known.raised_at),
        "item": None if known is None else known.item_id,
        "item_state": None if known is None else known.item_state,
    }


async def countdown(due: float) -> None:
    """Wait until a time of the loop; on a terminal a line says for how long."""
    loop = asyncio.get_running_loop()
    if not sys.stderr.isatty():
        await asyncio.sleep(due - loop.time())
        return
    try:
        while (left := due - loop.time()) > 0:
            sys.stderr.write(f"\r\033[KNext check in {int(left) + 1} s (Ctrl-C ends)")
            sys.stderr.flush()
            await asyncio.sleep(left - int(left) or 1.0)
    finally:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()


async def _main(look: Look) -> int:
    told: list[int] = []
    work = asyncio.ensure_future(_looked(look))

    def end(number: int) -> None:
        told.append(number)
        work.cancel()

    for name in ("SIGTERM", "SIGHUP", *(("SIGINT",) if look.watched else ())):
        number = getattr(signal, name, None)
        # What is ignored, as under nohup, stays so.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(NotImplementedError):  # Windows has no handlers in the loop
                asyncio.get_running_loop().add_signal_handler(number, end, int(number))
    try:
        return await work
    except asyncio.CancelledError:
        if not told:
            raise
        return 0 if look.watched else SIGNALLED + told[0]


async def _looked(look: Look) -> int:
    async with AsyncExitStack() as stack:
        await look.open(stack)
        if look.watched:
            await look.repeat()
        return await look.once()
