"""Watching services: who owns which, what runs when, and the second hand that commits what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from exporter import probing
from exporter.clock import Jumps
from exporter.errors import StoreError, WatchbridgeError
from exporter.model import Reading
from exporter.replicas import DEAD_AFTER, Liveness, candidates, owner
from exporter.scheduler import Scheduler
from exporter.services import retention
from exporter.services.board import Board
from exporter.services.ledger import Ledger
from exporter.services.maintenance import Maintenance
from exporter.services.registry import Registry
from exporter.services.standing import kept
from exporter.store import replicas
from exporter.store.changes import Changes
from exporter.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.config import Configuration
    from exporter.model import Clock, ProbeParts
    from exporter.services.service import Service
    from exporter.services.standing import Standing
    from exporter.store.credentials import KeyRing
    from exporter.store.store import Store

log: Final = logging.getLogger(__name__)

BEAT: Final = 1.0
"""Seconds between two commits."""
LOOK_EVERY: Final = 3.0
"""Seconds between two looks at the other replicas and at the services of the store."""
IDLE: Final = 30.0
"""Seconds between two looks where nothing was written to the store since, which a file tells."""
BEGIN_SECONDS: Final = 5.0
"""How long a start waits for the store to tell of the services, so that the first scrape shows them."""
CLOSE_SECONDS: Final = 6.0
"""How long the tick under way may take at the end: a little more than one operation of the store."""
LAST_COMMITS: Final = 3
"""Commits at the end, where after an outage more waits than one takes."""


class Watch:
    """The services that this process probes."""

    def __init__(
        self, store: Store, clock: Clock, replica: str, configuration: Configuration, keys: KeyRing | None, host: str
    ) -> None:
        """`replica` names this process among those that share the store, `host` its node where none is configured."""
        self.board = Board()
        self.ledger = Ledger(store, replica, clock)
        self.scheduler = Scheduler(self._run, clock, configuration.probing.concurrency)
        self.services: dict[int, Service] = {}
        """Every enabled service, also those that another replica owns."""
        self.maintenance = Maintenance(configuration.windows)
        """The same one over all reloads: whoever acts may hold it."""
        self._store = store
        self._clock = clock
        self._keys = keys
        self._parts: ProbeParts | None = None
        self._ending = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._registry = Registry(store, configuration, keys)
        self._liveness = Liveness(replica)
        self._host = host
        self._node = configuration.node or host
        self._living: dict[str, str | None] = {replica: self._node}
        """The replicas that live, and the node of each."""
        self._owned: dict[tuple[str, str | None], bool] = {}
        """What `owns` found for them: a scrape asks for thousands of keys, and each is a hash for each replica."""
        self._stale = True
        self._changes = Changes(store, IDLE)
        self._trouble = Trouble(
            log,
            "what the probes see cannot be stored",
            "what the probes see can be stored again",
            unforeseen="the services could not be looked after",
        )
        self._begun = False
        self._jumps = Jumps(clock)
        self._looked = self._purged = self._committed = clock.monotonic()

    @property
    def trouble(self) -> str | None:
        """Why the store cannot take what was seen."""
        return self._trouble.reason

    def adopt(self, configuration: Configuration, parts: ProbeParts) -> None:
        """Take a configuration: its services are watched from the next tick on."""
        self._parts = parts
        self._registry = Registry(self._store, configuration, self._keys)
        node = configuration.node or self._host
        self._begun = self._begun and node == self._node
        self._node = node
        self.maintenance.configure(configuration.windows)
        self.scheduler.resize(configuration.probing.concurrency)
        self._stale = True

    def named(self, name: str, client: str | None) -> list[Service]:
        """Return the enabled services of a name, of one client where one is given."""
        return [one for one in self.services.values() if one.name == name and client in (None, one.client)]

    @property
    def living_nodes(self) -> frozenset[str]:
        """The nodes on which a replica lives, ours among them."""
        return frozenset(node for node in self._living.values() if node is not None)

    def owns(self, key: str, node: str | None = None) -> bool:
        """Return whether this replica shows what is known by a key: each is shown by one living one, of its node."""
        owned = self._owned.get((key, node))
        if owned is None:
            owned = owner(key, candidates(self._living, node)) == self.ledger.replica
            self._owned[key, node] = owned
        return owned

    async def prepare(self) -> None:
        """Take services over, in the background; return when they are there to be shown, or after a moment."""
        self._serving = asyncio.create_task(self._serve())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS):
                await self._first.wait()

    def start(self) -> None:
        """Begin to probe. Only once we answer ourselves: we may be among what is probed."""
        self._probing = asyncio.create_task(self.scheduler.serve())

    async def _serve(self) -> None:
        """Look after the services until told to end; nothing that goes wrong once ends it."""
        while not self._ending.is_set():
            await self.tick()
            self._first.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._ending.wait()

    async def tick(self) -> None:
        """Do what a second asks for: ownership, windows, what is too old, and the commit."""
        with self._trouble.noted():
            await self._tick()
        if self.trouble is not None:
            self._changes.forget()

    async def _tick(self) -> None:
        self._notice_jump()
        self._show(await self.ledger.settle())
        now = self._clock.monotonic()
        failed = None
        if not self._ending.is_set() and (self._stale or self._is_due(now)):
            self._looked = now
            self._changes.looked(now)
            failed = await self._look_around()
        await self._commit()
        if failed is not None:
            raise failed
        if now - self._purged >= retention.EVERY:
            self._purged = now
            await retention.forget_old(self._store, self._registry.configuration.readings, self._clock.time())

    def _is_due(self, now: float) -> bool:
        return now - self._looked >= LOOK_EVERY and self._changes.possible(now)

    async def _commit(self) -> None:
        moment = self._clock.time()
        for transition in self.board.look(
            moment, self.maintenance.covered((one.service for one in self.board), moment)
        ):
            self.ledger.transit(transition)
        if self.board.standings or self.ledger.waits or self._shared:
            self._show(await self.ledger.commit())
            self._committed = self._clock.monotonic()

    def _show(self, counted: Iterable[Standing]) -> None:
        for standing in counted:
            self.board.counted(standing)

    @property
    def _shared(self) -> bool:
        """Whether other replicas may live on the same store: an SQLite file belongs to one process."""
        return self._store.dialect != "sqlite"

    async def _look_around(self) -> Exception | None:
        """Look at windows, then at services; return what went wrong first: what was seen is committed all the same."""
        failed = None
        for look in (partial(self.maintenance.look, self._store, self._clock.time()), self._look):
            try:
                await look()
            except StoreError as error:  # the next one would wait as long, and the commit waits for both
                return failed or error
            except Exception as error:  # noqa: BLE001 - raised after the commit
                failed = failed or error
        return failed

    async def _look(self) -> None:
        living: dict[str, str | None] = {self.ledger.replica: self._node}
        if self._shared:
            await self._yield_lost()
            living = await self._look_for_others()
        if not self._stale and living == self._living and not await self._registry.changed():
            return
        self._stale = True  # until all of it is done: where the store fails half-way, the next second begins anew
        services = await self._registry.load()
        self.services = {service.id: service for service in services}
        self._living, self._owned = living, {}
        # What another still watches becomes ours in one of the next seconds.
        self._stale = not await self._settle([one for one in services if self.owns(one.key, one.node)])

    async def _look_for_others(self) -> dict[str, str | None]:
        """Say that we live and where, and return who does, with the node of each."""
        own = self.ledger.replica
        if not self._begun:
            # Who begins says that it lives before it asks who else does: of two, one at least sees the other.
            await replicas.begun(self._store, own, self.ledger.started, self._node)
        known = await replicas.known(self._store)
        nodes = {one.id: one.node for one in known}
        # A row that was forgotten is made again by the next commit, which says no node.
        self._begun = nodes.get(own) == self._node
        beats = {one.id: (one.started_at, one.heartbeat_at) for one in known if one.ended_at is None}
        living = self._liveness.look(beats, self._clock.monotonic())
        return {name: nodes.get(name) for name in living} | {own: self._node}

    async def _yield_lost(self) -> None:
        """After a time without a commit: take anew what others took over meanwhile, as whoever owns it by now."""
        if self._clock.monotonic() - self._committed < DEAD_AFTER:
            return
        for identity in await self.ledger.lost():
            self.board.remove(identity)
            self.ledger.release(identity, ended=False)
            self._stale = True

    async def _settle(self, owned: Sequence[Service]) -> bool:
        """Own these services and no others; return whether nobody else still watches one of them."""
        now = self._clock.time()
        wanted = {service.id for service in owned}
        for identity in self.board.standings.keys() - wanted:
            self.board.remove(identity)
            self.ledger.release(identity, ended=True)
        fresh, changed = [], []
        for service in owned:
            standing = self.board.standings.get(service.id)
            if standing is None:
                fresh.append(service)
            elif standing.service != service:
                await self.ledger.changed(service)
                self.board.replace(service, now)
                changed.append(standing)
        for standing in changed:
            self.board.refresh(standing, now)  # where two exchanged their names, the second took the first's series
        others, windowed = self._living.keys() - {self.ledger.replica}, self.maintenance.covered(fresh, now)
        taken = await self.ledger.take(fresh, others, windowed) if fresh else []
        for standing in taken:
            self.board.add(standing, now)
        self.scheduler.adopt([one for one in owned if one.id in self.board.standings])
        return len(taken) == len(fresh)

    async def _run(self, service: Service) -> bool:
        """Probe a service once; return whether it timed out."""
        if self._parts is None:
            return False
        if service.problem is not None:
            reading = Reading("unknown", service.problem, 0.0, "config")
        else:
            reading = await probing.run(service.kind, service.options, self._parts, service.timeout, service.slow_after)
        self._notice_jump()  # else what is noted now would be moved with all that was noted before
        standing = self.board.standings.get(service.id)
        if standing is None or (standing.service is not service and standing.service != service):
            return False  # it is somebody else's by now, or another one: what was seen says nothing of it
        reading = kept(reading, full=service.full)
        at = self._clock.time()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("probed: %s: %s", reading.state, reading.reason, extra={"fields": _fields(service)})
        transition = self.board.note(service.id, reading, at)
        self.ledger.note(service, reading, at)
        if transition is not None:
            self.ledger.transit(transition)
            self._tell(service, transition.state, transition.reason)
        return reading.cause == "timeout"

    def _tell(self, service: Service, state: str, reason: str) -> None:
        level = logging.INFO if state in {"up", "maintenance"} else logging.WARNING
        log.log(level, "the service is %s: %s", state, reason, extra={"fields": _fields(service) | {"state": state}})

    def _notice_jump(self) -> None:
        """Begin new stretches where the wall clock was set: a day that did not pass is nobody's uptime."""
        jumped = self._jumps.taken()
        if not jumped:
            return
        wall = self._clock.time()
        before = wall - jumped
        log.warning("the clock of this machine was set", extra={"fields": {"seconds": round(jumped, 1)}})
        for standing in self.board:
            standing.rebase(before, wall)
        self.ledger.rebase(self.board, before, wall)

    async def close(self) -> None:
        """Begin no probe any more, let those under way end, and write down everything that was seen."""
        self._ending.set()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})
        if self._serving is None:
            return
        # Not cancelled: a commit that is cut off may have been done all the same.
        await asyncio.wait({self._serving}, timeout=CLOSE_SECONDS)
        self._serving.cancel()
        await asyncio.wait({self._serving}, timeout=CLOSE_SECONDS)
        draining = asyncio.create_task(self.scheduler.drain())
        while not draining.done():
            await self.tick()  # a replica that were silent for as long as runs may take would be taken for dead
            await asyncio.wait({draining}, timeout=BEAT)
        await draining
        if self.board.standings or self.ledger.waits or self._shared:
            for _ in range(LAST_COMMITS):
                await self.tick()
                if self.trouble is not None or not self.ledger.waits:
                    break
            with contextlib.suppress(WatchbridgeError):
                await replicas.ended(self._store, self.ledger.replica, max(self._clock.time(), self.ledger.seen_until))


def _fields(service: Service) -> dict[str, str]:
    return {"client": service.client, "target": service.name}
