"""All sources together under one deadline: each isolated, timed and counted; close or parallel scrapes share a read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exporter.cap import capped
from exporter.config.options import Duration, option
from exporter.errors import WatchbridgeError
from exporter.model import Family, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.model import Clock, Source

log: Final = logging.getLogger(__name__)

_LABELS: Final = ("collector", "source")
SUCCESS = Family("watchbridge_collector_success", "gauge", "Whether the last read of a source succeeded.", _LABELS)
DURATION = Family(
    "watchbridge_collector_duration_seconds", "gauge", "How long the last read of a source took.", _LABELS
)
LAST_SUCCESS = Family(
    "watchbridge_collector_last_success_timestamp_seconds",
    "gauge",
    "When a source was last read with success; survives a restart.",
    _LABELS,
)
DROPPED = Family(
    "watchbridge_series_dropped_total",
    "counter",
    "Label values beyond the series cap that were joined into __other__, over all reads.",
    _LABELS,
)
FAMILIES: Final = (SUCCESS, DURATION, LAST_SUCCESS, DROPPED)

SMALL: Final = 2000
"""Series that are looked at in about a millisecond."""

LATE_SECONDS: Final = 60.0
"""Seconds since the last success in which being late is a matter of a scrape's patience, not of the source."""

ABANDONED_LIMIT: Final = 3
"""Reads of one source that may hang at once, beyond any deadline, before no new one is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeOptions:
    """How a scrape is bounded and shared."""

    timeout: Duration = option(
        Duration(10.0), help="The deadline of a scrape whose request names none.", minimum=1, maximum=120
    )
    offset: Duration = option(
        Duration(0.5), help="Taken off X-Prometheus-Scrape-Timeout-Seconds, so that the answer arrives in time."
    )
    min_interval: Duration = option(
        Duration(0.0), help="Scrapes that come closer together share their reads. A source may have a longer one."
    )
    max_series: int = option(
        1000,
        help="Label values from data that a family of a source may have; the others are joined into __other__.",
        minimum=1,
        maximum=100_000,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one read of a source came to. `samples` is None when it failed, and `reason` says why."""

    samples: Samples | None
    duration: float
    at: float
    dropped: int = 0
    reason: str | None = None


@dataclass(slots=True)
class Tally:
    """What a source has counted since the process began, over all configurations."""

    dropped: int = 0


@dataclass(slots=True, eq=False)
class _Flight:
    """A read that is under way, and how many scrapes wait for it."""

    task: asyncio.Task[Result]
    begun: float
    waiting: int = 0


@dataclass(slots=True, eq=False)
class Outlet:
    """One source as the scrape sees it: its read under way, its last result, what it has counted."""

    source: Source
    options: ScrapeOptions
    clock: Clock
    last_success: float | None = None
    last: Result | None = None
    tally: Tally = field(default_factory=Tally)
    failing: str | None = None
    _flight: _Flight | None = None
    _late: int = 0
    _abandoned: set[asyncio.Task[Result]] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        """Return collector and source."""
        return self.source.collector, self.source.name

    async def result(self, timeout: float) -> Result:
        """Return a shared, fresh or new result within `timeout` seconds; a late one is a failure of this scrape."""
        shared = self._shared()
        if shared is not None:
            return shared
        if len(self._abandoned) >= ABANDONED_LIMIT:
            reason = f"{ABANDONED_LIMIT} earlier reads still hang: the source does not answer and cannot be cut off"
            return self._failure(timeout=0.0, reason=reason)
        flight = self._flight
        if flight is None:
            flight = self._flight = _Flight(asyncio.create_task(self._read()), self.clock.monotonic())
        flight.waiting += 1
        try:
            await asyncio.wait({flight.task}, timeout=timeout)
        finally:
            flight.waiting -= 1
            if flight.task.done():
                self._flight = None if self._flight is flight else self._flight
            elif not flight.waiting:
                self._abandon(flight)
        if flight.task.done() and not flight.task.cancelled():
            return flight.task.result()
        return self._failure(timeout, f"no answer within the {timeout:.3g} s of the scrape", late=True)

    def _shared(self) -> Result | None:
        interval = max(self.options.min_interval, self.source.min_interval)
        if interval and self.last is not None and self.clock.monotonic() - self.last.at < interval:
            return self.last
        return None

    def _failure(self, timeout: float, reason: str, *, late: bool = False) -> Result:
        self._note(reason, late=late)
        return Result(None, timeout, self.clock.monotonic(), reason=reason)

    def _abandon(self, flight: _Flight) -> None:
        """Nobody waits any more: end the read, and begin anew at the next scrape even if it does not end."""
        flight.task.cancel()
        self._abandoned.add(flight.task)
        flight.task.add_done_callback(self._abandoned.discard)
        if self._flight is flight:
            self._flight = None

    async def _read(self) -> Result:
        begun = self.clock.monotonic()
        try:
            samples, dropped = await self._capped(await self.source.read())
        except WatchbridgeError as error:
            reason = str(error)
        except Exception as error:
            # A kind that breaks in a way nobody foresaw costs its own series only.
            reason = f"unexpected {type(error).__name__}: {error}"
            if self.failing is None:
                log.exception("a collector broke", extra={"fields": self._fields()})
        else:
            self.last_success = self.clock.time()
            self.tally.dropped += dropped
            now = self.clock.monotonic()
            self.last = Result(samples, now - begun, now, dropped)
            self._note(None)
            return self.last
        now = self.clock.monotonic()
        self.last = Result(None, now - begun, now, reason=reason)
        self._note(reason)
        return self.last

    async def _capped(self, samples: Samples) -> tuple[Samples, int]:
        """Return safe samples; many are looked at in a thread, since the loop has others to answer."""
        many = sum(len(series) for family, series in samples.items() if family.data_label) > SMALL
        bounds = (samples, self.source.configured, self.options.max_series)
        return await asyncio.to_thread(capped, *bounds) if many else capped(*bounds)

    def _note(self, reason: str | None, *, late: bool = False) -> None:
        """Log a change between reading and failing once, not at every scrape.

        A scrape with less patience than the others makes no failure: only the second late one in a row does, and only
        when nobody could read the source for a while.
        """
        self._late = self._late + 1 if late else 0
        recent = self.last_success is not None and self.clock.time() - self.last_success < LATE_SECONDS
        if (reason is None) == (self.failing is None) or (late and (recent or self._late == 1)):
            self.failing = reason if self.failing and reason else self.failing
            return
        if reason is None:
            log.info("the source can be read again", extra={"fields": self._fields()})
        else:
            log.warning("the source cannot be read: %s", reason, extra={"fields": self._fields()})
        self.failing = reason

    def _fields(self) -> dict[str, str]:
        return {"collector": self.source.collector, "source": self.source.name}

    async def close(self) -> None:
        """End what is under way, within a second."""
        tasks = {*self._abandoned, *([self._flight.task] if self._flight else [])}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)


class Scrape:
    """The sources of one configuration, and what they have counted."""

    def __init__(self, sources: Iterable[Source], options: ScrapeOptions, clock: Clock) -> None:
        self.outlets = [Outlet(source, options, clock) for source in sources]
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def recall(self, successes: Mapping[tuple[str, str], float]) -> None:
        """Take up when each source was last read with success, as an earlier process wrote it down."""
        for outlet in self.outlets:
            outlet.last_success = successes.get(outlet.key)

    def adopt(self, earlier: Scrape) -> None:
        """Go on with what the scrape of the configuration before this one has counted."""
        before = {outlet.key: outlet for outlet in earlier.outlets}
        for outlet in self.outlets:
            old = before.get(outlet.key)
            if old is not None:
                # Shared, not copied: reads of before may still be under way, and a counter must not fall.
                outlet.tally = old.tally
                outlet.last_success, outlet.failing = old.last_success, old.failing

    def successes(self) -> dict[tuple[str, str], float]:
        """Return when each source was last read with success, in seconds since 1970."""
        return {outlet.key: outlet.last_success for outlet in self.outlets if outlet.last_success is not None}

    async def collect(self, collectors: frozenset[str] | None, timeout: float) -> tuple[Samples, ...]:
        """Read the sources of the named collectors (None: of all) within `timeout` seconds.

        Never raises for a source; what could not be read is absent, and said so by its `collector_success`.
        """
        self._answering += 1
        self._idle.clear()
        try:
            return await self._collected(collectors, timeout)
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def _collected(self, collectors: frozenset[str] | None, timeout: float) -> tuple[Samples, ...]:
        chosen = [outlet for outlet in self.outlets if collectors is None or outlet.source.collector in collectors]
        results = await asyncio.gather(*(outlet.result(timeout) for outlet in chosen))
        read = [result.samples for result in results if result.samples is not None]
        return (*read, self._about(zip(chosen, results, strict=True)))

    def _about(self, results: Iterable[tuple[Outlet, Result]]) -> Samples:
        about: Samples = {family: {} for family in FAMILIES}
        for outlet, result in results:
            about[SUCCESS][outlet.key] = 0.0 if result.samples is None else 1.0
            about[DURATION][outlet.key] = result.duration
            about[DROPPED][outlet.key] = outlet.tally.dropped
            if outlet.last_success is not None:
                about[LAST_SUCCESS][outlet.key] = outlet.last_success
        return about

    async def drain(self, timeout: float) -> None:
        """Wait until the scrapes under way were answered, at most `timeout` seconds, and end what remains."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """End every read that is under way."""
        await asyncio.gather(*(outlet.close() for outlet in self.outlets))
