"""What must outlive the process: readings, stretches and counts are committed together once a second.

Counters show only what is committed, so that no kill makes one fall. The heartbeat in each commit says until when we
have looked: after our own end somebody closes the open stretches there, and what follows is nobody's uptime.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import IntegrityError

from exporter.errors import StoreError
from exporter.services.batch import Batch, Noted
from exporter.services.standing import Standing, Transition, spent_by
from exporter.services.takeover import Taker, taken_over
from exporter.store import client_services, replicas, service_states, service_status, service_totals
from exporter.uptime import WINDOWS, History, Stretch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import Clock, Labels, Reading, State
    from exporter.services.service import Service
    from exporter.store.store import Store

RATIOS_EVERY: Final = 60.0
"""Seconds between two computations of the uptime ratios."""


class Ledger:
    """Keeps the books of the services that this replica owns."""

    def __init__(self, store: Store, replica: str, clock: Clock) -> None:
        """`replica` names this process among those that share the store."""
        self.replica = replica
        self.started = clock.time()
        self.seen_until = self.started
        """The last committed heartbeat, in seconds since 1970."""
        self._store = store
        self._clock = clock
        self._batch = Batch()
        self._beat = self._floor = self.started
        """The heartbeat of the last commit, done or tried, and before what no transition is any more."""
        self._doubtful: Batch | None = None
        """What the last commit wrote, while nobody knows whether it was done."""
        self._standings: dict[int, Standing] = {}
        self._histories: dict[int, History] = {}
        self._ratios: dict[Labels, float] = {}
        self._ratios_at: float | None = None

    async def take(
        self, services: Sequence[Service], others: Collection[str] = (), in_window: Mapping[int, str] | None = None
    ) -> list[Standing]:
        """Go on where the owner before us stopped; StoreError when the store does not answer.

        Services that one of the `others`, who live, still watches are left out: it lets go of them once it sees us.
        Those `in_window` are in maintenance.
        """
        now = max(self._clock.time(), self._floor)
        taken = {service.id for service in services}
        # Where one comes back before its end was committed, the take-over ends what is open.
        self._batch.dropped = [one for one in self._batch.dropped if one.standing.service.id not in taken]
        standings = await taken_over(self._store, services, Taker(self.replica, now, others, in_window or {}))
        for standing in standings:
            self._standings[standing.service.id] = standing
        await self.recall([standing.service.id for standing in standings if standing.service.full])
        return standings

    async def recall(self, identities: Sequence[int]) -> None:
        """Take up the stretches of services whose ratios are shown."""
        if not identities:
            return
        known: dict[int, list[Stretch]] = {}
        for one in await service_states.since(self._store, identities, self._clock.time() - max(WINDOWS.values())):
            known.setdefault(one.service_id, []).append(Stretch(one.state, one.began_at, one.ended_at))
        self._histories |= {identity: History(known.get(identity, ())) for identity in identities}
        self._ratios_at = None

    async def changed(self, service: Service) -> None:
        """Take the new options of a service whose books are kept."""
        if not service.full:
            self._histories.pop(service.id, None)
        elif service.id not in self._histories:
            await self.recall([service.id])

    def release(self, identity: int, *, ended: bool) -> None:
        """Keep a service's books no longer; with `ended` its open stretch ends now, after which another may take it.

        Else another replica has ended it at our last heartbeat: what became of it since is not ours to write.
        """
        standing = self._standings.pop(identity, None)
        self._histories.pop(identity, None)
        if standing is not None and ended:
            self._batch.drop(standing, max(self._clock.time(), self._floor))
        self._batch.transitions.pop(identity, None)

    async def lost(self) -> list[int]:
        """Return the services that another replica took over while we could not say that we live."""
        named = {*self._standings, *(one.standing.service.id for one in self._batch.dropped)}
        opened = {one.id for one in await service_states.open_ones(self._store, named)}
        self._batch.dropped = [one for one in self._batch.dropped if one.standing.counted.number in opened]
        return [identity for identity, one in self._standings.items() if one.counted.number not in opened]

    @property
    def waits(self) -> bool:
        """Whether something waits for the next commit."""
        batch = self._batch
        return self._doubtful is not None or any((batch.readings, batch.runs, batch.transitions, batch.dropped))

    def note(self, service: Service, reading: Reading, at: float) -> None:
        """Keep a reading for the next commit."""
        self._batch.note(service, reading, at)

    def transit(self, transition: Transition) -> None:
        """Keep a transition for the next commit.

        None is before the last heartbeat: where the clock goes back a little, seconds that were shown must stay.
        """
        self._batch.transit(transition._replace(at=max(transition.at, self._floor)))

    def rebase(self, standings: Iterable[Standing], before: float, after: float) -> None:
        """Go on at another time of the wall clock: what lies between the two is nobody's uptime."""
        for standing in standings:
            self.transit(Transition(standing.service, "unknown", "the clock of this machine was set", before))
            self._batch.transit(Transition(standing.service, standing.state, standing.reason, after))
        self._floor = after
        self._batch.rebased = True

    async def commit(self) -> list[Standing]:
        """Write what waits, and the heartbeat; return the services whose runs are counted anew.

        StoreError when that cannot be done: then everything waits for the next commit.
        """
        settled = await self.settle()
        batch = self._batch
        self._batch = batch.split()
        now = self._clock.time()
        # Each commit has a heartbeat of its own, see `settle`; and none goes back before what was shown, but where the
        # clock was set.
        if now == self._beat or (now < self._beat and not batch.rebased):
            now = math.nextafter(self._beat, math.inf)
        self._beat, self._floor = now, max(self._floor, now)
        self._doubtful = batch
        try:
            numbers = await self._written(batch, now, is_alone=self._store.dialect == "sqlite")
        except StoreError as error:
            if self._store.dialect != "sqlite" or not isinstance(error.__cause__, IntegrityError):
                raise
            numbers = await self._written(batch, now, is_alone=False)
        return settled + self._published(batch, numbers)

    async def _written(self, batch: Batch, now: float, *, is_alone: bool) -> dict[int, int]:
        """Commit a batch and the heartbeat; return the rows of the open stretches.

        Who `is_alone` on the store need not ask each second whether the services are still there: where one was
        deleted just now, the store refuses the whole, and then it is asked.
        """
        async with self._store.writing() as connection:
            named = batch.named()
            there = named if is_alone else await client_services.present(connection, named)
            numbers = await self._write(connection, batch, there)
            await replicas.beat(connection, self.replica, self.started, now)
        return numbers

    async def settle(self) -> list[Standing]:
        """Find out about a commit that raised whether it was done: an answer that was lost must count nothing twice.

        Our heartbeat in the store tells, since each commit writes another one. Returns the services whose runs are
        counted anew; StoreError when the store does not answer.
        """
        batch = self._doubtful
        if batch is None:
            return []
        async with self._store.writing() as connection:
            seen = await replicas.heartbeat(connection, self.replica)
        if seen == self._beat:
            opened = await service_states.open_ones(self._store, list(batch.transitions))
            return self._published(batch, {one.service_id: one.id for one in opened if one.replica == self.replica})
        self._batch, self._doubtful = batch.before(self._batch), None
        self._batch.shorten()
        return []

    async def _write(self, connection: AsyncConnection, batch: Batch, there: set[int]) -> dict[int, int]:
        """Write what is said of the services that are there, in their order; return the rows of the open stretches."""
        await service_status.add(connection, [_row(noted) for noted in batch.readings if noted.service.id in there])
        closing, opening, seconds = self._stretches(batch)
        await service_states.closed(connection, closing)
        numbers = await service_states.opened(connection, [one for one in opening if one.service_id in there])
        increments = {
            identity: service_totals.Totals(*batch.runs.get(identity, (0, 0)), seconds.get(identity, {}))
            for identity in sorted((batch.runs.keys() | seconds.keys()) & there)
        }
        await service_totals.added(connection, increments)
        return numbers

    def _stretches(
        self, batch: Batch
    ) -> tuple[dict[int, float], list[service_states.Stretch], dict[int, dict[State, float]]]:
        """Return the rows that end and when, the stretches that begin, and the seconds of those that ended."""
        closing: dict[int, float] = {}
        opening: list[service_states.Stretch] = []
        seconds: dict[int, dict[State, float]] = {}
        ended: list[tuple[Standing, list[Transition], float | None]] = list(batch.dropped)
        ended += [
            (standing, batch.transitions[identity], None)
            for identity in sorted(batch.transitions)
            if (standing := self._standings.get(identity)) is not None
        ]
        for standing, transitions, until in ended:
            identity, counted = standing.service.id, standing.counted
            first = transitions[0].at if transitions else until
            closing[counted.number] = counted.began if first is None else first
            opening += _opened(transitions, until, self.replica)
            seconds[identity] = spent_by(counted, transitions, until)
        return closing, opening, seconds

    def _published(self, batch: Batch, numbers: Mapping[int, int]) -> list[Standing]:
        """Count what is committed; return the services whose runs are counted anew."""
        self._doubtful = None
        self.seen_until = self._beat if batch.rebased else max(self.seen_until, self._beat)
        for identity, transitions in batch.transitions.items():
            standing = self._standings.get(identity)
            if standing is None:
                continue
            counted = standing.counted
            for state, spent in spent_by(counted, transitions).items():
                counted.seconds[state] = counted.seconds.get(state, 0.0) + spent
            counted.state, counted.began = transitions[-1].state, transitions[-1].at
            counted.number = numbers.get(identity, 0)
            self._continue_history(identity, transitions)
        changed = []
        for identity, (success, failure) in batch.runs.items():
            if (standing := self._standings.get(identity)) is not None:
                standing.counted.runs_success += success
                standing.counted.runs_failure += failure
                changed.append(standing)
        return changed

    def _continue_history(self, identity: int, transitions: Iterable[Transition]) -> None:
        history = self._histories.get(identity)
        if history is not None:
            for one in transitions:
                history.became(one.state, one.at)

    def uptime(self) -> dict[Labels, float]:
        """Return the committed seconds up to the heartbeat, by client, target and each state that was seen."""
        found: dict[Labels, float] = {}
        for standing in self._standings.values():
            client, name, counted = standing.service.client, standing.service.name, standing.counted
            for state, spent in counted.seconds.items():
                found[client, name, state] = spent
            labels = (client, name, counted.state)
            found[labels] = found.get(labels, 0.0) + max(0.0, self.seen_until - counted.began)
        return found

    def ratios(self) -> dict[Labels, float]:
        """Return the uptime ratios by client, target and window; computed once a minute."""
        now = self.seen_until
        if self._ratios_at is None or not 0 <= now - self._ratios_at < RATIOS_EVERY:
            self._ratios_at = now
            self._ratios = {
                (standing.service.client, standing.service.name, window): ratio
                for identity, history in self._histories.items()
                if (standing := self._standings.get(identity)) is not None
                for window, ratio in history.ratios(now).items()
            }
        return self._ratios


def _row(noted: Noted) -> service_status.StoredReading:
    reading = noted.reading
    return service_status.StoredReading(
        service_id=noted.service.id,
        status=reading.state,
        checked_at=noted.at,
        status_code=reading.status_code,
        response_time_ms=reading.duration * 1000,
        error_message=None if reading.state == "up" else reading.reason,
        cause=reading.cause,
    )


def _opened(transitions: Sequence[Transition], until: float | None, replica: str) -> Iterator[service_states.Stretch]:
    """Yield the stretches that transitions begin; the last one lasts until then, or goes on.

    One that lasted no time, or less where the clock was set back, is not worth a row and would be out of order.
    """
    ends: list[float | None] = [*(following.at for following in transitions[1:]), until]
    for one, ended in zip(transitions, ends, strict=bool(transitions)):
        if ended is None or ended > one.at:
            yield service_states.Stretch(one.service.id, one.state, one.reason, one.at, replica, ended)
