"""Which package sources `watchbridge packages` reads: those of a configuration, or the one of DATABASE_URL."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from exporter.cli.package_report import Report, printable
from exporter.clock import SystemClock
from exporter.errors import (
    DatabaseUrlMissingError,
    NoConfigurationError,
    NoPackageSourcesError,
    PackageOptionError,
    PackageSourceError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.collectors.packages import Options
    from exporter.config.options import Duration
    from exporter.databases.database import Database
    from exporter.mail import MailOptions
    from exporter.model import Clock

VARIABLE: Final = "DATABASE_URL"
_FIELDS: Final = {"status_column": "status", "updated_column": "updated_at"}
_LONGEST: Final = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about the sources; `table` holds only the options that were given."""

    config: Path | None
    names: tuple[str, ...]
    threshold: int | None
    table: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """A source that can be read, and the threshold above which its stuck packages alert."""

    name: str
    database: Database
    options: Options
    threshold: int
    clock: Clock

    async def take(self) -> Report:
        """Read the source once. Raises the DatabaseError family."""
        from exporter.collectors.packages import read

        now = self.clock.time()
        return Report(self.name, now, await read(self.database, self.options, now))

    def doubt(self, report: Report) -> str | None:
        """Return why a report of this source cannot be trusted to alert, or None."""
        from exporter.collectors.packages import timeless

        reason = timeless(self.options, report.readings)
        return None if reason is None else f"{printable(self.name)}: {reason}"

    async def close(self) -> None:
        """Close the source's database; closing one that sources share twice does no harm."""
        await self.database.close()


def readings(given: Given, environ: Mapping[str, str]) -> tuple[tuple[Reading, ...], MailOptions | None]:
    """Return the sources to read and the mail options of the configuration. Raises ConfigurationError."""
    if given.config is None:
        return (_from_environment(given, environ),), None
    return _from_configuration(given, given.config, environ)


def _from_environment(given: Given, environ: Mapping[str, str]) -> Reading:
    from exporter.databases import open_database, options_from_url

    if given.names:
        raise NoConfigurationError(word=given.names[0])
    url = environ.get(VARIABLE, "").strip()
    if not url:
        raise DatabaseUrlMissingError
    options = _options(given.table)
    database = open_database(VARIABLE, options_from_url(url))
    return Reading(VARIABLE, database, options, _threshold(given, options), SystemClock())


def _options(table: Mapping[str, str]) -> Options:
    """Return the options of the source that no configuration describes, checked as if one did."""
    from exporter.collectors.packages import Options

    values: dict[str, Any] = {_FIELDS.get(word, word): text for word, text in table.items()}
    if "stuck_after" in values:
        values["stuck_after"] = _duration("stuck-after", values["stuck_after"])
    options = Options(database=VARIABLE, **values)
    words = {field: word for word, field in _FIELDS.items()}
    for path, sentence in options.problems(SimpleNamespace(databases={VARIABLE: None})):
        field = str(path[0])
        raise PackageOptionError(name=words.get(field, field).replace("_", "-"), reason=sentence)
    return options


def _from_configuration(
    given: Given, path: Path, environ: Mapping[str, str]
) -> tuple[tuple[Reading, ...], MailOptions | None]:
    from exporter.config import load
    from exporter.databases import open_database

    for word in given.table:
        raise PackageOptionError(name=word.replace("_", "-"), reason="it is set in the configuration that was given")
    configuration = load(path, environ=environ)
    known: Mapping[str, Options] = configuration.collectors.get("packages", {})
    if not known:
        raise NoPackageSourcesError(path=path)
    names = dict.fromkeys(given.names or known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise PackageSourceError(word=name, hint=hint, known=", ".join(known))
    words = dict.fromkeys(known[name].database for name in names)
    databases = {word: open_database(word, configuration.databases[word]) for word in words}
    found = tuple(
        Reading(name, databases[options.database], options, _threshold(given, options), SystemClock())
        for name, options in ((name, known[name]) for name in names)
    )
    return found, configuration.email


def _threshold(given: Given, options: Options) -> int:
    return options.alert_threshold if given.threshold is None else given.threshold


def _duration(name: str, text: str) -> Duration:
    """Return a duration as it is written in the configuration: 500ms, 30s, 5m, 1h30m or 7d."""
    from exporter.config.words import duration

    try:
        seconds = duration(text)
    except ValueError as error:
        raise PackageOptionError(name=name, reason=f"found {text!r}, {error}") from None
    if seconds > _LONGEST:
        raise PackageOptionError(name=name, reason=f"found {text!r}, wanted at most ten years")
    return seconds
