"""`watchbridge circuits`: which services and groups are left alone for failed restarts, and closing that by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from exporter.cli import data, tables
from exporter.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from exporter.circuit import Circuit, Key
    from exporter.config import Configuration
    from exporter.store.store import Store

LISTED: Final = ("circuit", "name", "group", "state", "failures", "opened", "retry_in", "trial")
MORE: Final = ("opened_at", "retry_at", "configured")
RESET: Final = ("circuit", "name", "was", "failures", "changed")


@click.group()
def command() -> None:
    """Show circuits, and close them by hand.

    A circuit opens when so many restarts in a row have failed: its service, or each service of its group, is left alone
    until one trial is let through, which closes or opens it anew.
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those of services that are no longer configured.")
@data.with_output
def list_(config: Path | None, output: str, *, everything: bool) -> None:
    """List the circuits of the services that can be restarted, and of their groups.

    Exit status: 0 fine, whatever their states, 2 usage or configuration, 3 the store cannot be reached.
    """
    rows = data.awaited("Reading the store", _listed(data.configured(config), everything=everything))
    data.show(output, rows, LISTED, more=MORE, as_table=_table)


@command.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="The circuit of a group; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Every circuit there is.")
@data.with_output
def reset(
    names: tuple[str, ...], groups: tuple[str, ...], config: Path | None, output: str, *, everything: bool
) -> None:
    """Close the circuits of the services NAME, of groups, or all of them.

    What they held is tried anew at once, by the running server. One that is closed already, and counts no failures,
    stays as it is.

    Exit status: 0 all are closed, 2 usage or configuration, 3 the store cannot be reached.
    """
    if everything and (names or groups):
        raise click.UsageError("Give names or --all, not both.")
    if not (everything or names or groups):
        raise click.UsageError("Say which: the NAME of a service, --group NAME, or --all.")
    configuration = data.configured(config)
    rows, woken = data.awaited("Writing the store", _reset(configuration, names, groups))
    data.show(
        output, rows, RESET, as_table=lambda _: "".join(_sentence(row) for row in rows) or "No circuit is open.\n"
    )
    if woken:
        data.tell(f"{woken} held item{'' if woken == 1 else 's'} of the queue restarts will be looked at anew at once.")


async def _listed(configuration: Configuration, *, everything: bool) -> list[dict[str, Any]]:
    from exporter.circuit import CLOSED
    from exporter.store import circuits

    async with data.opened(configuration) as store:
        known, now = await circuits.listed(store)
        running = await _running(store, known.values())
    configured = _configured(configuration)
    keys = [*configured, *(sorted(set(known) - set(configured)) if everything else ())]
    return [_row(key, known.get(key, CLOSED), now, running, configured) for key in keys]


async def _running(store: Store, known: Iterable[Circuit]) -> set[int]:
    """Return the trials that are under way: one whose item does not run any more is none."""
    from exporter.store import backlog

    found = set()
    for number in {one.trial for one in known if one.trial is not None}:
        item = await backlog.one(store, number)
        if item is not None and item.state == "running":
            found.add(number)
    return found


def _configured(configuration: Configuration) -> dict[Key, str | None]:
    """Return the circuits that there are by the configuration: groups, then services, each with its group."""
    from exporter.circuit import Key

    services = {name: one.group for name, one in configuration.services.items() if one.restart is not None}
    groups = sorted({group for group in services.values() if group is not None})
    return {Key("group", name): name for name in groups} | {Key("service", name): services[name] for name in services}


def _row(
    key: Key, circuit: Circuit, now: float, running: set[int], configured: Mapping[Key, str | None]
) -> dict[str, Any]:
    state = circuit.state(now)
    at = circuit.retry_at
    return {
        "circuit": key.noun,
        "name": key.name,
        "group": configured.get(key),
        "state": state,
        "failures": circuit.failures,
        "opened": circuit.opened,
        "retry_in": None if at is None or state != "open" else round(max(0.0, at - now), 1),
        "trial": circuit.trial if circuit.trial in running else None,
        "opened_at": None if circuit.opened_at is None else tables.moment(circuit.opened_at),
        "retry_at": None if at is None else tables.moment(at),
        "configured": key in configured,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "No service has a `restart` in the configuration, so there is no circuit.\n"
    return tables.table([name.replace("_", " ").capitalize() for name in LISTED], [list(_cells(row)) for row in rows])


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    for name in LISTED:
        value = row[name]
        if value is None:
            yield "-"
        elif name == "retry_in":
            yield tables.duration(max(1, value))
        else:
            yield str(value).replace("half_open", "half-open") if name == "state" else str(value)


async def _reset(
    configuration: Configuration, names: Sequence[str], groups: Sequence[str]
) -> tuple[list[dict[str, Any]], int]:
    """Close circuits, all where none is named; return what became of each, and how many held items that wakes."""
    from exporter.bridge.options import RESTARTS
    from exporter.circuit import CLOSED, Key
    from exporter.store import circuits, restart_facts

    rows: list[dict[str, Any]] = []
    async with data.opened(configuration) as store:
        before, at = await circuits.listed(store)
        known = {*_configured(configuration), *before}
        wanted = [Key("group", name) for name in groups] + [Key("service", name) for name in names]
        _refuse_unknown(wanted, known)
        now = time.time()
        for key in dict.fromkeys(wanted or sorted(before)):
            changed = await circuits.closed(store, key, data.actor(), now)
            was = before.get(key, CLOSED)
            if changed or wanted:
                row = {"circuit": key.noun, "name": key.name, "was": was.state(at), "failures": was.failures}
                rows.append(row | {"changed": changed})
        async with store.writing() as connection:
            woken = await restart_facts.made_due(connection, RESTARTS, now)
    return rows, woken


def _refuse_unknown(wanted: Sequence[Key], known: Iterable[Key]) -> None:
    from exporter.config.mistakes import nearest, shown

    found = set(known)
    for key in wanted:
        if key in found:
            continue
        names = [one.name for one in found if one.noun == key.noun]
        near = nearest(key.name, names)
        other = any(one.name == key.name for one in found)
        hint = f": give {'--group ' if key.noun == 'service' else ''}{key.name}" if other and not near else ""
        end = "" if near else "."
        told = near or hint or ": `watchbridge circuits list` names all"
        raise ConfigurationError(
            reason=f"Nothing was closed: there is no circuit of the {key.noun} {shown(key.name)}{told}{end}"
        )


def _sentence(row: Mapping[str, Any]) -> str:
    called = f"{'the group ' if row['circuit'] == 'group' else ''}{row['name']}"
    if not row["changed"]:
        return data.line(f"The circuit of {called} was closed already.")
    count = row["failures"]
    failures = f"{count} failure{'' if count == 1 else 's'}"
    was = f"closed and had counted {failures}" if row["was"] == "closed" else f"{_state(row)} after {failures}"
    return data.line(f"The circuit of {called} was {was}: now it is closed and counts from 0.")


def _state(row: Mapping[str, Any]) -> str:
    return str(row["was"]).replace("_", "-")
