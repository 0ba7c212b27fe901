"""`watchbridge serve`: the main job."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.config import Configuration

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says over the configuration file."""

    addresses: tuple[str, ...] = ()
    web_config: Path | None = None
    level: Level | None = None
    format: Format | None = None

    def applied(self, configuration: Configuration) -> Configuration:
        """Return the configuration with the flags in force."""
        from exporter.web.options import ListenerOptions

        listen = configuration.listen
        if self.addresses:
            listen = tuple(ListenerOptions(address=address) for address in self.addresses)
        if self.web_config is not None:
            listen = tuple(
                dataclasses.replace(one, web_config=one.web_config or self.web_config.absolute()) for one in listen
            )
        log = dataclasses.replace(
            configuration.log,
            level=self.level or configuration.log.level,
            format=self.format or configuration.log.format,
        )
        return dataclasses.replace(configuration, listen=listen, log=log)


def _checked(_: click.Context, __: click.Parameter, addresses: tuple[str, ...]) -> tuple[str, ...]:
    from exporter.web.options import split_address

    for address in addresses:
        try:
            split_address(address)
        except ValueError as error:
            raise click.BadParameter(f"found {address!r}, {error}") from None
    return addresses


def web_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that Prometheus users know from every exporter."""
    options = [
        click.option(
            "--web.listen-address",
            "addresses",
            multiple=True,
            metavar="ADDRESS",
            callback=_checked,
            help="Listen here instead of on the file's `listen`; may be repeated. Such as 127.0.0.1:10900 or :10900.",
        ),
        click.option(
            "--web.config.file",
            "web_config",
            type=click.Path(path_type=Path),
            help="TLS and users, in exporter-toolkit's format, for listeners that have no `web_config` of their own.",
        ),
        click.option(
            "--web.telemetry-path",
            "telemetry_path",
            default="/metrics",
            show_default=True,
            help="The path of the metrics.",
        ),
        click.option(
            "--log.level", "level", type=click.Choice(["debug", "info", "warning", "error"]), help="Over `log.level`."
        ),
        click.option("--log.format", "format", type=click.Choice(["json", "text"]), help="Over `log.format`."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@click.option(
    "--config",
    "--config.file",
    "path",
    type=click.Path(path_type=Path),
    envvar="WATCHBRIDGE_CONFIG",
    show_envvar=True,
    help="The configuration file; without one, the defaults: metrics of Watchbridge itself.",
)
@web_flags
def command(
    path: Path | None,
    addresses: tuple[str, ...],
    web_config: Path | None,
    telemetry_path: str,
    level: Level | None,
    format: Format | None,  # noqa: A002 - the flag's word
) -> None:
    """Serve metrics to Prometheus until SIGTERM or Ctrl-C.

    SIGHUP loads the configuration again; a mistake in it keeps the old one and shows in
    watchbridge_config_last_reload_successful.
    """
    from exporter import config
    from exporter.app import Application

    if not telemetry_path.startswith("/") or telemetry_path == "/":
        raise click.BadParameter("wanted a path such as /metrics", param_hint="--web.telemetry-path")
    flags = Flags(addresses=addresses, web_config=web_config, level=level, format=format)

    async def serve() -> None:
        await Application(lambda: flags.applied(config.load(path)), telemetry_path=telemetry_path).run()

    asyncio.run(serve())
