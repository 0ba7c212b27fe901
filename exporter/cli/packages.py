"""`watchbridge packages`: the packages of a database by status, once or again and again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from exporter.cli import package_alerts, package_report
from exporter.cli.option_types import FilePath, Seconds
from exporter.cli.package_sources import Given, Reading, readings
from exporter.errors import ReportLogError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.cli.package_report import Report

THRESHOLD_EXCEEDED: Final = 1
UNREACHABLE: Final = UnreachableError.exit_code
SIGNALLED: Final = 128
"""An exit status above it is the signal that ended us, as shells count."""


_PATH: Final = FilePath(path_type=Path)


@dataclass(slots=True)
class Round:
    """What one reading of all sources gave."""

    reports: list[Report] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    alerts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Session:
    """One run of the command: what to read, how to show it, whom to tell."""

    sources: tuple[Reading, ...]
    mailer: package_alerts.Mailer
    output: str
    detailed: bool
    icons: bool
    log_file: Path | None
    watched: bool
    first: bool = True

    async def once(self) -> Round:
        """Read every source, show what was found, tell whom it concerns."""
        result = Round()
        found = await asyncio.gather(*(source.take() for source in self.sources), return_exceptions=True)
        for source, report in zip(self.sources, found, strict=True):
            if isinstance(report, UnreachableError):
                result.errors[source.name] = str(report)
                result.log.append(package_alerts.error_line(source.name, source.clock.time(), str(report)))
            elif isinstance(report, BaseException):
                raise report
            else:
                self._judge(result, source, report)
        self._show(result)
        await self._tell(result)
        return result

    def _judge(self, result: Round, source: Reading, report: Report) -> None:
        alert = package_alerts.sentence(report, source.threshold)
        result.reports.append(report)
        result.log.append(package_alerts.log_line(report, alert))
        warning = source.doubt(report)
        if warning is not None:
            result.warnings.append(warning)
        if alert is not None:
            result.alerts[source.name] = alert

    def _show(self, result: Round) -> None:
        for error in result.errors.values():
            click.echo(f"watchbridge: {error}", err=True)
        if result.reports:
            if self.watched and self.output == "table":
                click.clear()  # does nothing where standard output is no terminal
            _write(self._text(result), self.output)
            self.first = False
        for warning in result.warnings:
            click.echo(f"warning: {warning}", err=True)
        for alert in result.alerts.values():
            click.echo(alert if self.detailed else f"{alert}: add --detailed to see where", err=True)

    def _text(self, result: Round) -> str:
        several = len(self.sources) > 1
        if self.output == "json":
            return package_report.document(
                result.reports, result.errors, detailed=self.detailed, several=several, compact=self.watched
            )
        if self.output == "csv":
            return package_report.table_of_values(
                result.reports, detailed=self.detailed, several=several, timestamps=self.watched, header=self.first
            )
        return package_report.table(result.reports, detailed=self.detailed, icons=self.icons, named=several)

    async def _tell(self, result: Round) -> None:
        """Mail and log: neither may cost the report, so what fails here is a warning."""
        for source, report in ((s, r) for s in self.sources for r in result.reports if r.source == s.name):
            for warning in await self.mailer.tell(report, result.alerts.get(source.name), source.clock.monotonic()):
                click.echo(f"warning: {warning}", err=True)
        if self.log_file is not None:
            try:
                package_alerts.append(self.log_file, result.log)
            except ReportLogError as error:
                click.echo(f"warning: {error}", err=True)

    async def repeat(self, interval: float) -> NoReturn:
        """Read on a fixed beat until cancelled; a beat that was missed is left out, not made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.once()
            due += interval
            late = loop.time() - due
            if late > 0:
                due += (late // interval + 1) * interval
            await asyncio.sleep(due - loop.time())

    async def close(self) -> None:
        """Close the databases."""
        await asyncio.gather(*(source.close() for source in self.sources))


@click.command("packages", short_help="Packages of a database by status.")
@click.argument("source", nargs=-1)
@click.option(
    "--config",
    "--config.file",
    "config",
    type=_PATH,
    envvar="WATCHBRIDGE_CONFIG",
    show_envvar=True,
    help="Read the package sources of this configuration, all or those named.",
)
@click.option(
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="The format on standard output.",
)
@click.option("--detailed", is_flag=True, help="Also how many are stuck, and the oldest and newest update.")
@click.option("--watch", "--continuous", "watch", is_flag=True, help="Repeat until Ctrl-C.")
@click.option(
    "--interval",
    type=Seconds(min=1, max=86400),
    default=30,
    show_default=True,
    help="Seconds between two readings with --watch.",
)
@click.option(
    "--icons",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Icons in the table; auto is only on a terminal.",
)
@click.option(
    "--alert-threshold",
    type=click.IntRange(min=0),
    envvar="ALERT_THRESHOLD",
    show_envvar=True,
    help="Alert when more packages are stuck than this; then the exit status is 1. Without it the source's"
    " own threshold (10) alerts and the exit status stays 0.",
)
@click.option(
    "--alert-email",
    envvar="ALERT_EMAIL",
    show_envvar=True,
    help="Mail alerts to this address, or several with commas between, by `email` of the configuration,"
    " SMTP_HOST, or the mail command.",
)
@click.option("--log-file", type=_PATH, envvar="LOG_FILE", show_envvar=True, help="Append a line for each reading.")
@click.option("--table", help="Without --config: the table.  [default: packages]")
@click.option("--schema", help="Without --config: the table's schema.")
@click.option("--status-column", help="Without --config: the column of the status.  [default: status]")
@click.option("--updated-column", help="Without --config: the column of the last update.  [default: updated_at]")
@click.option("--stuck-after", help="Without --config: stuck after so long without an update, as 30m.  [default: 1h]")
@click.option("--timezone", help="Without --config: the zone of times that carry none.  [default: UTC]")
def command(**given: Any) -> None:
    """Show how many packages are in each status.

    Without --config the database is the one of DATABASE_URL, as postgresql://user:password@host/name.

    Exit status: 0 fine; 1 more packages are stuck than an --alert-threshold (or ALERT_THRESHOLD) that was given;
    2 usage or configuration; 3 a database could not be read. --watch ends with 0.
    """
    try:
        code = asyncio.run(_main(given))
    except KeyboardInterrupt:
        if not given["watch"]:
            raise
        code = 0
    click.get_current_context().exit(code)


async def _main(given: Mapping[str, Any]) -> int:
    session = _session(given)
    work = asyncio.ensure_future(session.repeat(given["interval"]) if given["watch"] else session.once())
    told = _ended_by_signals(work, "SIGTERM", "SIGHUP", *(["SIGINT"] if given["watch"] else []))
    try:
        result = await work
    except asyncio.CancelledError:
        if not told:
            raise
        return 0 if given["watch"] else SIGNALLED + told[0]
    finally:
        await session.close()
    if result.errors:
        return UNREACHABLE
    return THRESHOLD_EXCEEDED if result.alerts and given["alert_threshold"] is not None else 0


def _ended_by_signals(work: asyncio.Future[Any], *names: str) -> list[int]:
    """Let signals cancel the work, which ends what it has started; return the list that takes their numbers.

    Windows has no handlers in the loop and ends by KeyboardInterrupt. What is ignored, as under nohup, stays so.
    """
    told: list[int] = []

    def end(number: int) -> None:
        told.append(number)
        work.cancel()

    for name in names:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, end, int(number))
    return told


def _session(given: Mapping[str, Any]) -> Session:
    words = ("table", "schema", "status_column", "updated_column", "stuck_after", "timezone")
    sources, email = readings(
        Given(
            config=given["config"],
            names=given["source"],
            threshold=given["alert_threshold"],
            table={word: given[word] for word in words if given[word] is not None},
        ),
        os.environ,
    )
    return Session(
        sources=sources,
        mailer=package_alerts.mailer(given["alert_email"] or "", email, os.environ),
        output=given["output"],
        detailed=given["detailed"],
        icons=_icons(given["icons"]),
        log_file=given["log_file"],
        watched=given["watch"],
    )


def _icons(wanted: str) -> bool:
    if wanted != "auto":
        return wanted == "always"
    return sys.stdout.isatty() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _write(text: str, output: str) -> None:
    """Write bytes: the text layer of Windows would double the line ends of CSV, and JSON is UTF-8 everywhere."""
    encoding = (sys.stdout.encoding or "utf-8") if output == "table" else "utf-8"
    stream = sys.stdout.buffer
    stream.write(text.encode(encoding, "backslashreplace"))
    stream.flush()
