"""Who restarts a service just now: one row a service, so that at most one restart of it runs, over all replicas."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from exporter.errors import WatchbridgeError
from exporter.store import backlog_clock
from exporter.store.bulk import pieces, upsert, written
from exporter.store.restart_tables import service_leases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.backlog_leases import Holder
    from exporter.store.store import Store

_LEASES: Final = service_leases.c
_DECISIONS: Final = ""
"""The row that belongs to no service."""
TRIES: Final = 20
"""How often it is asked whether others have decided: half a second in all, where one takes some milliseconds."""
AGAIN: Final = 0.025
_FREE: Final[dict[str, Any]] = {"item_id": None, "owner": None, "lease_until": None}


class Lease(NamedTuple):
    """The lease of a service: its last fence, and the item that restarts it just now, if one does."""

    fence: int
    item: int | None


class DecisionsBusyError(WatchbridgeError):
    """Another replica has been deciding on restarts for too long, or has stopped while it did; it is tried again."""


@contextlib.asynccontextmanager
async def deciding(store: Store) -> AsyncIterator[tuple[AsyncConnection, float]]:
    """Give a transaction in which nobody else decides on restarts, and the time: see `locked`.

    Raises DecisionsBusyError where another one does so for longer than a moment, and StoreError.
    """
    for left in range(TRIES, 0, -1):
        async with contextlib.AsyncExitStack() as stack:
            connection = await stack.enter_async_context(store.writing())
            try:
                now = await locked(connection, store)
            except DecisionsBusyError:
                if left == 1:
                    raise
            else:
                yield connection, now
                return
        await asyncio.sleep(AGAIN)


async def locked(connection: AsyncConnection, store: Store) -> float:
    """Let nobody else decide on restarts, or end one, until the caller's transaction ends; return the time.

    It is by the clock that leases and circuits run by. Call it before anything else in the transaction. Does not wait:
    a replica that stops while it decides must not stop the others, who would wait with all they do. Raises
    DecisionsBusyError: then the transaction is of no use any more.
    """
    if store.dialect != "sqlite":  # there, whoever writes is alone
        mine = select(_LEASES.service).where(_LEASES.service == _DECISIONS).with_for_update(nowait=True)
        try:
            if (await connection.execute(mine)).first() is None:
                insert = upsert(connection.dialect.name, service_leases, ("service",))
                await connection.execute(insert, [{"service": _DECISIONS, "fence": 0}])
                await connection.execute(mine)
        except DBAPIError as error:
            if _is_busy(error):
                raise DecisionsBusyError from error
            raise
    now: Any = (await connection.execute(select(backlog_clock.now(store)))).scalar_one()
    return float(now)


def _is_busy(error: DBAPIError) -> bool:
    """Return whether a row is locked by somebody else: what PostgreSQL, MariaDB and MySQL call that."""
    said = error.orig
    codes = {getattr(said, "sqlstate", None), *(said.args[:1] if said is not None else ())}
    return not codes.isdisjoint(_BUSY)


_BUSY: Final = ("55P03", 1205, 3572)


async def known(connection: AsyncConnection) -> dict[str, Lease]:
    """Return the leases by service; one without a row was never restarted."""
    query = select(_LEASES.service, _LEASES.fence, _LEASES.item_id).where(_LEASES.service != _DECISIONS)
    return {row[0]: Lease(int(row[1]), row[2]) for row in await connection.execute(query)}


async def taken(connection: AsyncConnection, holder: Holder, items: Mapping[str, tuple[int, int]], now: float) -> None:
    """Hold services for items, in the caller's transaction: by service the item and the new fence."""
    until = now + holder.lease
    rows = [
        {"service": service, "item_id": item, "owner": holder.owner, "lease_until": until, "fence": fence}
        for service, (item, fence) in sorted(items.items())
    ]
    if rows:
        await written(connection, upsert(connection.dialect.name, service_leases, ("service",), _new), rows)


def _new(_old: Any, new: Any) -> dict[str, Any]:
    return {name: new[name] for name in ("item_id", "owner", "lease_until", "fence")}


async def renewed(connection: AsyncConnection, store: Store, holder: Holder, items: Collection[int]) -> None:
    """Let the leases of items last anew, in the caller's transaction; a takeover gives them to the holder."""
    for piece in pieces(sorted(items)):
        until = backlog_clock.now(store) + holder.lease
        values = {"owner": holder.owner, "lease_until": until}
        await connection.execute(update(service_leases).where(_LEASES.item_id.in_(piece)).values(values))


async def freed(connection: AsyncConnection, items: Collection[int]) -> None:
    """Hold services for these items no longer, in the caller's transaction."""
    for piece in pieces(sorted(items)):
        await connection.execute(update(service_leases).where(_LEASES.item_id.in_(piece)).values(_FREE))
