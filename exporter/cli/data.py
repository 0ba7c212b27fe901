"""What commands share that print data of the store: their options, the open store, and the three formats."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from exporter.cli import service_tables, tables
from exporter.cli.option_types import FilePath
from exporter.cli.progress import ProgressLine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from exporter.config import Configuration
    from exporter.store.store import Store

Found = TypeVar("Found")

ACTOR_CHARACTERS: Final = 64


def with_config(function: Callable[..., None]) -> Callable[..., None]:
    """Add the option that names the configuration."""
    return click.option(
        "--config",
        "--config.file",
        "config",
        type=FilePath(path_type=_path(), dir_okay=False),
        envvar="WATCHBRIDGE_CONFIG",
        show_envvar=True,
        help="The configuration that names the store; without one, the store in the state directory.",
    )(function)


def with_output(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that prints data of the store."""
    output = click.option(
        "--output",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="The format on standard output.",
    )
    return with_config(output(function))


def _path() -> type[Path]:
    from pathlib import Path

    return Path


def configured(config: Path | None) -> Configuration:
    """Return the configuration; what it says is secret is shown by nothing from now on."""
    from exporter.config import load
    from exporter.logs import REDACTION

    found = load(config)
    REDACTION.learn(found.secrets)
    return found


@contextlib.asynccontextmanager
async def opened(configuration: Configuration, *, empty: bool = False, make: bool = False) -> AsyncIterator[Store]:
    """Give the store of a configuration, beside whatever runs; it is not upgraded, and only with `make` made.

    StoreError for one of an older program, and for an empty one unless `empty`.
    """
    from exporter.errors import StoreError
    from exporter.store import schema
    from exporter.store.store import Store

    is_new = make and missing(configuration)
    store = await Store.open(configuration.store, time, exclusive=False, upgrade=is_new)
    if make and store.revision is None:
        await store.close()
        store = await Store.open(configuration.store, time, exclusive=False)
    try:
        if store.revision != schema.HEAD and not (empty and store.revision is None):
            what = "it is empty" if store.revision is None else "an older Watchbridge made it"
            mend = "start `watchbridge serve`, or run `watchbridge store upgrade`, which makes it ready"
            raise StoreError(where=store.where, reason=f"{what}: {mend}")
        yield store
    finally:
        await store.close()


def missing(configuration: Configuration) -> bool:
    """Return whether the store is a file that is not there yet."""
    from pathlib import Path

    from exporter.databases.urls import dialect_of
    from exporter.store.engines import usable

    url = usable(configuration.store.url.reveal())
    return dialect_of(url) == "sqlite" and not Path(url.database or "").expanduser().exists()


async def maintenance(
    configuration: Configuration, store: Store | None, now: float
) -> Callable[[str | None, str | None], str | None]:
    """Return what says why a service of a group, each perhaps None, is in planned maintenance at a moment."""
    from exporter.services.maintenance import Maintenance

    found = Maintenance(configuration.windows)
    if store is not None:
        await found.look(store, now)
    return lambda service, group: found.reason(service, group, now)


def awaited(doing: str, work: Coroutine[None, None, Found]) -> Found:
    """Return what some work gives; on a terminal a line says when that takes long."""
    with ProgressLine() as line:
        return asyncio.run(line.during(doing, work))


def actor() -> str:
    """Return who works at the command line, as the audit names them."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in many containers
        name = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"cli:{tables.printable(name)[:ACTOR_CHARACTERS]}"


def tell(sentence: str) -> None:
    """Say something beside the data, a sentence a line; nothing in it can steer a terminal."""
    from exporter.logs import REDACTION

    click.echo("\n".join(tables.printable(line) for line in REDACTION.apply(sentence).split("\n")), err=True)


def show(
    output: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    nothing: str = "Nothing.",
    *,
    more: Sequence[str] = (),
    as_table: Callable[[Sequence[Mapping[str, Any]]], str] | None = None,
) -> None:
    """Print rows as a table, JSON or CSV.

    `more` are columns that a table has no room for; `as_table` is for one that is not simply one row a line.
    """
    if output == "json":
        write(tables.document(list(rows)))
    elif output == "csv":
        write(tables.values([_flat(row) for row in rows], [*columns, *more]))
    else:
        write((as_table or service_tables.of(columns, nothing))(rows), sys.stdout.encoding or "utf-8")


def show_one(output: str, row: Mapping[str, Any], as_table: Callable[[Mapping[str, Any]], str]) -> None:
    """Print one thing with all that belongs to it."""
    if output == "json":
        write(tables.document(row))
    elif output == "csv":
        write(tables.values([_flat(row)], tuple(row)))
    else:
        write(as_table(row), sys.stdout.encoding or "utf-8")


def line(text: str) -> str:
    """Return a text as one line that cannot steer a terminal."""
    return tables.printable(text) + "\n"


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its lists as JSON texts: a cell of CSV holds one value."""
    import json

    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple) else value
        for name, value in row.items()
    }


def write(text: str, encoding: str = "utf-8") -> None:
    """Write data as bytes: what the terminal's encoding lacks is an escape, and other formats are UTF-8 everywhere."""
    sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))
    sys.stdout.buffer.flush()
