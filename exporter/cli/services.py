"""`watchbridge services`: how the services are, what they were, and one look at one of them now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import data, service_tables, tables
from exporter.cli.progress import ProgressLine
from exporter.errors import NotProbedError, UnknownServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.services.overview import Overview
    from exporter.store.store import Store

LISTED: Final = ("client", "service", "state", "since", "uptime_24h", "last_run", "response_time_ms", "reason")
READINGS: Final = ("checked_at", "state", "status_code", "response_time_ms", "cause", "reason")
STRETCHES: Final = ("began_at", "ended_at", "state", "seconds")


@click.group()
def command() -> None:
    """Show services: their state, since when, their uptime and why.

    A service is named by its NAME, or by CLIENT/NAME where several clients have one of that name.
    """


@command.command("list")
@click.argument("names", nargs=-1)
@click.option("--client", help="Only the services of this client.")
@click.option(
    "--state",
    type=click.Choice(["up", "degraded", "down", "maintenance", "unknown"]),
    help="Only services in this state.",
)
@click.option("--all", "disabled", is_flag=True, help="Also those that are disabled, or no longer configured.")
@data.with_output
def list_(
    names: tuple[str, ...], client: str | None, state: str | None, config: Path | None, output: str, *, disabled: bool
) -> None:
    """List services: their state, since when, their uptime and last reading.

    All of them, or those of the NAMES. On a terminal the reason is cut to its width: `show` has all of it.

    Exit status: 0 fine, 1 one that is listed is down, 2 usage or configuration, 3 the store cannot be reached.
    """
    found = data.awaited("Reading the store", _overviews(config, names))
    found = [
        one
        for one in found
        if client in (None, one.service.client)
        and state in (None, one.state)
        and (disabled or names or one.service.enabled)
    ]
    data.show(output, [_row(one) for one in found], LISTED, "No service.")
    if any(one.state == "down" for one in found):
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("name")
@data.with_output
def show(name: str, config: Path | None, output: str) -> None:
    """Show the state of the service NAME, its last reading, its uptime over five windows, and how it is restarted.

    Exit status: 0 fine, whatever the state, 2 usage or configuration, 3 the store cannot be reached.
    """
    one, of_restarts = data.awaited("Reading the store", _shown(data.configured(config), name))
    row = ({"service": name} if one is None else _details(config, one)) | of_restarts
    data.show_one(output, row, _table_of_one)


def _table_of_one(row: Mapping[str, Any]) -> str:
    cells = {name: ", ".join(value) or None if isinstance(value, list) else value for name, value in row.items()}
    return service_tables.single([cells])


def _details(config: Path | None, one: Overview) -> dict[str, Any]:
    from exporter.uptime import WINDOWS

    row = _row(one)
    del row["uptime_24h"]  # it stands among the others
    runs, following = _pace(config, one)
    return row | {
        "runs": runs,
        "next_run": None if following is None else tables.moment(following),
        "status_code": one.last.status_code if one.last else None,
        "cause": (one.last.cause or None) if one.last else None,
        **{f"uptime_{window}": one.uptime(window) for window in WINDOWS},
        "endpoint": one.service.endpoint_url,
        "enabled": one.service.enabled,
        "origin": one.service.origin,
    }


async def _shown(configuration: Configuration, name: str) -> tuple[Overview | None, dict[str, Any]]:
    """Return how a service is (None: no server has watched it yet, or none ever does), and how it is restarted."""
    from exporter.cli import service_restarts
    from exporter.services.overview import overview
    from exporter.uptime import WINDOWS

    async with data.opened(configuration) as store:
        try:
            ids = await _ids(store, (name,))
        except UnknownServiceError:
            if name not in configuration.services:
                raise
            return None, await service_restarts.told(store, configuration, name)
        one = (await overview(store, time.time(), ids, length=max(WINDOWS.values())))[0]
        options = configuration.services.get(one.service.name)
        is_ours = one.service.origin == "file" and options is not None and options.client == one.service.client
        return one, await service_restarts.told(store, configuration, one.service.name) if is_ours else {}


@command.command()
@click.argument("name")
@click.option(
    "--since", default=None, show_default="24h, or 7d with --restarts", help="How far back, such as 1h, 24h or 30d."
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rows at most.")
@click.option("--stretches", is_flag=True, help="From when to when it was in which state, instead of the readings.")
@click.option("--restarts", is_flag=True, help="Each attempt to restart it instead, and how often that helped by day.")
@data.with_output
def history(  # noqa: PLR0913 -- the options of a command
    name: str,
    since: str | None,
    limit: int,
    config: Path | None,
    output: str,
    *,
    stretches: bool,
    restarts: bool,
) -> None:
    """Show the readings of the service NAME, the newest first, or its stretches of one state, or its restarts.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import service_restarts
    from exporter.uptime import period

    if stretches and restarts:
        raise click.UsageError("Give --stretches or --restarts, not both.")
    try:
        length = period(since or ("7d" if restarts else "24h"))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    if restarts:
        service_restarts.show_history(config, name, length, limit, output)
        return
    columns = STRETCHES if stretches else READINGS
    if stretches:
        rows = _stretch_rows(data.awaited("Reading the store", _overviews(config, (name,), length=length))[0])[::-1]
    else:
        rows = data.awaited("Reading the store", _readings(config, name, length, limit + 1))
    data.show(output, rows[:limit], columns, "Nothing in that time.")
    if len(rows) > limit:
        click.echo(f"These are the newest {limit}: a higher --limit shows more.", err=True)


@command.command()
@click.argument("name")
@data.with_output
def check(name: str, config: Path | None, output: str) -> None:
    """Probe the service NAME now and explain each step.

    Nothing is stored. The probe goes out from this machine, and needs no running server.

    Exit status: 0 up or degraded, 1 down, 2 usage or configuration, 3 the probe itself could not run.
    """
    from exporter.cli import service_check

    with ProgressLine() as line:

        def tell(step: str) -> None:
            line.clear()
            click.echo(f"  {tables.printable(step)}", err=output != "table")

        found = asyncio.run(line.during(f"Probing {tables.printable(name)}", service_check.checked(config, name, tell)))
    data.show_one(output, found.row, lambda _: found.sentence + "\n")
    if found.exit_code:
        raise click.exceptions.Exit(found.exit_code)


async def _overviews(config: Path | None, names: Sequence[str], *, length: float = 86_400.0) -> list[Overview]:
    from exporter.services.overview import overview

    configuration = data.configured(config)
    for name in names:
        NotProbedError.check(configuration, name)
    async with data.opened(configuration) as store:
        ids = await _ids(store, names) if names else None
        return await overview(store, time.time(), ids, length=length)


def _pace(config: Path | None, one: Overview) -> tuple[str | None, float | None]:
    """Return how often a service runs in words, and when it will be next as far as can be told from here."""
    from exporter.config import load
    from exporter.config.words import written_duration
    from exporter.schedule import Cron, Every
    from exporter.services.service import pace_of, pace_of_row

    options = load(config).services.get(one.service.name)
    pace: Every | Cron
    try:
        if one.service.origin == "api":
            pace = pace_of_row(one.service.cron_schedule)
        elif options is not None and options.probe is not None and options.client == one.service.client:
            pace = pace_of(options.probe.beside)
        else:
            return None, None
    except ValueError:  # a row that somebody wrote by hand
        return one.service.cron_schedule, None
    if isinstance(pace, Every):
        last = None if one.last is None else one.last.checked_at
        return f"every {written_duration(pace.seconds)}", None if last is None else last + pace.seconds
    return f"{pace.pattern} ({pace.timezone})", pace.next_after(time.time())


async def _readings(config: Path | None, name: str, length: float, limit: int) -> list[dict[str, Any]]:
    from exporter.store import service_status

    configuration = data.configured(config)
    NotProbedError.check(configuration, name)
    async with data.opened(configuration) as store:
        (identity,) = await _ids(store, (name,))
        found = await service_status.history(store, identity, time.time() - length, limit)
    return [
        {
            "checked_at": tables.moment(one.checked_at),
            "state": one.status,
            "status_code": one.status_code,
            "response_time_ms": None if one.response_time_ms is None else round(one.response_time_ms, 1),
            "cause": one.cause or None,
            "reason": one.error_message,
        }
        for one in found
    ]


async def _ids(store: Store, names: Sequence[str]) -> list[int]:
    from exporter.store import client_services

    known = {(one.client, one.name): one.id for one in await client_services.listed(store)}
    found = []
    for name in names:
        ids = [number for (client, own), number in known.items() if name in (own, f"{client}/{own}")]
        if len(ids) != 1:
            raise UnknownServiceError.of(name, [f"{c}/{n}" if ids else n for c, n in known], several=bool(ids))
        found += ids
    return found


def _row(one: Overview) -> dict[str, Any]:
    last = one.last
    took = last.response_time_ms if last else None
    return {
        "client": one.service.client,
        "service": one.service.name,
        "state": one.state,
        "since": None if one.since is None else tables.moment(one.since),
        "uptime_24h": one.uptime("24h"),
        "last_run": None if last is None else tables.moment(last.checked_at),
        "response_time_ms": None if took is None else round(took, 1),
        "reason": one.reason,
    }


def _stretch_rows(one: Overview) -> list[dict[str, Any]]:
    return [
        {
            "began_at": tables.moment(stretch.began),
            "ended_at": None if stretch.ended is None else tables.moment(stretch.ended),
            "state": stretch.state,
            "seconds": round(max(0.0, (one.until if stretch.ended is None else stretch.ended) - stretch.began), 3),
        }
        for stretch in one.stretches
    ]
