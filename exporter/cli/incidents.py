"""`watchbridge incidents`: what was heard from Alertmanager, what it led to, and why nothing was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import data, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.store.backlog import BacklogItem
    from exporter.store.incidents import Incident

LISTED: Final = ("id", "state", "alertname", "opened_at", "seen_at", "closed_at", "deliveries", "labels")
STATES: Final = ("open", "late", "resolved", "silent")
WHY: Final = {
    "open": "it fires",
    "late": "it fires with a start from before its last end: it opens when that stays so",
    "resolved": "it was resolved",
    "silent": "nothing was heard of it for too long",
}


class _ListFirst(click.Group):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before options that stand alone."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListFirst)
def command() -> None:
    """Show incidents: episodes of alerts, from the first that fires to its end.

    Without a command it lists those that are open, as `watchbridge incidents list` does.
    """


@command.command("list")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only in this state; repeatable.")
@click.option("--all", "everything", is_flag=True, help="In every state.")
@click.option("--alertname", help="Only those of this alert.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rows at most.")
@data.with_output
def list_(
    states: tuple[str, ...],
    alertname: str | None,
    limit: int,
    config: Path | None,
    output: str,
    *,
    everything: bool,
) -> None:
    """List incidents, the newest first: those that are open, or in the states.

    Exit status: 0 fine, 2 usage or configuration, 3 the store cannot be reached.
    """
    wanted = None if everything else states or ("open",)
    found = data.awaited("Reading the store", _listed(data.configured(config), wanted, alertname, limit + 1))
    rows = [_row(one) for one in found[:limit]]
    data.show(output, rows, LISTED, as_table=_table)
    if len(found) > limit:
        data.tell(f"These are the newest {limit}: a higher --limit shows more.")


async def _listed(
    configuration: Configuration, states: Sequence[str] | None, alertname: str | None, limit: int
) -> list[Incident]:
    from exporter.store import incidents

    async with data.opened(configuration) as store:
        return await incidents.listed(store, states=states, alertname=alertname, limit=limit)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    from exporter.cli import service_tables

    told = [
        {**row, "labels": ", ".join(f"{name}={value}" for name, value in row["labels"].items() if name != "alertname")}
        for row in rows
    ]
    return service_tables.of(LISTED, "No incident.")(told)


def _row(one: Incident) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.episode.state,
        "alertname": one.alertname,
        "opened_at": _moment(one.episode.opened_at),
        "seen_at": _moment(one.episode.seen_at),
        "closed_at": _moment(one.episode.closed_at),
        "deliveries": one.deliveries,
        "labels": dict(one.labels),
    }


@command.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@data.with_output
def show(number: int, config: Path | None, output: str) -> None:
    """Show all of the incident ID: its alert, what it led to, and why nothing was done where nothing was.

    Exit status: 0 fine, 1 there is no such incident, 2 usage or configuration, 3 the store cannot be reached.
    """
    from exporter.cli import details

    row = data.awaited("Reading the store", _shown(data.configured(config), number))
    details.show(output, row, f"There is no incident {number}: `watchbridge incidents --all` shows which there are.")


async def _shown(configuration: Configuration, number: int) -> dict[str, Any] | None:
    from exporter.cli import backlog_tables
    from exporter.store import audit, backlog, incidents

    async with data.opened(configuration) as store:
        one = await incidents.one(store, number)
        if one is None:
            return None
        items = await backlog.of_incident(store, number)
        trail = await audit.of(store, "incident", number)
    return {
        "id": one.id,
        "state": one.episode.state,
        "why": WHY.get(one.episode.state),
        "alertname": one.alertname,
        "fingerprint": one.fingerprint,
        "receiver": one.receiver,
        "deliveries": one.deliveries,
        "starts_at": _moment(one.episode.starts_at),
        "first_at": _moment(one.episode.first_at),
        "opened_at": _moment(one.episode.opened_at),
        "seen_at": _moment(one.episode.seen_at),
        "ended_at": _moment(one.episode.ended_at),
        "closed_at": _moment(one.episode.closed_at),
        "generator_url": one.generator_url or None,
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "items": [_item(item) for item in items],
        "decisions": _decisions(trail),
        "history": [backlog_tables.entry(entry) for entry in trail],
    }


def _item(one: BacklogItem) -> dict[str, Any]:
    return {
        "id": one.id,
        "queue": one.queue,
        "key": one.key,
        "rule": one.rule,
        "state": one.state,
        "hold": one.hold,
        "attempts": one.attempts,
        "why": one.explanation or one.reason,
    }


def _decisions(trail: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what rules decided, as the audit has it: also what led to no item."""
    names = ("rule", "action", "queue", "key", "verdict", "reason")
    told = (one for entry in trail for one in entry.details.get("decisions", ()) if isinstance(one, dict))
    return [{name: one.get(name) for name in names} for one in told]


def _moment(time: float | None) -> str | None:
    return None if time is None else tables.moment(time)
