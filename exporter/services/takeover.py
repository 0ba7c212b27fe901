"""Taking a service over: from an owner that ended, or from ourselves before a restart.

What the owner had open ends at its last heartbeat. From there until now nobody looked: a stretch `unknown` of its own.
Where the last reading still says something, its state goes on from now; else it is unknown until the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.model import Reading
from exporter.services.standing import Counted, Standing
from exporter.store import replicas, service_states, service_status, service_totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.model import State
    from exporter.services.service import Service
    from exporter.store.store import Store

CHUNK: Final = 500
"""Services in one transaction: other writers get their turn between two."""
UNSEEN: Final = "Watchbridge did not run"


async def taken_over(store: Store, replica: str, services: Sequence[Service], now: float) -> list[Standing]:
    """Return the standings of services that are ours from `now` on; what was open before is closed in the store."""
    identities = [service.id for service in services]
    totals = await service_totals.known(store, identities)
    opened: dict[int, list[service_states.Stretch]] = {}
    for one in await service_states.open_ones(store, identities):
        opened.setdefault(one.service_id, []).append(one)
    latest = await service_status.latest(store, identities)
    heartbeats = {one.id: one.heartbeat_at for one in await replicas.known(store)}
    standings = []
    for start in range(0, len(services), CHUNK):
        taking = _Taking(replica, now, heartbeats)
        chunk = [_resumed(service, latest.get(service.id), now) for service in services[start : start + CHUNK]]
        for standing in chunk:
            standing.counted = _counted(totals.get(standing.service.id))
            taking.take(standing, opened.get(standing.service.id, ()))
        async with store.writing() as connection:
            await service_states.closed(connection, taking.closing)
            numbers = await service_states.opened(connection, taking.opening)
            await service_totals.added(connection, taking.increments)
        for standing in chunk:
            standing.counted.number = numbers[standing.service.id]
        standings += chunk
    return standings


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


def _resumed(service: Service, last: service_status.StoredReading | None, now: float) -> Standing:
    """Return the standing by the last stored reading, unless that is of a time to come; unknown if it is too old."""
    standing = Standing(service, since=now)
    if last is None or last.checked_at > now:
        return standing
    reading = Reading(
        state=last.status,
        reason=last.error_message or "as its last reading, from before the start, says",
        duration=(last.response_time_ms or 0.0) / 1000,
        cause=last.cause,
        status_code=last.status_code,
    )
    standing.note(reading, last.checked_at)
    standing.look(now, in_window=False)
    standing.since = now
    return standing
