"""Removing all that is known of a service in steps: one long transaction would keep every other writer waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from exporter.store.tables import service_states, service_status

if TYPE_CHECKING:
    from exporter.store.store import Store

STEP: Final = 5000
"""Rows in one transaction: some tens of milliseconds on the slowest of our disks."""

DELETE_SECONDS: Final = 60.0
"""How long the last step may take: it cascades to whatever was written since the steps before."""


async def forget(store: Store, service_id: int) -> None:
    """Delete the readings and stretches of a service, the service itself excepted."""
    for table in (service_status, service_states):
        rows = STEP
        while rows == STEP:
            async with store.writing() as connection:
                query = select(table.c.id).where(table.c.service_id == service_id).limit(STEP)
                ids = list((await connection.execute(query)).scalars())
                rows = len(ids)
                if ids:
                    await connection.execute(table.delete().where(table.c.id.in_(ids)))
