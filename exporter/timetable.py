"""When each probe is due. Pure: both clocks are arguments, in seconds.

Intervals run on the monotonic clock and cron patterns on the wall's. Nothing is replayed: what was missed while the
program stood still is counted and run once, and after a jump of the wall clock patterns are looked at anew.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.schedule import Every, jitter, spread
from exporter.services.service import coming

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.schedule import Cron
    from exporter.services.service import Service

JUMP: Final = 2.0
"""Seconds by which the two clocks must part before it counts as a jump: more than slewing does between two looks."""
FIRST_RUNS: Final = 200.0
"""First runs a second: a start does not hit every target at once, and a few services are all seen within a moment."""
CRON_JITTER: Final = 5.0
"""Seconds at most over which services with the same pattern are spread: far below the minute between two runs."""
INTERVAL_JITTER: Final = 1.0
"""Seconds at most by which a run of an interval is late on purpose, and at most a fiftieth of the interval."""
MOST_MISSED: Final = 1000
"""Runs of a pattern that are counted of one pause: of a pattern for each minute those of the first hours."""


class Due(NamedTuple):
    """A run to begin: the service, and the monotonic time at which it was to begin."""

    service: Service
    at: float


@dataclass(slots=True, eq=False)
class _Entry:
    service: Service
    phase: float
    """Of an interval: the monotonic time of its grid."""
    firing: float = -math.inf
    """Of a pattern: the wall's time of the run that comes next."""
    due: float = 0.0
    alive: bool = True


class Timetable:
    """The services by when they are due next."""

    def __init__(self) -> None:
        self.missed = 0
        """Runs that fell into a pause of the program, over all services."""
        self._entries: dict[int, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()
        self._offset: float | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def next_due(self) -> float | None:
        """Return the monotonic time of the next run; None without a service."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def next_run(self, identity: int) -> float | None:
        """Return the monotonic time of a service's next run; None for an unknown one."""
        entry = self._entries.get(identity)
        return entry.due if entry is not None else None

    def adopt(self, services: Iterable[Service], monotonic: float, wall: float) -> None:
        """Take the services that there are now; those whose pace did not change keep their times."""
        self._offset = wall - monotonic if self._offset is None else self._offset
        wanted = {service.id: service for service in services}
        for identity in self._entries.keys() - wanted.keys():
            self._entries.pop(identity).alive = False
        fresh = []
        for identity, service in wanted.items():
            entry = self._entries.get(identity)
            if entry is not None and entry.service.pace == service.pace:
                entry.service = service
            else:
                if entry is not None:
                    entry.alive = False
                fresh.append(service)
        for index, service in enumerate(fresh):
            self._begin(service, index, len(fresh), monotonic, wall)
        self._forget()

    def _begin(self, service: Service, index: int, count: int, monotonic: float, wall: float) -> None:
        entry = self._entries[service.id] = _Entry(service, monotonic)
        if isinstance(service.pace, Every):
            entry.phase += spread(index, count, min(count / FIRST_RUNS, service.pace.seconds))
            self._push(entry, entry.phase)
        else:
            self._push(entry, self._following(entry, monotonic, wall))

    def due(self, monotonic: float, wall: float) -> list[Due]:
        """Return the runs to begin now, the longest due first, and set the next time of each."""
        self._notice_jump(monotonic, wall)
        found: list[Due] = []
        while self._heap and self._heap[0][0] <= monotonic:
            item = heapq.heappop(self._heap)
            if not self._is_current(item):
                continue
            entry = item[2]
            found.append(Due(entry.service, entry.due))
            self._push(entry, self._following(entry, monotonic, wall))
        return found

    def _following(self, entry: _Entry, monotonic: float, wall: float) -> float:
        pace = entry.service.pace
        if isinstance(pace, Every):
            following = pace.next_after(monotonic, entry.phase)
            # Both are a little after a point of the grid, never half an interval.
            self.missed += max(0, round((following - entry.due) / pace.seconds) - 1)
            most = min(INTERVAL_JITTER, pace.seconds / 50)
            return following + jitter(f"{entry.service.key} {following:.0f}", most)
        # A clock that goes back a little, less than a jump, must not bring the run just begun once more.
        at = coming(pace, max(wall, entry.firing))[0]
        if entry.firing > -math.inf:
            self.missed += _between(pace, entry.firing, math.floor(wall))
        entry.firing = at
        return monotonic + at - wall + jitter(entry.service.key, CRON_JITTER)

    def _notice_jump(self, monotonic: float, wall: float) -> None:
        """Look at every pattern anew when the wall clock jumped: none is run for having been jumped over."""
        offset = wall - monotonic
        if self._offset is None:
            self._offset = offset
        # Held against the last jump, not the last look: many small steps make a large one.
        if abs(offset - self._offset) < JUMP:
            return
        self._offset = offset
        for entry in self._entries.values():
            if not isinstance(entry.service.pace, Every):
                entry.firing = -math.inf
                self._push(entry, self._following(entry, monotonic, wall))
        self._forget()

    def _push(self, entry: _Entry, due: float) -> None:
        entry.due = due
        heapq.heappush(self._heap, (due, next(self._order), entry))

    def _forget(self) -> None:
        """Take out of the heap what is no longer meant, once that is half of it: a clock may jump again and again."""
        if len(self._heap) > 2 * len(self._entries):
            self._heap = [item for item in self._heap if self._is_current(item)]
            heapq.heapify(self._heap)

    @staticmethod
    def _is_current(item: tuple[float, int, _Entry]) -> bool:
        due, _, entry = item
        return entry.alive and entry.due == due


@lru_cache(maxsize=256)
def _between(pattern: Cron, after: float, until: int) -> int:
    """Return how many runs of a pattern are later than `after` and not later than `until`, whole seconds."""
    if coming(pattern, after)[0] > until:
        return 0
    runs = itertools.takewhile(lambda at: at <= until, pattern.firings(after))
    try:
        return sum(1 for _ in itertools.islice(runs, MOST_MISSED))
    except (ValueError, OverflowError, OSError):  # as in `coming`: a count is not worth a service that stands still
        return 0
