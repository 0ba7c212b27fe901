"""Begins each probe when it is due: no service overlaps itself, at most so many run at once, and hung ones wait apart.

A target that hangs holds its place for as long as its timeout. Services whose last run timed out therefore share
half of the places among themselves: however many they are, the others find a place at once.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from exporter.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from exporter.model import Clock
    from exporter.services.service import Service
    from exporter.timetable import Due

log: Final = logging.getLogger(__name__)

COALESCE: Final = 0.2
"""Seconds within which runs that are due are begun together: waking up costs more than a probe."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks at the clocks when nothing is due."""
DRAIN_SECONDS: Final = 10.0
"""How long runs under way may go on when the program ends."""
LAG_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Lag:
    """How late runs begin, as a histogram: seconds."""

    buckets = LAG_BUCKETS

    def __init__(self) -> None:
        self.counts = [0] * (len(LAG_BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one run."""
        self.counts[bisect.bisect_left(LAG_BUCKETS, seconds)] += 1
        self.sum += seconds


class Lane:
    """Places for runs, and who waits for one, first come first served."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.waiting: deque[Due] = deque()


class Scheduler:
    """Runs `run` for each service when it is due; `run` returns whether it timed out, and raises nothing."""

    def __init__(self, run: Callable[[Service], Awaitable[bool]], clock: Clock, concurrency: int) -> None:
        """`concurrency` is how many may run at once."""
        self.lag = Lag()
        self.busy = 0
        """Runs that were left out because the one before had not ended."""
        self._run = run
        self._clock = clock
        self._timetable = Timetable()
        self._suspects: set[int] = set()
        self._active: set[int] = set()
        self._known: dict[int, Service] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.quick, self.slow = Lane(concurrency), Lane(concurrency)
        self.resize(concurrency)

    @property
    def missed(self) -> int:
        """Return the runs that fell into a pause of the program."""
        return self._timetable.missed

    @property
    def running(self) -> int:
        """Return the runs under way."""
        return len(self._tasks)

    def resize(self, concurrency: int) -> None:
        """Set how many may run at once; those that hung have half of it."""
        self.slow.places = max(1, concurrency // 2)
        self.quick.places = max(1, concurrency - self.slow.places)

    def adopt(self, services: Iterable[Service]) -> None:
        """Take the services that there are now, at once."""
        chosen = tuple(services)
        self._known = {service.id: service for service in chosen}
        self._suspects &= self._known.keys()
        self._timetable.adopt(chosen, self._clock.monotonic(), self._clock.time())
        self._changed.set()

    def next_run(self, identity: int) -> float | None:
        """Return when a service runs next, in seconds since 1970."""
        due = self._timetable.next_run(identity)
        return None if due is None else self._clock.time() + due - self._clock.monotonic()

    async def serve(self) -> None:
        """Begin runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            waking = loop.call_later(self._pause(), self._changed.set)
            try:
                await self._changed.wait()
            finally:
                waking.cancel()
            try:
                self.begin_due()
            except Exception:  # a loop that ended would stop every probe, and nobody would see why
                log.exception("runs could not be begun")
                await asyncio.sleep(LOOK_EVERY)

    def _pause(self) -> float:
        following = self._timetable.next_due()
        if following is None:
            return LOOK_EVERY
        return min(max(following - self._clock.monotonic(), 0.0) + COALESCE, LOOK_EVERY)

    def begin_due(self) -> None:
        """Begin what is due now, as far as there are places; the rest waits its turn."""
        for due in self._timetable.due(self._clock.monotonic(), self._clock.time()):
            identity = due.service.id
            if identity in self._active:
                self.busy += 1
                continue
            self._active.add(identity)
            (self.slow if identity in self._suspects else self.quick).waiting.append(due)
        self._fill(self.quick)
        self._fill(self.slow)

    def _fill(self, lane: Lane) -> None:
        while lane.waiting and lane.taken < lane.places:
            due = lane.waiting.popleft()
            service = self._known.get(due.service.id)  # as it is now: its options may have changed while it waited
            if service is None:
                self._active.discard(due.service.id)
                continue
            lane.taken += 1
            self.lag.observe(max(0.0, self._clock.monotonic() - due.at))
            self._tasks.add(asyncio.create_task(self._one(service, lane)))

    async def _one(self, service: Service, lane: Lane) -> None:
        try:
            hung = await self._run(service)
            (self._suspects.add if hung else self._suspects.discard)(service.id)
        except Exception:  # whatever breaks, the other services go on
            log.exception("a probe broke", extra={"fields": {"client": service.client, "target": service.name}})
        finally:
            # Not by a callback of the task, which would be another turn of the loop for each run.
            self._tasks.discard(asyncio.current_task())
            self._active.discard(service.id)
            lane.taken -= 1
            self._fill(lane)

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Begin nothing more; let runs under way end within `seconds`, then cut them off."""
        self._known = {}
        self.quick.waiting.clear()
        self.slow.waiting.clear()
        self._timetable.adopt((), self._clock.monotonic(), self._clock.time())
        if self._tasks:
            _, left = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=1.0)
                self._tasks -= left  # one that was cut off before it began has not taken itself out
