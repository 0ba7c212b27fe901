"""`watchbridge serve`: the main job."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from exporter.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from exporter.config import Configuration
    from exporter.web.options import ListenerOptions

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]

PROMETHEUS_LEVELS: Final = {"warn": "warning"}
PROMETHEUS_FORMATS: Final = {"logfmt": "text"}
"""Words of Prometheus' own flags (https://github.com/prometheus/common/tree/main/promslog) and ours for them."""


class Word(click.Choice[str]):
    """A choice that takes other tools' words for its own as well."""

    def __init__(self, choices: Sequence[str], others: Mapping[str, str]) -> None:
        """Take the words of the choice, and those that stand for one of them."""
        super().__init__(choices)
        self._others = others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word of the choice."""
        return super().convert(self._others.get(value, value), param, ctx)


LEVEL: Final = Word(["debug", "info", "warning", "error"], PROMETHEUS_LEVELS)
FORMAT: Final = Word(["json", "text"], PROMETHEUS_FORMATS)


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
        served = tuple(_without_open_webhook(one, configuration) for one in listen)
        warnings = (
            f"--web.listen-address {one.address}: no webhook is served there, since nobody could prove that they may "
            "send alerts: set alertmanager.bearer_token_file, or give --web.config.file with users"
            for one, safe in zip(listen, served, strict=True)
            if one is not safe
        )
        return dataclasses.replace(configuration, listen=served, log=log, warnings=(*configuration.warnings, *warnings))


def _without_open_webhook(listener: ListenerOptions, configuration: Configuration) -> ListenerOptions:
    """Return a listener that does not serve the webhook to just anybody.

    One of the file refuses to start then; an address on the command line says what every exporter's does: where the
    metrics are.
    """
    from exporter.web.options import webhook_mistake

    if webhook_mistake(listener, configuration) is None:
        return listener
    return dataclasses.replace(listener, serve=tuple(part for part in listener.serve if part != "webhook"))


def _checked(_: click.Context, __: click.Parameter, addresses: tuple[str, ...]) -> tuple[str, ...]:
    from exporter.web.options import overlap, split_address

    for index, address in enumerate(addresses):
        try:
            split_address(address)
        except ValueError as error:
            raise click.BadParameter(f"found {address!r}, {error}") from None
        if any(overlap(address, one) for one in addresses[:index]):
            raise click.BadParameter(f"{address!r} is listened on already: give each address once")
    return addresses


def _checked_path(_: click.Context, __: click.Parameter, path: str) -> str:
    from exporter.web.options import path_mistake

    if mistake := path_mistake(path):
        raise click.BadParameter(f"found {path!r}, {mistake}")
    return path


def _checked_web_config(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    from exporter.web.options import web_config_mistake

    if path is not None and (mistake := web_config_mistake(path)):
        raise click.BadParameter(mistake)
    return path


@contextlib.contextmanager
def listening_by_flag() -> Iterator[None]:
    """Let an address that cannot be had be told by the flag that gave it."""
    try:
        yield
    except ListenError as error:
        raise error.by_flag() from None


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
            callback=_checked_web_config,
            help="TLS and users, in exporter-toolkit's format, for listeners that have no `web_config` of their own.",
        ),
        click.option(
            "--web.telemetry-path",
            "telemetry_path",
            default="/metrics",
            show_default=True,
            callback=_checked_path,
            help="The path of the metrics.",
        ),
        click.option("--log.level", "level", type=LEVEL, help="Over `log.level`; warn is warning."),
        click.option("--log.format", "format", type=FORMAT, help="Over `log.format`; logfmt is text."),
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
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None:
        signal.signal(hangup, signal.SIG_IGN)  # a reload that comes before there is anything to reload
    from exporter import config, interpreter
    from exporter.app import Application

    flags = Flags(addresses=addresses, web_config=web_config, level=level, format=format)

    async def serve() -> None:
        await Application(lambda: flags.applied(config.load(path)), telemetry_path=telemetry_path).run()

    with listening_by_flag() if addresses else contextlib.nullcontext():
        asyncio.run(serve())
    interpreter.leave()
