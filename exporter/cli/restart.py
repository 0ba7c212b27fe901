"""`watchbridge restart`: a person wants services restarted: by the running server, or here and now."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import click

from exporter.cli import data
from exporter.errors import ConfigurationError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.restarting.strategy import Restartable
    from exporter.store.backlog import BacklogItem
    from exporter.store.store import Store

ENQUEUED: Final = ("service", "item", "outcome", "what")
ENDED: Final = ("service", "item", "outcome", "verified", "what")
POLL: Final = 0.3
"""Seconds between two looks at whether what is waited for has ended."""
LONGEST: Final = 86_400.0
OVER: Final = frozenset({"done", "dead", "cancelled"})


class NoServerError(UnreachableError):
    """No Watchbridge runs on the store {where}, so nothing was enqueued: start `watchbridge serve`, or add --here."""

    exit_code: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was enqueued for a service: the number of its item, and what was done about one that was there already."""

    service: str
    item: int
    outcome: str
    what: str


@click.command()
@click.argument("services", metavar="SERVICE...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only say what would be done, in which order, and why something not.")
@click.option("--here", is_flag=True, help="Restart in this process, and not by the running server.")
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST),
    metavar="SECONDS",
    help="Wait so long for the server to have restarted and verified all of them.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for people; at most 500 characters.")
@data.with_output
def command(  # noqa: PLR0913 -- the options of a command
    services: tuple[str, ...],
    wait: float | None,
    reason: str,
    config: Path | None,
    output: str,
    *,
    dry_run: bool,
    here: bool,
) -> None:
    """Restart services, each after those of them that it needs, and verify each.

    The running server does it, whatever the mode is and whether or not a service is up; its circuit, planned
    maintenance, a budget, a service that it needs and another run hold it as they hold any restart. --here does it in
    this process, under the same leases, also beside a running server.

    Exit status: 0 enqueued, planned, or with --here and --wait restarted and verified; 1 with --here and --wait one was
    not, or is held; 2 usage or configuration; 3 no server runs, or the store cannot be reached.
    """
    from exporter.cli import restart_here, restart_plan

    if wait is not None and math.isnan(wait):
        raise click.BadParameter("nan is no number of seconds.", param_hint="'--wait'")
    if wait is not None and (here or dry_run):
        other = "--here waits for each end by itself" if here else "there is nothing to wait for with --dry-run"
        raise click.UsageError(f"Leave --wait out: {other}.")
    configuration = data.configured(config)
    terms = _terms(configuration)
    names = _ordered(configuration, terms, services)
    why = _reason(reason)
    if dry_run:
        restart_plan.show(configuration, terms, names, output)
    elif here:
        restart_here.run(configuration, terms, names, why, output)
    else:
        _by_server(configuration, names, why, wait, output)


def _terms(configuration: Configuration) -> Restartable:
    import socket

    from exporter.restarting.strategy import restartable

    return restartable(configuration, socket.gethostname())


def _ordered(configuration: Configuration, terms: Restartable, services: Sequence[str]) -> tuple[str, ...]:
    """Return services with what they need first; ConfigurationError names those that cannot be restarted."""
    from exporter.config.mistakes import nearest, shown
    from exporter.order import sorted_by_need

    problems = []
    for name in dict.fromkeys(services):
        if name not in configuration.services:
            near = nearest(name, configuration.services)
            problems.append(f"there is no service {shown(name)}{near or ' in the configuration'}")
        elif name not in terms.strategies:
            problems.append(f"the service {shown(name)} has no `restart` in the configuration")
    if problems:
        end = "" if problems[-1].endswith("?") else "."
        told = "; ".join(problems)
        raise ConfigurationError(reason=f"Nothing is restarted: {told}{end}")
    return sorted_by_need(services, terms.parents)


def _reason(text: str) -> str:
    from exporter import backlog_lines

    try:
        return backlog_lines.reason_of(text) or f"asked for by {data.actor()}"
    except backlog_lines.LineError as error:
        raise click.BadParameter(f"{error}.", param_hint="--reason") from None


def _by_server(configuration: Configuration, names: Sequence[str], why: str, wait: float | None, output: str) -> None:
    found = data.awaited("Writing the store", _enqueued(configuration, names, why))
    if wait is None:
        rows = [{name: getattr(one, name) for name in ENQUEUED} for one in found]
        data.show(output, rows, ENQUEUED, as_table=_lines)
        return
    for one in found:
        data.tell(_line(one.service, one.item, one.what))
    rows = data.awaited("Waiting for the server", _waited(configuration, found, wait))
    data.show(output, rows, ENDED, as_table=_lines)
    if any(row["outcome"] != "done" for row in rows):
        raise click.exceptions.Exit(1)


async def _enqueued(configuration: Configuration, names: Sequence[str], why: str) -> list[Wanted]:
    from exporter.cli import live_servers
    from exporter.databases.urls import where
    from exporter.store.engines import usable

    if data.missing(configuration):
        raise NoServerError(where=where(usable(configuration.store.url.reveal())))
    async with data.opened(configuration, empty=True) as store:
        if store.revision is None or not await live_servers.any_on(store, configuration):
            raise NoServerError(where=store.where)
        return [await enqueued(store, name, why) for name in names]


async def enqueued(store: Store, service: str, why: str, *, reserved: float | None = None) -> Wanted:
    """Enqueue the restart of a service; one that a person asked for already, and that is not over, is left as it is."""
    from exporter.bridge.options import RESTARTS
    from exporter.store import backlog

    actor, now = data.actor(), time.time()
    number, is_new = await backlog.add(
        store, RESTARTS, service, why, actor=actor, now=now, service=service, reserved=reserved
    )
    if is_new:
        return Wanted(service, number, "enqueued", "enqueued")
    item = await backlog.one(store, number)
    return Wanted(service, number, "there", f"is there already: {_standing(item)}")


def _standing(item: BacklogItem | None) -> str:
    if item is None:
        return "it has just ended"
    return f"{item.state} ({item.explanation})" if item.explanation else item.state


async def _waited(configuration: Configuration, wanted: Sequence[Wanted], seconds: float) -> list[dict[str, Any]]:
    """Wait for the ends, and say meanwhile what is held; return how all of them are then."""
    from exporter.store import backlog

    until = time.monotonic() + seconds
    told: dict[int, str | None] = {}
    async with data.opened(configuration) as store:
        while True:
            items = [(one, await backlog.one(store, one.item)) for one in wanted]
            left = sum(item is not None and item.state not in OVER for _, item in items)
            for one, item in items:
                _tell_hold(one, item, told, alone=left == 1)
            if all(item is None or item.state in OVER for _, item in items) or time.monotonic() >= until:
                return [await ended(store, configuration, one.service, one.item, item) for one, item in items]
            await asyncio.sleep(POLL)


def _tell_hold(one: Wanted, item: BacklogItem | None, told: dict[int, str | None], *, alone: bool) -> None:
    """Say once that an item is held, and why; that it waits for another of the batch is what was asked for."""
    hold = item.hold if item is not None and item.state == "held" else None
    if item is None or hold == told.get(one.item) or (hold == "dependency" and not alone):
        return
    told[one.item] = hold
    if hold is not None:
        data.tell(_line(one.service, one.item, f"is held: {item.explanation}"))


async def ended(
    store: Store, configuration: Configuration, service: str, number: int, item: BacklogItem | None
) -> dict[str, Any]:
    """Return how an item is, and whether its service was verified; of what is held also what to do."""
    from exporter.cli import restart_advice
    from exporter.store import service_restarts

    if item is None:
        return {"service": service, "item": number, "outcome": "gone", "verified": None, "what": "it was deleted"}
    attempts = await service_restarts.history(store, service, since=item.created_at - 86_400.0, limit=100)
    verified = next((one.verified for one in attempts if one.item_id == number), None)
    what = item.explanation or item.state
    if item.state == "held" and (advice := await restart_advice.of(store, configuration, item)):
        what = f"{what}; {advice}"
    return {"service": service, "item": number, "outcome": item.state, "verified": verified, "what": what}


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(data.line(_line(row["service"], row["item"], _told(row))) for row in rows)


def _told(row: Mapping[str, Any]) -> str:
    outcome, what = row["outcome"], row["what"]
    return what if outcome in {"enqueued", "there"} or what == outcome else f"{outcome}: {what}"


def _line(service: str, item: int, what: str) -> str:
    return f"{service} (item {item}): {what}."
