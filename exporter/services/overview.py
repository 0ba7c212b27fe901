"""How every service stands by the store alone: for commands beside a running Watchbridge, and while none runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.replicas import DEAD_AFTER
from exporter.store import client_services, replicas, service_states, service_status
from exporter.uptime import WINDOWS, Stretch, ratio, seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from exporter.model import State
    from exporter.store.client_services import ListedService
    from exporter.store.replicas import Replica
    from exporter.store.service_status import StoredReading
    from exporter.store.store import Store

DAY: Final = WINDOWS["24h"]


@dataclass(frozen=True, slots=True)
class Overview:
    """A service as the store knows it. Times are in seconds since 1970; `since` is None where nobody watches it."""

    service: ListedService
    state: State
    reason: str
    since: float | None
    last: StoredReading | None
    stretches: tuple[Stretch, ...]
    until: float
    """Until when it was watched."""

    def uptime(self, window: str) -> float | None:
        """Return the share of a window that it was up or degraded; None when nobody saw it."""
        return ratio(seconds(self.stretches, self.until - WINDOWS[window], self.until))


async def overview(
    store: Store, now: float, ids: Collection[int] | None = None, *, length: float = DAY
) -> list[Overview]:
    """Return the services (of these ids, or all) by client and name, with the stretches of the last `length` seconds.

    StoreError when the store does not answer.
    """
    services = [one for one in await client_services.listed(store) if ids is None or one.id in ids]
    chosen = None if ids is None else [one.id for one in services]
    stretches: dict[int, list[service_states.Stretch]] = {}
    for one in await service_states.since(store, chosen, now - length):
        stretches.setdefault(one.service_id, []).append(one)
    latest = await service_status.latest(store, chosen)
    beats = {one.id: one for one in await replicas.known(store)}
    return [_viewed(one, stretches.get(one.id, ()), latest.get(one.id), beats, now) for one in services]


def _viewed(
    service: ListedService,
    stretches: Sequence[service_states.Stretch],
    last: StoredReading | None,
    beats: Mapping[str, Replica],
    now: float,
) -> Overview:
    opened = [one for one in stretches if one.ended_at is None]
    latest = max(opened, key=lambda one: one.began_at, default=None)
    replica = None if latest is None else beats.get(latest.replica)
    seen = None if replica is None else min(replica.heartbeat_at, now)
    known = tuple(Stretch(one.state, one.began_at, one.ended_at) for one in stretches)
    if not service.enabled:
        reason = "it is disabled, or no longer configured"
        return Overview(service, "unknown", reason, None, last, known, now if seen is None else seen)
    if latest is None or replica is None or seen is None:
        return Overview(service, "unknown", "it was not watched yet: start Watchbridge", None, last, known, now)
    if replica.ended_at is not None or now - seen > DEAD_AFTER:
        reason = "no Watchbridge watches it now: start it, or look at its log"
        return Overview(service, "unknown", reason, None, last, known, seen)
    return Overview(service, latest.state, _reason(latest, last), latest.began_at, last, known, seen)


def _reason(stretch: service_states.Stretch, last: StoredReading | None) -> str:
    """Return the newest words for a state: a stretch's own are as old as it is, and of a good reading none are kept."""
    if last is None or last.status != stretch.state:
        return stretch.reason
    if last.error_message:
        return last.error_message
    return "its last run found it well" + (f", with status {last.status_code}" if last.status_code is not None else "")
