"""The noun: a service as the program runs it, from the configuration file or from the store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.schedule import Cron, Every
from exporter.services.options import EVERY

if TYPE_CHECKING:
    from exporter.services.options import ServiceOptions, Timing

ROW_PATTERN: Final = "*/5 * * * *"
"""When a service of the store runs that names no pattern: the service monitor's own default."""
STALE_INTERVALS: Final = 3
"""Intervals after which a reading says nothing any more (design 4.3)."""
_MINUTE: Final = 60.0
_PATTERNS: Final = 4096
"""Patterns whose next runs are kept: reading one takes longer than many a probe, and many services share one."""


def coming(pattern: Cron, now: float) -> tuple[float, float, float]:
    """Return when a pattern runs next, the next three times later than `now`, in seconds since 1970.

    Infinity stands for a run that never comes.
    """
    # Runs are at whole minutes: what comes after `now` is what comes after its minute.
    return _coming(pattern, math.floor(now / _MINUTE))


@lru_cache(maxsize=_PATTERNS)
def _coming(pattern: Cron, minute: int) -> tuple[float, float, float]:
    begun = minute * _MINUTE
    try:
        first, second, third, *_ = (*islice(pattern.firings(begun), STALE_INTERVALS), *([math.inf] * STALE_INTERVALS))
    except (ValueError, OverflowError, OSError):
        # The file of the zone is just being replaced, or no calendar has this time: look again in a minute.
        return begun + _MINUTE, begun + 2 * _MINUTE, begun + 3 * _MINUTE
    return first, second, third


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is probed. `id` is its row in the store; times are in seconds.

    `problem` says why it cannot be probed (its credentials cannot be read): its state is then unknown. `node` is the
    host that it belongs to: a replica there probes it, where one lives.
    """

    id: int
    client: str
    name: str
    kind: str
    options: Any
    pace: Every | Cron
    timeout: float
    slow_after: float | None = None
    group: str | None = None
    full: bool = False
    origin: Literal["file", "api"] = "file"
    problem: str | None = None
    node: str | None = None

    @property
    def key(self) -> str:
        """Return the text that names it everywhere: for hashing and for messages."""
        return f"{self.client}/{self.name}"

    def interval(self, now: float) -> float:
        """Return the seconds between two runs; of a cron pattern the time until the next two, whichever is longer.

        Of hours of work alone that is the night while it lasts, and not the five minutes that come after it.
        """
        if isinstance(self.pace, Every):
            return self.pace.seconds
        first, second, _ = coming(self.pace, now)
        return max(second - first, first - now) if first < math.inf else math.inf

    def stale_after(self, now: float) -> float:
        """Return how old a reading of `now` may become: three intervals, and the time that a run may take.

        Of an uneven cron pattern it is at least until its third run from here: a night without runs makes nothing old.
        """
        if isinstance(self.pace, Every):
            return STALE_INTERVALS * self.pace.seconds + self.timeout
        first, second, third = coming(self.pace, now)
        if third == math.inf:
            return math.inf
        return max(STALE_INTERVALS * min(second - first, third - second), third - now) + self.timeout


def pace_of(timing: Timing) -> Every | Cron:
    """Return when to run by the configuration's keys."""
    if timing.schedule is not None:
        return Cron.parse(timing.schedule, timing.timezone)
    return Every(timing.every or EVERY)


def pace_of_row(pattern: str | None) -> Cron:
    """Return when to run by a row of the store; ValueError when somebody wrote what is no pattern."""
    return Cron.parse(pattern or ROW_PATTERN, "UTC")


def configured(name: str, options: ServiceOptions, identity: int) -> Service:
    """Return the service of an entry below `services` that has a probe."""
    probe: Any = options.probe
    timing: Timing = probe.beside
    return Service(
        id=identity,
        client=options.client,
        name=name,
        kind=probe.kind,
        options=probe.options,
        pace=pace_of(timing),
        timeout=timing.patience,
        slow_after=timing.slow_after,
        group=options.group,
        full=options.series == "full",
        node=options.node,
    )
