"""Circuits as they are stored: read and written in the transaction that decides on a restart, or that ends one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, update

from exporter.circuit import Circuit, Key, reset
from exporter.store import audit, backlog_clock, service_leases
from exporter.store.audit import Entry
from exporter.store.bulk import upsert, written
from exporter.store.restart_tables import circuits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_COLUMNS: Final = tuple(circuits.c[name] for name in ("noun", "name", *Circuit.__dataclass_fields__))


async def known(connection: AsyncConnection) -> dict[Key, Circuit]:
    """Return every circuit that was ever stepped; the others are closed."""
    return {Key(row[0], row[1]): Circuit(*row[2:]) for row in await connection.execute(select(*_COLUMNS))}


async def put(connection: AsyncConnection, changed: Mapping[Key, Circuit]) -> None:
    """Store circuits in the caller's transaction, one of `service_leases.deciding`."""
    rows = [
        {"noun": key.noun, "name": key.name} | {name: getattr(circuit, name) for name in Circuit.__dataclass_fields__}
        for key, circuit in sorted(changed.items(), key=lambda one: one[0])
    ]
    if rows:
        await written(connection, upsert(connection.dialect.name, circuits, ("noun", "name"), _new), rows)


def _new(_old: Any, new: Any) -> dict[str, Any]:
    return {name: new[name] for name in Circuit.__dataclass_fields__}


async def listed(store: Store) -> tuple[dict[Key, Circuit], float]:
    """Return the circuits that were ever stepped, and the time by the clock that they run by."""
    async with store.reading() as connection:
        found = await known(connection)
        now: Any = (await connection.execute(select(backlog_clock.now(store)))).scalar_one()
    return found, float(now)


async def closed(store: Store, key: Key, actor: str, now: float) -> bool:
    """Close a circuit by hand; return whether it was not closed, or had failures. The audit says who did it."""
    mine = circuits.c.noun == key.noun, circuits.c.name == key.name
    # A restart that ends just now would write what it has read.
    async with service_leases.deciding(store) as (connection, _):
        row = (await connection.execute(select(*_COLUMNS).where(*mine).with_for_update())).first()
        if row is None or (before := Circuit(*row[2:])) == reset(before):
            return False
        values = {name: getattr(reset(before), name) for name in Circuit.__dataclass_fields__}
        await connection.execute(update(circuits).where(*mine).values(values))
        entry = Entry(
            now, actor, "reset", "circuit", None, f"the circuit of the {key.noun} {key.name} was closed by hand"
        )
        await audit.added(connection, [entry])
    return True


async def moved(connection: AsyncConnection, seconds: float) -> int:
    """Let open circuits wait for as long as before: the clock by which they run was set. Returns how many.

    In the caller's transaction.
    """
    later = {"opened_at": circuits.c.opened_at + seconds, "retry_at": circuits.c.retry_at + seconds}
    done = await connection.execute(update(circuits).where(circuits.c.retry_at.is_not(None)).values(later))
    return int(done.rowcount)


async def opened_total(store: Store) -> int:
    """Return how often circuits have opened in all."""
    async with store.reading() as connection:
        return int((await connection.execute(select(func.coalesce(func.sum(circuits.c.opened), 0)))).scalar_one())
