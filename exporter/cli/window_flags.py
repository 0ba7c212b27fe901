"""From the options of `watchbridge windows add` to windows: the rules are those of the configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from exporter.config.words import duration
from exporter.schedule import zone_of
from exporter.windows import LONGEST, WindowOptions, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exporter.config import Configuration
    from exporter.config.options import Duration
    from exporter.windows import Window

FLAGS: Final = {"services": "--service", "groups": "--group", "duration": "--for"}
"""The options whose words are not the keys of the configuration."""
MOST_CHARACTERS: Final = 500
"""Characters of a comment: what the configuration takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody typed: each of `starts`, or of `crons`, makes a window; `length` is --for."""

    services: tuple[str, ...]
    groups: tuple[str, ...]
    everything: bool
    length: str | None
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    crons: tuple[str, ...]
    timezone: str
    comment: str


def windows(wanted: Wanted, configuration: Configuration, made: Iterable[str], now: float) -> list[Window]:
    """Return what is planned; click.UsageError tells a mistake. `made` are services that the store names alone."""
    _check_options(wanted)
    known = dict.fromkeys(made, SimpleNamespace(group=None)) | dict(configuration.services)
    found = []
    for options in _options(wanted, now):
        for path, sentence in options.problems(SimpleNamespace(services=known)):
            _refuse(str(path[0]) if path else "", sentence)
        window = options.window()
        if window.end is not None and window.end <= now:
            _refuse("duration" if wanted.length else "end", f"{options.end!r} has passed already")
        found.append(window)
    return found


def _check_options(wanted: Wanted) -> None:
    """Refuse options that say nothing together, or too much."""
    for is_wrong, sentence in (
        (not (wanted.services or wanted.groups or wanted.everything), "Say for what: --service, --group or --all."),
        (wanted.crons and (wanted.starts or wanted.ends), "Give --cron, or --start and --end: not both."),
        (wanted.crons and not wanted.length, "Say how long it lasts from each time of --cron: --for DURATION."),
        (wanted.length and wanted.ends, "Give --for or --end, not both."),
        (not (wanted.length or wanted.ends), "Say how long: --for DURATION, or until when: --end TIME."),
        (wanted.ends and len(wanted.ends) != (len(wanted.starts) or 1), "Give one --end for each --start."),
        (len(wanted.comment) > MOST_CHARACTERS, f"The comment is longer than {MOST_CHARACTERS} characters."),
    ):
        if is_wrong:
            raise click.UsageError(sentence)
    try:
        zone_of(wanted.timezone)
    except ValueError as error:
        _refuse("timezone", str(error))


def _options(wanted: Wanted, now: float) -> Iterator[WindowOptions]:
    length = _length(wanted.length)
    same: dict[str, Any] = {
        "services": wanted.services,
        "groups": wanted.groups,
        "all": wanted.everything,
        "timezone": wanted.timezone,
        "comment": wanted.comment,
    }
    for cron in wanted.crons:
        yield WindowOptions(cron=cron, duration=length, **same)
    if wanted.crons:
        return
    starts = wanted.starts or (_text(math.floor(now)),)
    for start, end in zip(starts, wanted.ends or ("",) * len(starts), strict=True):
        yield WindowOptions(start=start, end=end or _end(start, length or 0.0, wanted.timezone), **same)


def _length(text: str | None) -> Duration | None:
    if text is None:
        return None
    try:
        length = duration(text)
    except ValueError as error:
        _refuse("duration", f"found {text!r}, {error}")
    if not 1 <= length <= LONGEST:
        _refuse("duration", f"found {text!r}, wanted 1s to 366d")
    return length


def _end(start: str, length: float, zone: str) -> str:
    try:
        return _text(moment_of(start, zone, fold=0) + length)
    except (ValueError, OverflowError) as error:
        _refuse("start", str(error))


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _refuse(key: str, sentence: str) -> NoReturn:
    raise click.BadParameter(
        sentence if sentence.endswith("?") else f"{sentence}.", param_hint=FLAGS.get(key, f"--{key}" if key else None)
    )
