"""`watchbridge demo`: Watchbridge on example data that it makes itself."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

CONFIGURATION: Final = """\
listen: [{{address: "{address}"}}]
store: "sqlite:///{folder}/store/watchbridge.db"
log: {{format: text, level: {level}}}
databases:
  example: {{url: "sqlite:///{folder}/packages.db"}}
packages:
  npm: {{database: example, stuck_after: 1h, alert_threshold: 10}}
"""

WELCOME: Final = """\
Watchbridge watches an example package database that changes while you look; its metrics are at {url}/metrics
  see the packages:    curl -s {url}/metrics | grep '^watchbridge_packages'
  report them:         DATABASE_URL=sqlite:///{folder}/packages.db {program} packages --detailed
  ask how it is:       curl -s {url}/health
Ctrl-C ends it and leaves nothing behind.
"""


@click.command()
@click.option(
    "--web.listen-address", "address", default="127.0.0.1:10900", show_default=True, help="Where to serve the demo."
)
@click.option(
    "--log.level",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="What to log on standard error.",
)
@click.option(
    "--write",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only write the example package database (SQLite) to this new file, and serve nothing.",
)
def command(address: str, level: str, path: Path | None) -> None:
    """Serve example data: packages in all eight statuses, some of them stuck, moving while you look."""
    if path is not None:
        _write(path)
        return
    with tempfile.TemporaryDirectory(prefix="watchbridge-demo-") as folder:
        asyncio.run(_demo(Path(folder), address, level))


def _write(path: Path) -> None:
    from exporter import example

    if path.exists():
        raise click.BadParameter(f"{path} is there already", param_hint="--write")
    try:
        example.Packages(path).make()
    except sqlite3.Error as error:
        raise click.BadParameter(f"{path} cannot be written: {error}", param_hint="--write") from None


async def _demo(folder: Path, address: str, level: str) -> None:
    from exporter import config, example
    from exporter.app import Application

    text = CONFIGURATION.format(address=address, folder=folder.as_posix(), level=level)
    packages = example.Packages(folder / "packages.db")
    await asyncio.to_thread(packages.make)

    def started(urls: tuple[str, ...]) -> None:
        program = "watchbridge" if shutil.which("watchbridge") else shlex.quote(sys.argv[0])
        click.echo(WELCOME.format(url=urls[0], folder=folder.as_posix(), program=program), nl=False)

    application = Application(lambda: config.parse(text, name="the demo's configuration"), started=started)
    moving = asyncio.create_task(packages.keep_moving())
    try:
        await application.run()
    finally:
        moving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await moving
