"""`watchbridge store`: bring the store up to date, carry it to a file and back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.cli.progress import ProgressLine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from exporter.store.options import StoreOptions
    from exporter.store.store import Store

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Upgrade, back up and restore what Watchbridge remembers.

    Each command works on the store that the configuration names, or on the one of --store. Without both it is the
    SQLite file in the state directory.
    """


def _chosen(function: Callable[..., None]) -> Callable[..., None]:
    """Add the two ways to name a store."""
    url = click.option(
        "--store",
        "url",
        metavar="URL",
        help="The store itself instead of a configuration. Others on this machine can read a password in it: better "
        "name the configuration.",
    )
    config = click.option("--config", "--config.file", "config", type=_PATH, help="The configuration that names it.")
    return config(url(function))


@command.command()
@_chosen
def upgrade(config: Path | None, url: str | None) -> None:
    """Bring the schema of the store up to date.

    `serve` does so by itself when it starts; this does it beforehand. There is no way back but a backup: make one
    first. Stop the running Watchbridge before you upgrade an SQLite store. Where there is no store, a new one is made,
    and it says so.
    """

    async def run() -> None:
        from exporter.store import schema
        from exporter.store.store import Store

        options = _options(config, url)
        store = await Store.open(options, time, exclusive=False)
        await store.close()
        before = "Made a new store, where there was none:" if store.new else "The store"
        _say(f"{before} {store.where} has the schema {schema.HEAD}.")

    asyncio.run(run())


@command.command()
@click.argument("file", type=_PATH)
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
@_chosen
def backup(file: Path, config: Path | None, url: str | None, *, force: bool) -> None:
    """Write the whole store to FILE.

    The file holds the store as it was at one moment and fits every engine: a backup of SQLite can be restored into
    PostgreSQL, MySQL or MariaDB, and back. Watchbridge may go on running. Only you can read the file.
    """

    async def run() -> None:
        from exporter.store.backup import backup as write

        with ProgressLine() as line:
            told = line.hook()
            rows = await _on(
                _options(config, url), lambda store: write(store, file, force=force, progress=told), own=False
            )
        _say(f"Wrote {_counted(rows)} to {file}.")

    asyncio.run(run())


@command.command()
@click.argument("file", type=_PATH)
@click.option("--force", is_flag=True, help="Replace what the store holds.")
@_chosen
def restore(file: Path, config: Path | None, url: str | None, *, force: bool) -> None:
    """Fill the store from FILE, a file of `watchbridge store backup`.

    Stop Watchbridge first (every replica of it). Either all of the file is restored or nothing is changed.
    """

    async def run() -> None:
        from exporter.store.backup import restore as read

        with ProgressLine() as line:
            told = line.hook()
            rows = await _on(
                _options(config, url), lambda store: read(store, file, force=force, progress=told), own=True
            )
        _say(f"Restored {_counted(rows)} from {file}.")

    asyncio.run(run())


async def _on(
    options: StoreOptions, action: Callable[[Store], Coroutine[Any, Any, Mapping[str, int]]], *, own: bool
) -> Mapping[str, int]:
    """Open the store, for us alone and up to date when `own`, and do the one thing."""
    from exporter.store.store import Store

    store = await Store.open(options, time, exclusive=own, upgrade=own)
    try:
        return await action(store)
    finally:
        await store.close()


def _options(config: Path | None, url: str | None) -> StoreOptions:
    if url is not None and config is not None:
        raise click.UsageError("Give --store or --config, not both.")
    if url is not None:
        from exporter.store.options import StoreOptions

        return StoreOptions.from_scalar(url)
    from exporter.config import load

    chosen: StoreOptions = load(config).store
    return chosen


def _counted(rows: Mapping[str, int]) -> str:
    total = sum(rows.values())
    return f"{total} row{'' if total == 1 else 's'} of {len(rows)} table{'' if len(rows) == 1 else 's'}"


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
