"""What must outlive the process: readings, stretches and counts are committed together once a second.

Counters show only what is committed, so that no kill makes one fall. The heartbeat in each commit says until when we
have looked: after our own end somebody closes the open stretches there, and what follows is nobody's uptime.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.services.batch import Batch, Noted
from exporter.services.standing import Counted, Standing, Transition
from exporter.services.takeover import taken_over
from exporter.store import client_services, replicas, service_states, service_status, service_totals
from exporter.uptime import WINDOWS, History, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import Clock, Labels, Reading, State
    from exporter.services.service import Service
    from exporter.store.store import Store

log: Final = logging.getLogger(__name__)

RATIOS_EVERY: Final = 60.0
"""Seconds between two computations of the uptime ratios."""


class Doubt(NamedTuple):
    """A commit whose answer was lost: the heartbeat in the store tells whether it was done."""

    batch: Batch
    numbers: Mapping[int, int]
    at: float


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
        self._failed = False
        self._doubt: Doubt | None = None
        self._standings: dict[int, Standing] = {}
        self._histories: dict[int, History] = {}
        self._ratios: dict[Labels, float] = {}
        self._ratios_at: float | None = None

    async def take(self, services: Sequence[Service]) -> list[Standing]:
        """Go on where the owner before us stopped; StoreError when the store does not answer."""
        now = self._clock.time()
        standings = await taken_over(self._store, self.replica, services, now)
        for standing in standings:
            self._standings[standing.service.id] = standing
        await self.recall([service.id for service in services if service.full])
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
        """Keep a service's books no longer; with `ended` nobody does, so its open stretch ends now."""
        standing = self._standings.pop(identity, None)
        self._histories.pop(identity, None)
        if standing is not None and ended:
            self._batch.dropped.append(standing)

    def note(self, service: Service, reading: Reading, at: float) -> None:
        """Keep a reading for the next commit."""
        batch = self._batch
        batch.readings.append(Noted(service, reading, at))
        success, failure = batch.runs.get(service.id, (0, 0))
        batch.runs[service.id] = (success + 1, failure) if reading.success else (success, failure + 1)

    def transit(self, transition: Transition) -> None:
        """Keep a transition for the next commit."""
        self._batch.transitions.setdefault(transition.service.id, []).append(transition)

    def rebase(self, standing: Standing, before: float, after: float) -> None:
        """Go on at another time of the wall clock: what lies between the two is nobody's uptime."""
        self.transit(Transition(standing.service, "unknown", "the clock of this machine was set", before))
        self.transit(Transition(standing.service, standing.state, standing.reason, after))
        self._batch.rebased = True

    async def commit(self) -> list[Standing]:
        """Write what waits, and the heartbeat; return the services whose runs are counted anew.

        StoreError when that cannot be done: then everything waits for the next commit.
        """
        resolved = await self._resolved()
        batch, self._batch = self._batch, Batch()
        now = self._clock.time()
        numbers: Mapping[int, int] | None = None
        try:
            async with self._store.writing() as connection:
                written = await self._write(connection, batch, now)
                await replicas.beat(connection, self.replica, self.started, now)
                numbers = written
        except BaseException:
            self._failed = True
            if numbers is None:
                self._batch = batch.before(self._batch)
            else:
                self._doubt = Doubt(batch, numbers, now)
            raise
        self._failed = False
        return resolved + self._published(batch, numbers, now)

    async def _resolved(self) -> list[Standing]:
        """Find out whether a commit whose answer was lost was done: nothing may be counted twice, or not at all."""
        doubt = self._doubt
        if doubt is None:
            return []
        beats = {one.id: one.heartbeat_at for one in await replicas.known(self._store)}
        self._doubt = None
        if beats.get(self.replica) == doubt.at:
            return self._published(doubt.batch, doubt.numbers, doubt.at)
        self._batch = doubt.batch.before(self._batch)
        return []

    async def _write(self, connection: AsyncConnection, batch: Batch, now: float) -> dict[int, int]:
        """Write a batch in the order of the services, as every replica does; return the rows of the open stretches."""
        there = await self._there(connection, batch)
        await service_status.add(connection, [_row(noted) for noted in batch.readings if noted.service.id in there])
        closing, opening, seconds = self._stretches(batch, now)
        await service_states.closed(connection, closing)
        numbers = await service_states.opened(connection, [one for one in opening if one.service_id in there])
        increments = {
            identity: service_totals.Totals(*batch.runs.get(identity, (0, 0)), seconds.get(identity, {}))
            for identity in sorted((batch.runs.keys() | seconds.keys()) & there)
        }
        await service_totals.added(connection, increments)
        return numbers

    async def _there(self, connection: AsyncConnection, batch: Batch) -> set[int]:
        """Return the services that may be written of: after a failure one of them may have been deleted."""
        named = {noted.service.id for noted in batch.readings} | batch.runs.keys() | batch.transitions.keys()
        named |= {standing.service.id for standing in batch.dropped}
        return await client_services.present(connection, named) if self._failed and named else named

    def _stretches(
        self, batch: Batch, now: float
    ) -> tuple[dict[int, float], list[service_states.Stretch], dict[int, dict[State, float]]]:
        """Return the rows that end and when, the stretches that begin, and the seconds of those that ended."""
        closing: dict[int, float] = {}
        opening: list[service_states.Stretch] = []
        seconds: dict[int, dict[State, float]] = {}
        for identity in sorted(batch.transitions):
            transitions, standing = batch.transitions[identity], self._standings.get(identity)
            if standing is None:
                continue
            closing[standing.counted.number] = transitions[0].at
            ends: list[float | None] = [following.at for following in transitions[1:]]
            for one, ended in zip(transitions, [*ends, None], strict=True):
                opening.append(service_states.Stretch(identity, one.state, one.reason, one.at, self.replica, ended))
            seconds[identity] = _seconds(standing.counted, transitions)
        for standing in batch.dropped:
            counted = standing.counted
            closing[counted.number] = now
            seconds[standing.service.id] = {counted.state: max(0.0, now - counted.began)}
        return closing, opening, seconds

    def _published(self, batch: Batch, numbers: Mapping[int, int], now: float) -> list[Standing]:
        """Count what is committed."""
        self.seen_until = now if batch.rebased else max(self.seen_until, now)
        for identity, transitions in batch.transitions.items():
            standing = self._standings.get(identity)
            if standing is None:
                continue
            counted = standing.counted
            for state, spent in _seconds(counted, transitions).items():
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


def _seconds(counted: Counted, transitions: Iterable[Transition]) -> dict[State, float]:
    """Return what the stretches that these transitions end have lasted."""
    spent: dict[State, float] = {}
    state, began = counted.state, counted.began
    for one in transitions:
        spent[state] = spent.get(state, 0.0) + max(0.0, one.at - began)
        state, began = one.state, one.at
    return spent
