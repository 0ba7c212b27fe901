"""`watchbridge windows`: planned maintenance, of the configuration and of the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import click

from exporter.cli import data, tables
from exporter.errors import WatchbridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.cli.window_flags import Wanted
    from exporter.config import Configuration
    from exporter.store.windows import StoredWindow
    from exporter.windows import Window, WindowOptions

LISTED: Final = ("id", "state", "what", "begins", "ends", "repeats", "origin", "comment")
ADDED: Final = ("id", "what", "begins", "ends", "repeats", "comment")


class NoSuchWindowError(WatchbridgeError):
    """{sentence}; `watchbridge windows list --past` names all windows."""

    exit_code: ClassVar[int] = 1


@click.group()
def command() -> None:
    """Plan maintenance: what is named is then neither down nor acted on.

    Windows of the configuration file are listed too; those are changed there.
    """


@command.command()
@click.option("--service", "services", multiple=True, metavar="NAME", help="A service it is for; may be repeated.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group of services; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="It is for every service.")
@click.option("--for", "length", metavar="DURATION", help="How long it lasts, such as 30m or 2h.")
@click.option(
    "--start",
    "starts",
    multiple=True,
    metavar="TIME",
    help="When it begins, such as 2026-03-01T22:00; now when left out. May be repeated.",
)
@click.option("--end", "ends", multiple=True, metavar="TIME", help="When it ends: one for each --start.")
@click.option(
    "--cron",
    "crons",
    multiple=True,
    metavar="PATTERN",
    help="When it begins, again and again: a cron pattern of five fields. May be repeated.",
)
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="The zone of --cron, and of times without one, such as Europe/Bucharest.",
)
@click.option("--comment", default="", metavar="TEXT", help="Why, for people; at most 500 characters.")
@data.with_output
def add(config: Path | None, output: str, **given: Any) -> None:
    """Plan maintenance of services, groups or everything.

    Its time is --for from now or from --start, or from --start to --end, or --for from each time of --cron until
    somebody ends it. Each --start and each --cron makes a window of its own. A running server knows it within 3
    seconds.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli.window_flags import Wanted

    rows = data.awaited("Writing to the store", _added(data.configured(config), Wanted(**given)))
    data.show(output, rows, ADDED, as_table=lambda found: _table(found, ADDED))


@command.command("list")
@click.option("--past", is_flag=True, help="Also those that are over: kept for 90 days.")
@data.with_output
def list_(config: Path | None, output: str, *, past: bool) -> None:
    """List the windows that are active or coming, and where they come from.

    Of one that repeats it tells the time that lasts now, else the next one.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    rows = data.awaited("Reading the store", _listed(data.configured(config), past=past))
    data.show(output, rows, LISTED, as_table=lambda found: _table(found, LISTED))


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@data.with_config
def end(ids: tuple[str, ...], config: Path | None) -> None:
    """End the windows of these IDs now, also those that have not begun.

    Exit status: 0 fine, 1 there is no such window, or it is over, 2 usage or configuration, 3 the store cannot be
    reached.
    """
    ended, over = data.awaited("Writing to the store", _ended(data.configured(config), ids))
    for number in ended:
        data.tell(f"Ended the window {number}.")
    if over:
        plural = "s" * (len(over) > 1)
        raise NoSuchWindowError(sentence=f"Over already, not ended again: window{plural} {', '.join(map(str, over))}")


async def _added(configuration: Configuration, wanted: Wanted) -> list[dict[str, Any]]:
    from exporter.cli import window_flags
    from exporter.store import client_services, windows

    now = time.time()
    async with data.opened(configuration, make=True) as store:
        services = await client_services.listed(store) if wanted.services else []
        made = [one.name for one in services if one.origin == "api" and one.enabled]
        planned = window_flags.windows(wanted, configuration, made, now)
        numbers = await windows.add(store, planned, data.actor(), now)
        known = {one.id: one for one in await windows.listed(store, now)}
    return [_of_store(known[number], now) for number in numbers if number in known]


async def _listed(configuration: Configuration, *, past: bool) -> list[dict[str, Any]]:
    from exporter.store import windows

    now = time.time()
    async with data.opened(configuration) as store:
        of_store = await windows.listed(store, now, past=past)
    rows = [_of_file(options, now) for options in configuration.windows]
    return [row for row in rows if past or row["state"] != "past"] + [_of_store(one, now) for one in of_store]


async def _ended(configuration: Configuration, ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """End windows, each once; return which were, and which were over already. An unknown one: none is ended."""
    from exporter.store import windows

    now = time.time()
    ended: list[int] = []
    over: list[int] = []
    async with data.opened(configuration) as store:
        known = {str(one.id): one.id for one in await windows.listed(store, now, past=True)}
        for text in ids:
            if text not in known:
                _refuse(text)
        for text in dict.fromkeys(ids):
            number = known[text]
            (ended if await windows.end(store, number, data.actor(), now) else over).append(number)
    return ended, over


def _refuse(text: str) -> NoReturn:
    if text == "-":
        sentence = "A window of the configuration file has no id and is changed there: nothing was ended"
        raise NoSuchWindowError(sentence=sentence)
    raise NoSuchWindowError(sentence=f"There is no window {tables.printable(text)!r}: nothing was ended")


def _of_file(options: WindowOptions, now: float) -> dict[str, Any]:
    return _row(options.window(), now, None, "configuration file")


def _of_store(one: StoredWindow, now: float) -> dict[str, Any]:
    row = _row(one.window, now, one.id, "command line")
    if one.problem is not None:
        row |= {"state": "unreadable", "what": one.problem}
    if one.ended_at is not None:
        # What was ended before it began never did; of one that repeats nobody noted the last time.
        begun = one.window.start is not None and one.window.start < one.ended_at
        row |= {"state": "past", "begins": _moment(one.window.start) if begun else None, "ends": _moment(one.ended_at)}
    return row | {"created_by": one.created_by, "created_at": _moment(one.created_at)}


def _row(window: Window, now: float, number: int | None, origin: str) -> dict[str, Any]:
    from exporter.config.words import written_duration

    cron, spell = window.cron, window.spell(now)
    began, ended = spell or (window.start, window.end)
    coming = spell is not None and spell[0] > now
    repeats = cron and f"{cron.pattern} ({cron.timezone}) for {written_duration(window.duration)}"
    return {
        "id": number,
        "state": "past" if spell is None else "coming" if coming else "active",
        "what": window.subject(),
        "begins": _moment(began),
        "ends": _moment(ended),
        "repeats": repeats,
        "origin": origin,
        "comment": window.comment or None,
        "services": sorted(window.services),
        "groups": sorted(window.groups),
        "all": window.everything,
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else tables.moment(at)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    import shutil
    import sys

    if not rows:
        return "No window.\n"
    cells = [["-" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    size = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return tables.table([column.capitalize() for column in columns], cells, size)
