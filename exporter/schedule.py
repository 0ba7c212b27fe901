"""When something runs next: by a cron pattern in a time zone, or on a fixed grid of seconds. Time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_LONGEST: Final = 200
"""Characters of the longest pattern: lists of all minutes and hours are shorter."""
_SINCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From where a pattern must have its first run within cronsim's fifty years, or it has none."""
_BITS: Final = 53
"""Bits of a float's fraction: a hash of so many, divided, stays below 1."""


def zone_of(name: str) -> tzinfo:
    """Return the time zone of a name such as Europe/Bucharest; ValueError says what was wanted."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"found {name!r}, wanted a time zone such as UTC or Europe/Bucharest") from None


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron pattern of five fields in a time zone; make it with `parse`.

    It keeps Debian's cron's rules of daylight saving: what runs at fixed hours runs once where the hour is repeated,
    and at the end of the gap where it is skipped; where minutes or hours begin with a star, the pattern follows real
    time. Where both days are given without a star, either is enough.
    """

    pattern: str
    timezone: str

    @classmethod
    def parse(cls, pattern: str, zone: str) -> Cron:
        """Return the schedule of a pattern; ValueError says in a sentence what is wrong with it or with the zone."""
        if len(pattern) > _LONGEST:
            raise ValueError(f"found a cron pattern of {len(pattern)} characters, wanted at most {_LONGEST}")
        if (found := len(pattern.split())) != len(FIELDS):
            wanted = f"{', '.join(FIELDS[:-1])} and {FIELDS[-1]}"
            raise ValueError(
                f"found the cron pattern {pattern!r} of {found} field{'s' * (found != 1)}, wanted five: {wanted}"
            )
        zone_of(zone)
        try:
            first = next(CronSim(pattern, _SINCE), None)
        except (CronSimError, ValueError) as error:
            raise ValueError(f"found the cron pattern {pattern!r}: {_fault(pattern, str(error))}") from None
        if first is None:
            raise ValueError(f"found the cron pattern {pattern!r}, which never comes: no such day exists")
        return cls(pattern, zone)

    def firings(self, after: float) -> Iterator[float]:
        """Yield the times of the runs later than `after`, in seconds since 1970; ends where fifty years have none."""
        # At fixed hours cronsim counts in local time and gives the first of two equal times: in the second of two
        # equal hours those lie behind us.
        last = after
        for run in CronSim(self.pattern, datetime.fromtimestamp(after, zone_of(self.timezone))):
            if (at := run.timestamp()) > last:
                last = at
                yield at

    def next_after(self, now: float) -> float:
        """Return when it first runs later than `now`, in seconds since 1970; infinity where it never does."""
        return next(self.firings(now), math.inf)

    def gap(self, now: float) -> float:
        """Return the seconds between the next two runs."""
        runs = self.firings(now)
        first = next(runs, math.inf)
        return next(runs, math.inf) - first if first < math.inf else math.inf


def _fault(pattern: str, message: str) -> str:
    """Return what cronsim's message ("Bad hour") says of a pattern in our words."""
    field = message.removeprefix("Bad ").replace("-of-", " of the ")
    if field not in FIELDS:
        return "one of its numbers is too long"
    part = pattern.split()[FIELDS.index(field)]
    if field == "day of the month" and not _wrong_alone(pattern, part):
        return f"none of its months has the day {part}"
    return f"its {field} {part!r} cannot be read, see man 5 crontab"


def _wrong_alone(pattern: str, day: str) -> bool:
    """Return whether the day of the month is wrong by itself and not only in the months of the pattern."""
    minute, hour, *_ = pattern.split()
    try:
        CronSim(f"{minute} {hour} {day} * *", _SINCE)
    except (CronSimError, ValueError):
        return True
    return False


@dataclass(frozen=True, slots=True)
class Every:
    """An interval of `seconds`, more than 0."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"found an interval of {self.seconds} s, wanted more than 0 s")

    def next_after(self, now: float, phase: float) -> float:
        """Return the first time later than `now` on the grid that passes through `phase`, all in seconds.

        What a pause left out is not run again, and a clock that jumps, either way, moves nothing off the grid.
        """
        step = math.floor((now - phase) / self.seconds) + 1
        at = phase + step * self.seconds
        # The division rounds: near a point of the grid it can name the neighbour.
        if at <= now:
            return phase + (step + 1) * self.seconds
        before = phase + (step - 1) * self.seconds
        return before if before > now else at


def jitter(key: str, most: float) -> float:
    """Return the share of `most` seconds, from 0 to below it, that this key always has: no two runs at one moment."""
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _BITS)) / (1 << _BITS) * most


def spread(index: int, count: int, seconds: float) -> float:
    """Return the delay of the first run of one of `count`, so that they are even over `seconds`, the first at once."""
    return seconds * (index % count) / count if count > 0 else 0.0
