"""Lives of Watchbridge in a test: commits that fail, answers that are lost, kills, and what must be counted."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any

from servers.watched import FakeClock, reading, service

from exporter.errors import StoreError
from exporter.services.board import Board
from exporter.services.ledger import Ledger
from exporter.store import client_services
from exporter.store.client_services import FileService
from exporter.uptime import Stretch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from exporter.model import State
    from exporter.services.service import Service
    from exporter.store.store import Store

_clients = itertools.count()


class Faulty:
    """A store whose writing goes as planned: `before` and `during` nothing is done, `lost` it is done and not told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.plan: deque[str] = deque()
        self.done = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def mark(self) -> None:
        """Tell of no commit: whoever looks asks each time, as on a shared store."""

    @contextlib.asynccontextmanager
    async def writing(self, **options: Any) -> AsyncIterator[Any]:
        """Give a transaction of the store, and fail as planned."""
        how = self.plan.popleft() if self.plan else "well"
        failure = StoreError(where="the store", reason=f"as planned: {how}")
        if how == "before":
            raise failure
        async with self._store.writing(**options) as connection:
            yield connection
            if how == "during":
                raise failure
        self.done += 1
        if how == "lost":
            raise failure


async def registered(store: Store, count: int, **changes: Any) -> list[Service]:
    """Store services of a client that no other test has, and return them."""
    client = f"client-{next(_clients)}"
    names = [f"service-{number:05}" for number in range(count)]
    rows = [
        FileService(
            client, name, "127.0.0.1:1", enabled=True, cron_schedule=None, timeout_ms=5000, expected_status_code=None
        )
        for name in names
    ]
    ids = await client_services.registered(store, rows)
    return [service(ids[client, name], client=client, name=name, **changes) for name in names]


class Lives:
    """Services that are watched by one process after the other, and a plain record of what became of them."""

    def __init__(self, store: Store, services: Sequence[Service], clock: FakeClock | None = None) -> None:
        self.store = Faulty(store)
        self.services = list(services)
        self.clock = clock or FakeClock()
        self.board = Board()
        self.ledger = Ledger(self.store, "nobody", self.clock)  # type: ignore[arg-type]  # a store with a plan
        self.timeline: dict[int, list[tuple[float, State]]] = {one.id: [] for one in services}
        self.heartbeat: float | None = None
        self.taken = 0.0
        self.counted: Counter[tuple[int, bool]] = Counter()
        self.waiting: Counter[tuple[int, bool]] = Counter()
        self._shown: dict[tuple[str, ...], float] = {}

    async def begin(self, replica: str, *faults: str) -> None:
        """Start a process, that takes all services over; what the one before had not committed is gone."""
        self.waiting.clear()
        self.board = Board()
        self.ledger = Ledger(self.store, replica, self.clock)  # type: ignore[arg-type]  # a store with a plan
        for events in self.timeline.values():
            if events:
                seen = max(self.heartbeat or 0.0, self.taken)
                events[:] = [*((at, state) for at, state in events if at <= seen), (seen, "unknown")]
        for fault in (*faults, "well"):
            self.store.plan.append(fault)
            now = self.clock.time()
            try:
                standings = await self.ledger.take(self.services)
            except StoreError:
                if fault == "lost":
                    self.taken = now
                    for events in self.timeline.values():
                        events.append((now, "unknown"))
                self.clock.pass_(1.0)
                continue
            self.taken = now
            for standing in standings:
                self.board.add(standing, now)
                self.timeline[standing.service.id].append((now, standing.state))
            return

    def note(self, place: int, state: State) -> None:
        """Let a probe of a service end."""
        watched = self.services[place % len(self.services)]
        found = reading(state)
        now = self.clock.time()
        transition = self.board.note(watched.id, found, now)
        self.ledger.note(watched, found, now)
        self.waiting[watched.id, found.success] += 1
        if transition is not None:
            self.ledger.transit(transition)
            self.timeline[watched.id].append((now, transition.state))

    def look(self, windows: set[int]) -> None:
        """Let time and windows change the states."""
        covered = {one.id: "planned maintenance" for place, one in enumerate(self.services) if place in windows}
        for transition in self.board.look(self.clock.time(), covered):
            self.ledger.transit(transition)
            self.timeline[transition.service.id].append((transition.at, transition.state))

    async def commit(self, *faults: str) -> bool:
        """Commit once, settling what is in doubt; return whether that was told to be done."""
        now, before = self.clock.time(), self.store.done
        settling = self.ledger._doubtful is not None
        self.store.plan.extend(faults)
        try:
            for standing in await self.ledger.commit():
                self.board.counted(standing)
        except StoreError:
            told = False
        else:
            told = True
        if self.store.done - before > int(settling):
            self.heartbeat = now
            self.counted += self.waiting
            self.waiting.clear()
        self.store.plan.clear()
        return told

    def seconds(self, identity: int) -> dict[State, float]:
        """Return how long a service was in each state until the last heartbeat that we know of, by the record."""
        events, found = self.timeline[identity], defaultdict[Any, float](float)
        until = max(self.ledger.seen_until, self.taken)
        for (at, state), (following, _) in itertools.pairwise([*events, (until, "unknown")]):
            found[state] += max(0.0, min(following, until) - min(at, until))
        return dict(found)

    def stretches(self, identity: int) -> list[Stretch]:
        """Return the record as stretches."""
        events = self.timeline[identity]
        ends = [*(at for at, _ in events[1:]), None]
        return [Stretch(state, at, end) for (at, state), end in zip(events, ends, strict=True)]

    def check_counters(self) -> None:
        """See that nothing that was shown falls, whoever shows it, and that runs are those that were committed."""
        shown: dict[Any, float] = dict(self.ledger.uptime())
        doubt = self.ledger._doubtful is not None
        for one in self.board:
            counted = one.counted
            for success, value in ((True, counted.runs_success), (False, counted.runs_failure)):
                done = self.counted[one.service.id, success]
                assert value <= done if doubt else value == done
                shown[one.service.client, one.service.name, f"runs {success}"] = value
        for labels, before in self._shown.items():
            assert shown.get(labels, 0.0) >= before, (labels, shown.get(labels, 0.0) - before)
        self._shown = shown

    def check_seconds(self) -> None:
        """Hold the seconds of each state against the record."""
        shown = self.ledger.uptime()
        for one in self.services:
            for state, expected in self.seconds(one.id).items():
                found = shown.get((one.client, one.name, state), 0.0)
                assert abs(found - expected) < 1e-3, (one.name, state, found, expected)
