"""What is remembered of services is forgotten again when it is older than anybody asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.store import replicas, service_states, service_status, windows

if TYPE_CHECKING:
    from exporter.services.options import ReadingsOptions
    from exporter.store.store import Store

EVERY: Final = 60.0
"""Seconds between two removals."""
ROWS: Final = 20_000
"""Rows that one removal takes: ten times more than 10,000 services write in that time would need two."""
REPLICA_SECONDS: Final = 86_400.0
"""Seconds without a heartbeat after which nobody asks for a replica any more."""


async def forget_old(store: Store, readings: ReadingsOptions, now: float) -> None:
    """Forget readings, stretches, replicas and windows that are too old at a moment (seconds since 1970)."""
    await service_status.purge(store, now - readings.retention, ROWS)
    await service_states.purge(store, now - readings.states_retention, ROWS)
    await replicas.forget(store, now - REPLICA_SECONDS)
    await windows.purge(store, now)
