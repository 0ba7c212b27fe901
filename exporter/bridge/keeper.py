"""What time alone does: late incidents open, silent ones close, what is old is forgotten, counts are written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from exporter.bridge import booking
from exporter.bridge.decided import logged
from exporter.clock import Jumps
from exporter.errors import WatchbridgeError
from exporter.store import audit, backlog, counters, incidents, replicas, service_restarts
from exporter.store.changes import Changes
from exporter.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.bridge.intake import Intake
    from exporter.bridge.terms import Terms
    from exporter.model import Clock
    from exporter.store.store import Store

log: Final = logging.getLogger("exporter.bridge")

BEAT: Final = 1.0
"""Seconds between two looks."""
IDLE: Final = 30.0
"""Seconds between two looks where nothing was written to the store and nothing is due."""
PURGE_EVERY: Final = 60.0
"""Seconds between two removals of what is older than its retention."""
PURGED: Final = 20_000
"""Rows that one removal takes at most."""
GRACE: Final = 3_600.0
"""Seconds in which nothing is silent after we could not be reached: senders try again, and then we know."""
NEVER: Final = 1e12
"""Seconds that no incident lives; not infinity, which MySQL does not take."""


class Keeper:
    """Looks after incidents for as long as the server runs."""

    def __init__(
        self, store: Store, clock: Clock, scope: str, intake: Intake, stored: Callable[[], None] | None = None
    ) -> None:
        self.retention = 90 * 86_400.0
        self.finished_retention = 30 * 86_400.0
        self.restarts_retention = 365 * 86_400.0
        self._store = store
        self._clock = clock
        self._scope = scope
        self._intake = intake
        self._stored = stored
        self._jumps = Jumps(clock)
        self._quiet_until = 0.0
        self._jumped_at: float | None = None
        self._listen_anew()
        self._purged = clock.monotonic()
        self._trouble = Trouble(log, "incidents cannot be looked after", "incidents can be looked after again")
        self._changes = Changes(store, IDLE)
        self._due_at = 0.0
        self._serving: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    @property
    def trouble(self) -> str | None:
        """Why the store cannot take what time does."""
        return self._trouble.reason

    def start(self) -> None:
        """Begin to look."""
        self._serving = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """End after the look under way, and write down what was counted."""
        self._ending.set()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=2 * BEAT)
            self._serving.cancel()
            await asyncio.wait({self._serving})
        with contextlib.suppress(WatchbridgeError):
            await self._intake.flush()

    async def _serve(self) -> None:
        while not self._ending.is_set():
            await self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._ending.wait()

    async def tick(self) -> None:
        """Do once what a second asks for; never raises."""
        with self._trouble.noted():
            await self._tick()
        if self.trouble is not None:
            self._changes.forget()
            self._listen_anew()

    async def _tick(self) -> None:
        self._notice_jump()
        await self._intake.flush()
        await self._pass()
        now = self._clock.monotonic()
        if now - self._purged >= PURGE_EVERY:
            self._purged = now
            await self._purge()

    async def _pass(self) -> None:
        monotonic, now = self._clock.monotonic(), self._clock.time()
        if now < self._due_at and not self._changes.possible(monotonic):
            return
        self._changes.looked(monotonic)
        terms = self._terms()
        async with self._store.reading() as connection:
            self._due_at = await incidents.next_change(connection, now, terms.late_for, terms.silent_after)
        if now < self._due_at:
            return
        async with self._store.writing() as connection:
            decided, tally = await booking.passed(connection, terms, self._clock.time())
            await booking.totalled(connection, self._scope, tally)
        logged(decided)
        if decided and self._stored is not None:
            self._stored()

    def _terms(self) -> Terms:
        """Return the terms; nothing is silent, nor late for long enough, for as long as nobody could know."""
        terms, now = self._intake.terms, self._clock.monotonic()
        late_for, silent_after = terms.late_for, terms.silent_after
        if now < self._quiet_until:
            silent_after = NEVER
        if self._jumped_at is not None and now < self._jumped_at + late_for:
            late_for = NEVER
        return replace(terms, late_for=late_for, silent_after=silent_after)

    def _listen_anew(self) -> None:
        """Wait with silence: nobody was heard while this process or its store was away."""
        quiet = min(GRACE, self._intake.terms.silent_after)
        self._quiet_until = max(self._quiet_until, self._clock.monotonic() + quiet)

    def _notice_jump(self) -> None:
        if self._jumps.taken() > 0:
            monotonic = self._clock.monotonic()
            self._quiet_until = monotonic + self._intake.terms.silent_after
            self._jumped_at = monotonic
            log.warning("the clock of this machine was set: no incident is closed by silence for as long as that takes")

    async def _purge(self) -> None:
        now = self._clock.time()
        await backlog.purge(self._store, now - self.finished_retention, PURGED)
        await incidents.purge(self._store, now - self.retention, PURGED)
        await audit.purge(self._store, now - self.retention, PURGED)
        await service_restarts.purge(self._store, now - self.restarts_retention, PURGED)
        if self._scope:
            known = [one.id for one in await replicas.known(self._store)]
            await counters.forget(self._store, [*known, self._scope])
