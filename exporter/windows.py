"""Planned maintenance: what is named is then in the state maintenance, which is no fault and counts in no ratio."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final

from exporter.config.options import Duration, option
from exporter.schedule import Cron, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Problem = tuple[tuple[str | int, ...], str]

_MOST_CHAINED: Final = 400
"""Starts that `next_change` looks at where each falls into the time of the one before."""
LONGEST: Final = 366 * 86_400.0
"""Seconds of the longest window that repeats: no calendar goes back for ever, and who plans more means always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """A time of planned maintenance: repeated by `cron` and `duration`, or once from `start` to `end`."""

    services: tuple[str, ...] = option((), help="Services it is for.", example=["web"])
    groups: tuple[str, ...] = option((), help="Groups of services it is for.", example=["frontend"])
    all: bool = option(False, help="Whether it is for every service.")  # noqa: FBT003 -- a default
    cron: str | None = option(None, help="When it begins: a cron pattern of five fields.", example="0 2 * * 0")
    duration: Duration | None = option(
        None, help="How long it lasts from there, in real time also when clocks are changed.", minimum=1, example="2h"
    )
    start: str | None = option(None, help="When it begins: a date and time.", example="2026-03-01T22:00:00+02:00")
    end: str | None = option(None, help="When it ends: a date and time.", example="2026-03-02T02:00:00+02:00")
    timezone: str = option("UTC", help="The zone of `cron`, and of times without one.", example="Europe/Bucharest")
    comment: str = option("", help="Why, for people.", maximum=500)

    def problems(self, configuration: Any) -> Iterator[Problem]:
        """Yield what only the whole shows: names that are unknown, times that are missing or contradict each other."""
        if not (self.services or self.groups or self.all):
            yield (), "names nothing: give `services`, `groups` or `all: true`"
        groups = {service.group for service in configuration.services.values() if service.group}
        yield from _unknown("services", "service", self.services, configuration.services)
        yield from _unknown("groups", "group", self.groups, groups)
        try:
            zone_of(self.timezone)
        except ValueError as error:
            yield ("timezone",), str(error)
        else:
            yield from self._time_problems()

    def window(self) -> Window:
        """Return the window; ValueError says what `problems` says."""
        for path, sentence in self._time_problems():
            raise ValueError(f"{path[0]}: {sentence}" if path else sentence)
        return Window(
            services=frozenset(self.services),
            groups=frozenset(self.groups),
            everything=self.all,
            comment=self.comment,
            cron=None if self.cron is None else Cron.parse(self.cron, self.timezone),
            duration=self.duration or 0.0,
            start=None if self.start is None else moment_of(self.start, self.timezone, fold=0),
            end=None if self.end is None else moment_of(self.end, self.timezone, fold=1),
        )

    def _time_problems(self) -> Iterator[Problem]:
        repeated = self.cron is not None or self.duration is not None
        once = self.start is not None or self.end is not None
        if repeated and once:
            yield (), "has both forms: give `cron` and `duration`, or `start` and `end`"
        elif repeated:
            yield from self._repeated_problems()
        elif once:
            yield from self._once_problems()
        else:
            yield (), "has no time: give `cron` and `duration`, or `start` and `end`"

    def _repeated_problems(self) -> Iterator[Problem]:
        if self.cron is None:
            yield ("duration",), "says how long but not when: give `cron` too"
            return
        if self.duration is None:
            yield ("cron",), "says when it begins but not how long it lasts: give `duration` too"
        elif self.duration > LONGEST:
            yield ("duration",), "is longer than a year, in which it begins again: give at most 366d"
        try:
            Cron.parse(self.cron, self.timezone)
        except ValueError as error:
            yield ("cron",), str(error)

    def _once_problems(self) -> Iterator[Problem]:
        times: list[float] = []
        for key, text, other, fold in (("start", self.start, "end", 0), ("end", self.end, "start", 1)):
            if text is None:
                yield (other,), f"is one side of a time only: give `{key}` too"
                continue
            try:
                times.append(moment_of(text, self.timezone, fold=fold))
            except ValueError as error:
                yield (key,), str(error)
        if len(times) == 2 and times[1] <= times[0]:  # noqa: PLR2004 -- both sides
            yield ("end",), f"found {self.end!r}, wanted a time after `start`, which is {self.start!r}"


def _unknown(key: str, noun: str, names: Iterable[str], known: Iterable[str]) -> Iterator[Problem]:
    known = sorted(known)
    for index, name in enumerate(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            yield (key, index), f"there is no {noun} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def moment_of(text: str, timezone: str, *, fold: int) -> float:
    """Return a date-time of ISO 8601 as seconds since 1970; ValueError says what was wanted.

    `fold` says which of two equal local times is meant: the first for a start, the second for an end, so that all of
    what was planned is inside.
    """
    wanted = f"found {text!r}, wanted a date and time such as 2026-03-01T22:00 or 2026-03-01T22:00:00+02:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(wanted) from None
    if ":" not in text and "T" not in text.upper():
        raise ValueError(wanted)  # a date alone: its end could be either midnight
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(timezone), fold=fold)
    return moment.timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window that has been read: `start` and `end` in seconds since 1970, or a `cron` and a `duration` in seconds."""

    services: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    everything: bool = False
    comment: str = ""
    cron: Cron | None = None
    duration: float = 0.0
    start: float | None = None
    end: float | None = None

    def covers(self, service: str, group: str | None) -> bool:
        """Return whether it is for the service of this name and group."""
        return self.everything or service in self.services or (group is not None and group in self.groups)

    def active(self, now: float) -> bool:
        """Return whether `now`, in seconds since 1970, is inside: its first moment is, the moment it ends is not."""
        if self.cron is not None:
            return self.cron.next_after(now - self.duration) <= now
        return self.start is not None and self.end is not None and self.start <= now < self.end

    def spell(self, now: float) -> tuple[float, float | None] | None:
        """Return when it begins and ends: the time that lasts now, else the next one; None when there is none any more.

        Of starts that fall into the time of the one before it is the first whose time has not passed. The end is None
        where these starts never cease.
        """
        if self.cron is not None:
            began = self.cron.next_after(now - self.duration)
            return (began, self._end(self.cron, max(now, began))[0]) if began < inf else None
        return (self.start, self.end) if self.start is not None and self.end is not None and now < self.end else None

    def reason(self, now: float) -> str:
        """Return on one line why what it is for is in maintenance: until when, and the comment."""
        spell = self.spell(now)
        end = _written(spell[1]) if spell is not None and spell[0] <= now else None
        comment = " ".join(self.comment.split())
        return "planned maintenance" + (f" until {end}" if end else "") + (f": {comment}" if comment else "")

    def subject(self) -> str:
        """Return on one line what it is for."""
        if self.everything:
            return "everything"
        told = []
        for noun, names in (("service", self.services), ("group", self.groups)):
            if names:
                told.append(f"{noun}{'s' * (len(names) > 1)} {', '.join(sorted(names))}")
        return "; ".join(told) or "nothing"

    def next_change(self, now: float) -> float | None:
        """Return the next time at which `active` changes, None when it never does again.

        Starts that fall into the time of the one before make one long window. After 400 of them it is the time up to
        which nothing changes: ask again then.
        """
        if self.cron is not None:
            first = self.cron.next_after(now - self.duration)
            if first > now:
                return first if first < inf else None
            end, looked = self._end(self.cron, now)
            return looked if end is None else end
        later = [side for side in (self.start, self.end) if side is not None and side > now]
        return min(later, default=None)

    def _end(self, cron: Cron, now: float) -> tuple[float | None, float]:
        """Return when the time that lasts now ends, None where it never does, and up to when that was looked at."""
        starts = cron.firings(now - self.duration)
        end = next(starts, now) + self.duration
        for start in islice(starts, _MOST_CHAINED):
            if start > end:
                return end, end
            end = start + self.duration
        return None, end


def _written(moment: float | None) -> str | None:
    """Return a time in UTC, to the second where it is not at a whole minute; None for what no calendar has."""
    try:
        at = datetime.fromtimestamp(moment, UTC) if moment is not None else None
    except (ValueError, OverflowError, OSError):
        return None
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC")
