"""Taking a service over: from an owner that ended, or from ourselves before a restart.

What the owner had open ends at its last heartbeat. From there until now nobody looked: a stretch `unknown` of its own.
Where the last reading still says something, its state goes on from now; else it is unknown until the next one.
What another living replica has open is not ours yet: it ends that itself, once it has seen us.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from exporter.model import Reading
from exporter.services.standing import Counted, Standing
from exporter.store import replicas, service_states, service_status, service_totals, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.model import State
    from exporter.services.service import Service
    from exporter.store.store import Store

CHUNK: Final = 500
"""Services in one transaction: other writers get their turn between two."""
UNSEEN: Final = "nobody looked: Watchbridge did not run, or was just taking over"


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes services over, and when (seconds since 1970).

    `others` are the replicas that live: what one of them still watches is left to it. `in_window` are the services
    that are in maintenance now.
    """

    replica: str
    now: float
    others: Collection[str] = ()
    in_window: Mapping[int, str] = field(default_factory=dict)


async def taken_over(store: Store, services: Sequence[Service], taker: Taker) -> list[Standing]:
    """Return the standings of services that are ours from now on; what was open before is closed in the store."""
    standings: list[Standing] = []
    for start in range(0, len(services), CHUNK):
        standings += await _taken(store, services[start : start + CHUNK], taker)
    return standings


async def _taken(store: Store, services: Sequence[Service], taker: Taker) -> list[Standing]:
    async with store.writing() as connection:
        opened = await _opened(connection, [service.id for service in services])
        held = {identity for identity, found in opened.items() if any(one.replica in taker.others for one in found)}
        identities = [service.id for service in services if service.id not in held]
        # Read only now: an owner that has ended its stretch has committed all that it counted before.
        totals = await service_totals.known(store, identities)
        latest = await service_status.latest(store, identities)
        heartbeats = {one.id: one.heartbeat_at for one in await replicas.known(store)}
        taking = _Taking(taker.replica, taker.now, heartbeats)
        standings = [_resumed(one, latest.get(one.id), taker) for one in services if one.id not in held]
        for standing in standings:
            standing.counted = _counted(totals.get(standing.service.id))
            taking.take(standing, opened.get(standing.service.id, ()))
        await service_states.closed(connection, taking.closing)
        numbers = await service_states.opened(connection, taking.opening)
        await service_totals.added(connection, taking.increments)
    for standing in standings:
        standing.counted.number = numbers[standing.service.id]
    return standings


async def _opened(connection: AsyncConnection, identities: Collection[int]) -> dict[int, list[service_states.Stretch]]:
    """Return what is open of services, which nobody else takes over until the transaction ends."""
    lock = select(tables.client_services.c.id).where(tables.client_services.c.id.in_(identities))
    await connection.execute(lock.order_by(tables.client_services.c.id).with_for_update())
    columns = tables.service_states.c
    query = select(*(columns[name] for name in service_states.Stretch._fields)).order_by(columns.id)
    found: dict[int, list[service_states.Stretch]] = {}
    for row in await connection.execute(query.where(columns.ended_at.is_(None), columns.service_id.in_(identities))):
        found.setdefault(row.service_id, []).append(service_states.Stretch(*row))
    return found


class _Taking:
    """What a take-over writes."""

    def __init__(self, replica: str, now: float, heartbeats: Mapping[str, float]) -> None:
        self.closing: dict[int, float] = {}
        self.opening: list[service_states.Stretch] = []
        self.increments: dict[int, service_totals.Totals] = {}
        self._replica = replica
        self._now = now
        self._heartbeats = heartbeats

    def take(self, standing: Standing, opened: Sequence[service_states.Stretch]) -> None:
        """End what is open and begin anew; more than one is open only after a commit whose answer was lost."""
        identity, counted = standing.service.id, standing.counted
        if opened:
            last = max(opened, key=lambda one: one.began_at)
            # Not cut off at our own time: a clock that was set back must not make fall what was shown until then.
            ended = max(self._heartbeats.get(last.replica, last.began_at), last.began_at)
            self.closing |= {one.id: ended for one in opened}
            if ended < self._now:
                self.opening.append(self._stretch(identity, "unknown", UNSEEN, ended, self._now))
            spent: dict[State, float] = {"unknown": max(0.0, self._now - ended)}
            spent[last.state] = spent.get(last.state, 0.0) + max(0.0, ended - last.began_at)
            for state, seconds in spent.items():
                counted.seconds[state] = counted.seconds.get(state, 0.0) + seconds
            self.increments[identity] = service_totals.Totals(0, 0, spent)
        self.opening.append(self._stretch(identity, standing.state, standing.reason, self._now, None))
        counted.state, counted.began = standing.state, self._now

    def _stretch(
        self, identity: int, state: State, reason: str, began: float, ended: float | None
    ) -> service_states.Stretch:
        return service_states.Stretch(identity, state, reason, began, self._replica, ended)


def _counted(total: service_totals.Totals | None) -> Counted:
    if total is None:
        return Counted()
    return Counted(total.runs_success, total.runs_failure, {s: spent for s, spent in total.seconds.items() if spent})


def _resumed(service: Service, last: service_status.StoredReading | None, taker: Taker) -> Standing:
    """Return the standing by the last stored reading, unless that is of a time to come; unknown if it is too old."""
    now, window = taker.now, taker.in_window.get(service.id)
    standing = Standing(service, since=now)
    if last is None or last.checked_at > now:
        standing.look(now, window=window)
        standing.since = now
        return standing
    reading = Reading(
        state=last.status,
        reason=last.error_message or "as its last reading, from before the start, says",
        duration=(last.response_time_ms or 0.0) / 1000,
        cause=last.cause,
        status_code=last.status_code,
    )
    standing.note(reading, last.checked_at)
    standing.look(now, window=window)
    standing.since = now
    return standing
