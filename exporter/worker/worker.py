"""The worker of a process: claim, gate, act, verify, record, for as long as the server runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from exporter.bridge.options import NOTIFICATIONS, RESTARTS
from exporter.errors import WatchbridgeError
from exporter.restarting.surroundings import Surroundings
from exporter.store import backlog_due
from exporter.store.backlog_claims import LOOKED_AT, Holder, Wish
from exporter.store.service_leases import DecisionsBusyError
from exporter.trouble import Trouble
from exporter.worker.books import Books
from exporter.worker.claims import Claims
from exporter.worker.clock_set import ClockSet
from exporter.worker.horizon import POLL, SHORTEST, Horizon
from exporter.worker.lease_books import fields
from exporter.worker.leases import LEASE, Leases
from exporter.worker.runs import Pace, Run, Tools, performed
from exporter.worker.terms import Terms
from exporter.worker.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from exporter.config import Configuration
    from exporter.model import ActionParts, Clock, ProbeParts
    from exporter.restarting.strategy import Strategy
    from exporter.services.maintenance import Maintenance
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.books import Recorded
    from exporter.worker.queues import Queue

log: Final = logging.getLogger("exporter.worker")

TICK_SECONDS: Final = 6.0
"""How long the tick under way may take at the end: a little more than one operation of the store."""
STOP_SECONDS: Final = 9.0
"""How long what was stopped may take to end, and to be judged."""
LAST_RECORDS: Final = 3


class Worker:
    """Works off the queues that have an action."""

    def __init__(self, store: Store, clock: Clock, replica: str, scope: str, *, by_hand: str | None = None) -> None:
        """`replica` names this process in the runs, `scope` in the counters; `by_hand` is the person who runs it."""
        self.leases = Leases(clock, self._renewed)
        """What is ours: it runs, or waits for its end to be written."""
        self.around = Surroundings(clock, self.wake)
        """What is looked at before something is restarted; who owns us says whom to ask of silences and alarms."""
        self.heard: Callable[[Recorded], None] | None = None
        """Told of each end that was written."""
        owner = f"{by_hand or replica}"[:48]
        self._holder = Holder(f"{owner}#{secrets.token_hex(4)}", replica, LEASE)
        self._store = store
        self._clock = clock
        self._scope = scope
        self._by_hand = by_hand
        self._books: Books | None = None
        self._tools: Tools | None = None
        self._paces: dict[str, Pace] = {}
        self._changed = asyncio.Event()
        self._horizon = Horizon(store, clock)
        self._clock_set = ClockSet(store, clock)
        self._is_new = True
        self._claims = Claims(store, clock, self.around, by_hand=bool(by_hand))
        self._has_new_modes = False
        self._ending = False
        self._hurried = False
        self._vigil = Vigil(store, clock, self.wake)
        self._trouble = Trouble(log, "the backlog cannot be worked off", "the backlog can be worked off again")
        self._serving: asyncio.Task[None] | None = None

    def adopt(
        self, configuration: Configuration, parts: ActionParts, probing: ProbeParts, maintenance: Maintenance
    ) -> None:
        """Take a configuration: what begins from now on begins under it, what runs ends under its own."""
        terms = Terms.of(configuration, maintenance)
        self.around.adopt(terms.restartable, probing)
        self._vigil.adopt(terms.restartable, probing)
        # At the start nobody knows under which mode items were held; for a person's command the mode holds nothing.
        if not self._by_hand and (self._books is None or self._books.terms.modes != terms.modes):
            self._has_new_modes = True
        actor = self._by_hand or ""
        self._books = Books(
            self._store,
            self._clock,
            self._holder,
            self._scope,
            terms,
            self.around,
            by_hand=bool(self._by_hand),
            actor=actor,
        )
        self._tools = Tools(self._clock, parts, probing, self.around, self._store.where)
        self._horizon.due = {}
        self.wake()

    @property
    def trouble(self) -> str | None:
        """Why the store cannot be worked with."""
        return self._trouble.reason

    def wake(self) -> None:
        """Look at once: something was stored that may be due."""
        self._horizon.wake()
        self._changed.set()

    def start(self) -> None:
        """Begin to work."""
        self._serving = asyncio.create_task(self._serve())
        self.leases.start()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ending:
            self._changed.clear()
            await self.tick()
            waking = loop.call_later(self._pause(), self._changed.set)
            try:
                await self._changed.wait()
            finally:
                waking.cancel()

    def _pause(self) -> float:
        """Return in how many seconds there is something to do, if nothing happens before."""
        if self.trouble is not None:
            return POLL
        now = self._clock.monotonic()
        waits = [self._horizon.wait(now)]
        for name in self._horizon.due:
            # Where all places are taken, the end of a run is waited for and not a time.
            wait = self._pace(name).wait(self._terms.queues[name], now)
            if wait is not None:
                waits.append(wait)
        return min(max(SHORTEST, min(waits)), POLL)

    async def tick(self) -> None:
        """Write what ended, look at what is due, and begin it; never raises."""
        with self._trouble.noted():
            await self._tick()
        if self.trouble is not None:
            self._horizon.forget()

    async def _tick(self) -> None:
        await self.record()
        if self._ending or self._books is None:
            return
        if await self._clock_set.followed(tuple(self._terms.queues)):
            self._horizon.wake()
        now = self._clock.monotonic()
        if self._horizon.calls(now):
            await self._look(now)
        if not self._by_hand:
            self._vigil.begin()
        due = self._horizon.due
        for name in sorted(due, key=lambda one: one == RESTARTS):  # what others decide on bars no other queue
            if not self._ending and await self.fill(name, Wish(name, 0, due[name])):
                due.pop(name, None)

    async def _look(self, now: float) -> None:
        """Find out what is due, and take over what nobody runs any more."""
        self._horizon.looks(now)
        if self._is_new:
            # An SQLite file that we hold has no other server: what an earlier one left is ours at once.
            await self._take_over(None, at_once=self._store.dialect == "sqlite")
            self._is_new = False
        if self._claims.is_doubtful:
            with contextlib.suppress(DecisionsBusyError):
                await self._told.leases.release_strays(tuple(self.leases.runs))
                self._claims.is_doubtful = False
        if self._has_new_modes:
            await backlog_due.reconsidered(self._store, tuple(self._terms.queues), self._clock.time())
            self._has_new_modes = False
        found = await backlog_due.outlook(self._store, tuple(self._terms.queues), self._clock.time())
        self._horizon.found(found, now)
        if found.overdue:
            await self._take_over(found.overdue)

    async def _take_over(self, queues: Collection[str] | None, *, at_once: bool = False) -> None:
        began = self._clock.monotonic()
        for item, kind in await self._told.leases.take_over(queues, tuple(self.leases.runs), at_once=at_once):
            queue = self._terms.queues.get(item.queue)
            self._begin(Run(item, queue, None, began + LEASE, kind, taken=True, strategy=self._strategy(item)))

    def _strategy(self, item: BacklogItem) -> Strategy | None:
        return self._terms.restartable.strategies.get(item.service or "") if item.queue == RESTARTS else None

    async def fill(self, name: str, wish: Wish) -> bool:
        """Begin what is due of a queue, as far as there are places; return whether nothing of it is left to begin.

        The wish's limit is a bound of its own; 0: there is none.
        """
        queue, pace, began = self._terms.queues[name], self._pace(name), self._clock.monotonic()
        free = pace.free(queue, sum(run.item.queue == name for run in self.leases.runs.values()), began)
        free = min(free, wish.limit) if wish.limit else free
        if free == 0 or (name != NOTIFICATIONS and not self._terms.maintenance.known):
            return False
        found = await self._claims.made(self._told, replace(wish, limit=free))
        if isinstance(found, bool):
            return found
        pace.begin(queue, len(found.begun), began)
        for item in found.begun:
            deed = queue.deed(item)
            run = Run(item, queue, deed, began + LEASE, strategy=self._strategy(item))
            run.fence, run.hung = found.fences.get(item.id, 0), item.id in found.hung
            run.holds = partial(self.leases.holds, run)
            if deed is not None:
                run.kind = deed.kind
            self._begin(run)
        if len(found.begun) < free and len(found.held) < LOOKED_AT:
            return True
        if len(found.begun) < free:
            self._changed.set()  # what is held barred the rest: on with the next of it
        return False

    def _begin(self, run: Run) -> None:
        run.task = asyncio.create_task(self._perform(run))
        self.leases.add(run)

    async def _perform(self, run: Run) -> None:
        assert self._tools is not None  # noqa: S101 -- there is no run without a configuration
        try:
            if not run.taken and not self.leases.holds(run):
                await self._told.leases.release([run.item])  # the claim took longer than its lease lasts
                self.leases.drop(run.item.id)
                return
            run.ended = await performed(run, self._tools)
            if run.ended is None:
                self.leases.drop(run.item.id)
        except WatchbridgeError as error:
            log.warning("an item is left to who takes it over: %s", error, extra={"fields": fields(run.item)})
            self.leases.drop(run.item.id)
        except Exception:  # nobody foresaw it: kept, it would never end
            log.exception("an item is left to who takes it over", extra={"fields": fields(run.item)})
            self.leases.drop(run.item.id)
        finally:
            self._changed.set()

    async def record(self) -> None:
        """Write how runs ended; StoreError leaves them to the next time."""
        batch = [run.ended for run in self.leases.runs.values() if run.ended is not None]
        restarts = [one for one in batch if one.finish.item.queue == RESTARTS]
        await self._record([one for one in batch if one.finish.item.queue != RESTARTS])
        with contextlib.suppress(DecisionsBusyError):
            await self._record(restarts)

    async def _record(self, batch: Sequence[Recorded]) -> None:
        if not batch:
            return
        ours = await self._told.record(batch)
        if any(one.restart is not None for one in batch):
            self.around.forget()  # what hangs on it is judged by how it is now
        for one in batch:
            self.leases.drop(one.finish.item.id)
            if self.heard is not None and one.finish.item.id in ours:
                self.heard(one)

    async def _renewed(self, items: Collection[BacklogItem]) -> set[int]:
        return await self._told.leases.renew(items)

    def _pace(self, name: str) -> Pace:
        return self._paces.setdefault(name, Pace())

    @property
    def queues(self) -> dict[str, Queue]:
        """Return the queues that are worked off."""
        return dict(self._terms.queues)

    @property
    def _told(self) -> Books:
        assert self._books is not None  # noqa: S101 -- nothing begins before a configuration was adopted
        return self._books

    @property
    def _terms(self) -> Terms:
        return self._told.terms

    async def close(self, grace: float) -> None:
        """Begin nothing more; let what runs end within `grace` seconds, then stop and judge it, and write all down."""
        self._ending = True
        self._changed.set()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=TICK_SECONDS)
            self._serving.cancel()
            await asyncio.wait({self._serving}, timeout=TICK_SECONDS)
        await self._drain(grace, is_over=lambda: self._hurried)
        for run in list(self.leases.runs.values()):
            if run.acts:
                run.stop("the command was stopped" if self._by_hand else "the server was stopped")
        await self._drain(STOP_SECONDS)
        for _ in range(LAST_RECORDS):
            if any(run.ended for run in self.leases.runs.values()):
                await self.tick()
        await self.leases.close()
        await self.around.close()
        await self._vigil.close()

    def hurry(self) -> None:
        """Give what runs no more grace, now or at the end: it is stopped and judged."""
        self._hurried = True

    async def _drain(self, seconds: float, *, is_over: Callable[[], bool] = lambda: False) -> None:
        """Wait for what runs, until it `is_over` at the latest, and write down what ends meanwhile."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await asyncio.sleep(0)  # what was cancelled before its first step would never be judged
        while tasks := self.leases.acting():
            left = until - loop.time()
            if left <= 0 or is_over():
                return
            await asyncio.wait(tasks, timeout=min(left, POLL), return_when=asyncio.FIRST_COMPLETED)
            await self.tick()
        await self.tick()
