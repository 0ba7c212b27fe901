"""What the worker writes of restarts beside their items: leases of services, circuits, attempts, and who is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter import circuit
from exporter.store import circuits, restart_facts, service_leases, service_restarts
from exporter.store.service_restarts import AttemptEnd, ServiceRestart
from exporter.worker import gate, restart_gate, restart_reading
from exporter.worker.restart_gate import Asked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.circuit import Circuit, Key, Limits
    from exporter.restarting.attempt import Attempt
    from exporter.restarting.strategy import Restartable, Strategy
    from exporter.restarting.surroundings import Surroundings
    from exporter.store.backlog_leases import Holder
    from exporter.store.backlog_rows import BacklogItem
    from exporter.store.store import Store
    from exporter.worker.gate import Facts, Go, Held
    from exporter.worker.restart_gate import Situation

log: Final = logging.getLogger("exporter.restarts")


class Happened(NamedTuple):
    """What happened to a circuit, or to a service: an event for `notify`, in one word and a sentence."""

    on: str
    event: str
    item: BacklogItem
    sentence: str


@dataclass(slots=True)
class Decisions:
    """The decisions of one claim: what is known, and what was let through: by item, the fence of its service's lease.

    `hung` are those of them that waited for another service: theirs may be well by itself now.
    """

    situation: Situation
    leases: Mapping[str, service_leases.Lease]
    fences: dict[int, int] = field(default_factory=dict)
    hung: set[int] = field(default_factory=set)


class Ended(NamedTuple):
    """How the attempt of an item ended."""

    item: BacklogItem
    strategy: Strategy
    attempt: Attempt


@dataclass(slots=True)
class RestartBooks:
    """Writes of restarts, in the transactions of `Books`."""

    store: Store
    holder: Holder
    terms: Restartable
    around: Surroundings

    async def begin(self, connection: AsyncConnection, times: tuple[float, float]) -> Decisions:
        """Return what is known; `times` are now by our clock and by that of the leases, whose decisions are locked."""
        around = self.around
        situation = await restart_reading.situation(connection, self.terms, times, around.up, around.down)
        return Decisions(situation, await service_leases.known(connection))

    def decided(self, item: BacklogItem, facts: Facts, strategy: Strategy, decisions: Decisions) -> Go | Held:
        """Return whether an item may begin; where it may, the next one that is asked about sees it run."""
        alarms = self.around.alarms
        asked = Asked(
            item.id,
            facts,
            by_person=item.origin not in restart_facts.CAUSED,
            stands=alarms.standing(item.context) if item.origin == "alarm" and alarms is not None else True,
        )
        verdict = restart_gate.decided(asked, strategy, self.terms, decisions.situation)
        if isinstance(verdict, gate.Go):
            lease = decisions.leases.get(strategy.service)
            # Not from 1: what a host has seen of an earlier store must not be greater than what a new one gives.
            decisions.fences[item.id] = max(int(decisions.situation.now), 0 if lease is None else lease.fence + 1)
            if item.hold == "dependency":
                decisions.hung.add(item.id)
            decisions.situation.begin(item.id, strategy)
        return verdict

    async def begun(self, connection: AsyncConnection, items: Sequence[BacklogItem], decisions: Decisions) -> None:
        """Write what begins."""
        situation, fences = decisions.situation, decisions.fences
        known = self.terms.strategies
        mine = [(item, strategy) for item in items if (strategy := known.get(item.service or "")) is not None]
        taken = {strategy.service: (item.id, fences[item.id]) for item, strategy in mine}
        await service_leases.taken(connection, self.holder, taken, situation.now)
        attempts = [
            ServiceRestart(
                strategy.service,
                strategy.group,
                item.id,
                fences[item.id],
                self.holder.replica,
                strategy.kind,
                item.origin,
                situation.now,
            )
            for item, strategy in mine
        ]
        await service_restarts.begun(connection, attempts)
        await circuits.put(connection, {key: situation.circuits[key] for key in situation.changed})

    async def ended(self, connection: AsyncConnection, ends: Sequence[Ended], now: float) -> list[Happened]:
        """Write how attempts ended, and return what came of it.

        In a transaction of `service_leases.deciding`, whose time is `now`.
        """
        known = await circuits.known(connection)
        changed: dict[Key, Circuit] = {}
        happened: list[Happened] = []
        for one in ends:
            for key, after in _stepped(one, self.terms, {**known, **changed}, now):
                happened += _events(key, {**known, **changed}.get(key, circuit.CLOSED), after, one)
                changed[key] = after
            happened += _results(one)
        await circuits.put(connection, changed)
        items = [one.item.id for one in ends]
        await service_leases.freed(connection, items)
        told = [AttemptEnd(one.item.id, one.attempt.acted, one.attempt.verified, one.attempt.detail) for one in ends]
        await service_restarts.ended(connection, told, now)
        return happened

    async def unjudged(self, connection: AsyncConnection, items: Mapping[int, str], now: float) -> None:
        """Write the ends of attempts whose service has no restart any more: by item, the sentence for why."""
        await service_leases.freed(connection, items)
        told = [AttemptEnd(number, None, None, why) for number, why in items.items()]
        await service_restarts.ended(connection, told, now)

    async def undone(self, connection: AsyncConnection, items: Collection[int]) -> None:
        """Forget, in a transaction of `service_leases.deciding`, attempts that were claimed and have not begun."""
        known = await circuits.known(connection)
        freed = {
            key: circuit.dropped(one, one.trial)
            for key, one in known.items()
            if one.trial is not None and one.trial in items
        }
        await circuits.put(connection, freed)
        await service_leases.freed(connection, items)
        await service_restarts.undone(connection, items)


def _stepped(one: Ended, terms: Restartable, known: Mapping[Key, Circuit], now: float) -> Iterator[tuple[Key, Circuit]]:
    """Yield the circuits that an attempt changes.

    A failure counts for the group only while the service's own circuit is closed: one service that is broken for good
    must not bar all the others.
    """
    own, *group = (key for key, _ in restart_gate.keys(one.strategy))
    before = known.get(own, circuit.CLOSED)
    ok = one.attempt.verified
    was_closed = before.state(now) == "closed"
    yield own, _after(before, one, now, one.strategy.limits)
    for key in group:
        there = known.get(key, circuit.CLOSED)
        if ok or was_closed or there.trial == one.item.id:
            yield key, _after(there, one, now, terms.groups.get(key.name, one.strategy.limits))


def _after(before: Circuit, one: Ended, now: float, limits: Limits) -> Circuit:
    if one.attempt.verified is None:
        return circuit.dropped(before, one.item.id)
    if not one.attempt.verified and before.trial not in (None, one.item.id) and before.state(now) == "half_open":
        return replace(before, failures=before.failures + 1)  # it began before: the one trial goes on
    return circuit.step(before, one.attempt.verified, now, limits)


def _events(key: Key, before: Circuit, after: Circuit, one: Ended) -> Iterator[Happened]:
    name = key.name if key.noun == "service" else f"the group {key.name}"
    if after.opened > before.opened:
        sentence = f"Circuit breaker opened for {name} after {after.failures} failures"
        yield Happened("circuit", "opened", one.item, sentence)
    elif before.retry_at is not None and after.retry_at is None:
        yield Happened("circuit", "closed", one.item, f"Circuit breaker reset for {name}")


def _results(one: Ended) -> Iterator[Happened]:
    service, attempt = one.strategy.service, one.attempt
    if attempt.verified and attempt.acted is not False:
        yield Happened("restart", "restarted", one.item, f"Successfully restarted and verified service: {service}")
    elif attempt.verified is False:
        yield Happened("restart", "failed", one.item, f"The restart of {service} failed: {attempt.detail}")
