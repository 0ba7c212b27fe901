"""`watchbridge demo`: Watchbridge on example data that it makes itself."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from exporter.cli.option_types import FilePath
from exporter.cli.serve import LEVEL

WELCOME: Final = """\
Watchbridge watches an example package database and six services, of which it mends two; look at {url}
  see the services:    curl -s {url}/metrics | grep '^watchbridge_service_state.* 1$'
  see the packages:    curl -s {url}/metrics | grep '^watchbridge_packages'
  report them:         {setting} {program} packages --detailed
  see the alerts:      {program} incidents --config {path}
  what they led to:    {program} backlog status --config {path}
  see what it mends:   {program} backlog list --queue restarts --all --config {path}
  see its circuits:    {program} circuits list --config {path}
Ctrl-C ends it and leaves nothing behind.
"""

WRITTEN: Final = "Wrote an example package database to {path}. To report it: {setting} {program} packages --detailed"


def _checked(_: click.Context, __: click.Parameter, address: str) -> str:
    from exporter.web.options import split_address

    try:
        split_address(address)
    except ValueError as error:
        raise click.BadParameter(f"found {address!r}, {error}") from None
    return address


@click.command()
@click.option(
    "--web.listen-address",
    "address",
    default="127.0.0.1:10900",
    show_default=True,
    callback=_checked,
    help="Where to serve the demo.",
)
@click.option(
    "--log.level",
    "level",
    type=LEVEL,
    default="warning",
    show_default=True,
    help="What to log on standard error.",
)
@click.option(
    "--write",
    "path",
    type=FilePath(path_type=Path, dir_okay=False),
    help="Only write the example package database (SQLite) to this new file, and serve nothing.",
)
def command(address: str, level: str, path: Path | None) -> None:
    """Serve example data: packages on their way, services that go up and down, and the alerts that this gives."""
    if path is not None:
        _write(path)
        return
    from exporter import interpreter

    with tempfile.TemporaryDirectory(prefix="watchbridge-demo-") as folder:
        asyncio.run(_demo(Path(folder), address, level))
    interpreter.leave()


def _write(path: Path) -> None:
    from exporter import example

    if path.exists():
        raise click.BadParameter(f"{path} is there already", param_hint="--write")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}: make it first", param_hint="--write")
    try:
        example.Packages(path).make()
    except sqlite3.Error as error:
        raise click.BadParameter(f"{path} cannot be written: {error}", param_hint="--write") from None
    click.echo(WRITTEN.format(path=path, setting=_setting(path), program=_program()), err=True)


async def _demo(folder: Path, address: str, level: str) -> None:
    from exporter import config, example
    from exporter.app import Application

    path = folder / "packages.db"
    packages, services, mending = example.Packages(path), example.Services(), example.Mending(folder)
    alerts = example.Alerts(down=mending.down)
    await asyncio.to_thread(packages.make)
    mending.make()
    await services.start()
    # JSON is YAML, and quotes whatever it holds.
    parts = services.configuration() | alerts.configuration(folder)
    mended = mending.configuration()
    parts["services"] |= mended["services"]
    parts["rules"] += mended["rules"]
    text = json.dumps(_configuration(folder, path, address, level) | parts)
    written = folder / "watchbridge.yml"
    written.write_text(text, encoding="utf-8")
    moving: set[asyncio.Task[None]] = set()

    def started(urls: tuple[str, ...]) -> None:
        url = _openable(urls[0])
        quoted = shlex.quote(written.as_posix())
        click.echo(WELCOME.format(url=url, setting=_setting(path), program=_program(), path=quoted), nl=False)
        moving.add(asyncio.create_task(alerts.keep_sending(url)))

    application = Application(
        lambda: config.parse(text, name="the demo's configuration"), started=started, reloads=False
    )
    moving |= {asyncio.create_task(packages.keep_moving()), asyncio.create_task(services.keep_changing())}
    moving.add(asyncio.create_task(mending.keep_breaking()))
    try:
        await application.run()
    finally:
        for task in moving:
            task.cancel()
        await asyncio.gather(*moving, return_exceptions=True)
        await services.close()


def _configuration(folder: Path, path: Path, address: str, level: str) -> dict[str, object]:
    return {
        "listen": [{"address": address}],
        "store": f"sqlite:///{folder.as_posix()}/store/watchbridge.db",
        "log": {"format": "text", "level": level},
        "databases": {"example": {"url": f"sqlite:///{path.as_posix()}"}},
        "packages": {"npm": {"database": "example", "stuck_after": "1h", "alert_threshold": 10}},
    }


def _openable(url: str) -> str:
    """Return a URL that can be opened here: an address of every interface is none."""
    return url.replace("//[::]:", "//127.0.0.1:").replace("//0.0.0.0:", "//127.0.0.1:")


def _setting(path: Path) -> str:
    """Return the variable that names an SQLite file, as a shell takes it."""
    return f"DATABASE_URL={shlex.quote(f'sqlite:///{path.absolute().as_posix()}')}"


def _program() -> str:
    return "watchbridge" if shutil.which("watchbridge") else shlex.quote(sys.argv[0])
