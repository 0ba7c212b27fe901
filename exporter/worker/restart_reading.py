"""What the store knows that decides on restarts: read in the transaction that decides, or to say what it would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.bridge.options import RESTARTS
from exporter.store import circuits, restart_facts, service_restarts
from exporter.worker.restart_gate import Situation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.restarting.strategy import Restartable

WHY: Final = {
    "pending": "its own restart waits",
    "held": "its own restart is held",
    "failed": "its own restart has failed, and is tried again",
    "running": "it is being restarted just now",
}
"""What is said of a service, by the state of its item."""


async def situation(
    connection: AsyncConnection,
    terms: Restartable,
    times: tuple[float, float],
    up: Collection[str],
    down: Mapping[str, str],
) -> Situation:
    """Return what is known: `times` are now by our clock and by that of leases and circuits.

    `up` and `down` are how services were seen that others need; those that are down each with the reason.
    """
    now, at = times
    since = now - (0.0 if terms.breaker is None else terms.breaker.per)
    found = await restart_facts.wanted(connection, RESTARTS, since)
    return Situation(
        at,
        running={one.service: one.item for one in found if one.state == "running"},
        circuits=await circuits.known(connection),
        begun=await service_restarts.since(connection, at - terms.longest) if terms.budgets else [],
        verified=await service_restarts.verified(connection, {one.service for one in found}),
        failing=frozenset(one.service for one in found if one.origin in restart_facts.CAUSED),
        waiting=dict(_waiting(found, up)),
        down=down,
    )


def _waiting(found: Iterable[restart_facts.Wanted], up: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is to be restarted; of what was just seen well only what runs, or what a person wants."""
    for one in found:
        is_well = one.service in up and one.origin in restart_facts.CAUSED
        if one.state in WHY and (one.state == "running" or not is_well):
            yield one.service, WHY[one.state] + (f" ({one.hold})" if one.hold else "")
