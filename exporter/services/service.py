"""The noun: a service as the program runs it, from the configuration file or from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from exporter.schedule import Cron, Every

if TYPE_CHECKING:
    from exporter.services.options import ServiceOptions, Timing

STALE_INTERVALS: Final = 3
"""Intervals after which a reading says nothing any more (design 4.3)."""
DEFAULT_EVERY: Final = 60.0
"""Seconds between two runs where neither `every` nor `schedule` is given: Prometheus' own default interval."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is probed. `id` is its row in the store; times are in seconds.

    `problem` says why it cannot be probed (its credentials cannot be read): its state is then unknown.
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

    @property
    def key(self) -> str:
        """Return the text that names it everywhere: for hashing and for messages."""
        return f"{self.client}/{self.name}"

    def interval(self, now: float) -> float:
        """Return the seconds between two runs, of a cron pattern those of the next two."""
        return self.pace.seconds if isinstance(self.pace, Every) else self.pace.gap(now)

    def stale_after(self, now: float) -> float:
        """Return how old a reading may become: three intervals, and the time that a run may take."""
        return STALE_INTERVALS * self.interval(now) + self.timeout


def pace_of(timing: Timing) -> Every | Cron:
    """Return when to run by the configuration's keys."""
    if timing.schedule is not None:
        return Cron.parse(timing.schedule, timing.timezone)
    return Every(timing.every or DEFAULT_EVERY)


def configured(name: str, options: ServiceOptions, identity: int) -> Service:
    """Return the service of an entry below `services`."""
    timing: Timing = options.probe.beside
    return Service(
        id=identity,
        client=options.client,
        name=name,
        kind=options.probe.kind,
        options=options.probe.options,
        pace=pace_of(timing),
        timeout=timing.timeout,
        slow_after=timing.slow_after,
        group=options.group,
        full=options.series == "full",
    )
