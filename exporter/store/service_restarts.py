"""Each attempt to restart a service: what budgets count, and what is shown of a service's past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, func, insert, or_, select, update

from exporter.budgets import Begun
from exporter.store.bridge_tables import backlog_items
from exporter.store.bulk import delete_oldest, pieces, storable
from exporter.store.columns import REASON_LENGTH
from exporter.store.restart_tables import service_restarts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

_RESTARTS: Final = service_restarts.c


@dataclass(frozen=True, slots=True)
class ServiceRestart:
    """An attempt to restart a service; times are in seconds since 1970.

    `ended_at` is None while it runs. `acted` is None where nobody saw whether anything was restarted; `verified` says
    whether the service was seen well after it, and `last_item` is the newest item that there was then. `fence` is the
    number of the service's lease.
    """

    service: str
    group_name: str | None
    item_id: int
    fence: int
    replica: str
    kind: str
    origin: str
    began_at: float
    ended_at: float | None = None
    acted: bool | None = None
    verified: bool | None = None
    detail: str = ""
    last_item: int | None = None


_COLUMNS: Final = tuple(_RESTARTS[name] for name in ServiceRestart.__dataclass_fields__)


class AttemptEnd(NamedTuple):
    """How an attempt ended: by its item, which runs one at a time."""

    item: int
    acted: bool | None
    verified: bool | None
    detail: str


async def begun(connection: AsyncConnection, attempts: Sequence[ServiceRestart]) -> None:
    """Store attempts that begin, in the caller's transaction."""
    if attempts:
        rows = [{name: getattr(one, name) for name in ServiceRestart.__dataclass_fields__} for one in attempts]
        await connection.execute(insert(service_restarts), rows)


async def ended(connection: AsyncConnection, ends: Collection[AttemptEnd], now: float) -> None:
    """Store how attempts ended, in the caller's transaction; one that has ended stays as it is."""
    newest = (await connection.execute(select(func.max(backlog_items.c.id)))).scalar()
    for one in ends:
        values = {
            "ended_at": now,
            "acted": one.acted,
            "verified": one.verified,
            "detail": storable(one.detail, REASON_LENGTH),
            "last_item": newest if one.verified else None,
        }
        mine = _RESTARTS.item_id == one.item, _RESTARTS.ended_at.is_(None)
        await connection.execute(update(service_restarts).where(*mine).values(values))


async def undone(connection: AsyncConnection, items: Collection[int]) -> None:
    """Forget attempts that never began, by their items, in the caller's transaction."""
    for piece in pieces(sorted(items)):
        mine = _RESTARTS.item_id.in_(piece), _RESTARTS.ended_at.is_(None)
        await connection.execute(delete(service_restarts).where(*mine))


async def since(connection: AsyncConnection, at: float) -> list[Begun]:
    """Return the restarts that began after a moment, those that restarted nothing left out."""
    which = _RESTARTS.began_at > at, or_(_RESTARTS.acted.is_(None), _RESTARTS.acted.is_(True))
    query = select(_RESTARTS.began_at, _RESTARTS.service, _RESTARTS.group_name).where(*which)
    return [Begun(float(row[0]), row[1], row[2]) for row in await connection.execute(query)]


async def verified(connection: AsyncConnection, services: Collection[str]) -> dict[str, int]:
    """Return the newest item that there was when each service was last restarted so that it helped."""
    found: dict[str, int] = {}
    for piece in pieces(sorted(services)):
        which = _RESTARTS.service.in_(piece), _RESTARTS.verified.is_(True), _RESTARTS.acted.is_(True)
        query = select(_RESTARTS.service, func.max(_RESTARTS.last_item)).where(*which).group_by(_RESTARTS.service)
        found |= {row[0]: int(row[1] or 0) for row in await connection.execute(query)}
    return found


async def outdated(connection: AsyncConnection, services: Collection[str]) -> None:
    """Forget, in the caller's transaction, what restarts of services have settled: they are down again."""
    for piece in pieces(sorted(services)):
        mine = _RESTARTS.service.in_(piece), _RESTARTS.last_item.is_not(None)
        await connection.execute(update(service_restarts).where(*mine).values(last_item=None))


async def moved(connection: AsyncConnection, now: float, seconds: float) -> None:
    """Let what began count for as long as before, where the clock by which it began was set by so many seconds.

    In the caller's transaction.
    """
    values: dict[str, Any] = {"began_at": _RESTARTS.began_at + seconds, "ended_at": _RESTARTS.ended_at + seconds}
    recent = _RESTARTS.began_at > now - seconds - _RECENT
    await connection.execute(update(service_restarts).where(recent).values(values))


_RECENT: Final = 31 * 86_400.0
"""Seconds for which an attempt may count in a budget, and is moved with the clock."""


async def history(store: Store, service: str | None, *, since: float, limit: int = 1000) -> list[ServiceRestart]:
    """Return the attempts of a service (None: of all) that began after a moment, the newest first."""
    query = select(*_COLUMNS).where(_RESTARTS.began_at > since)
    if service is not None:
        query = query.where(_RESTARTS.service == service)
    async with store.reading() as connection:
        rows = await connection.execute(query.order_by(_RESTARTS.began_at.desc()).limit(limit))
        return [ServiceRestart(*row) for row in rows]


class Trend(NamedTuple):
    """What became of the attempts of a service in one stretch of time, which begins at `at`."""

    at: float
    attempts: int
    restarted: int
    verified: int
    failed: int


async def trend(store: Store, service: str, *, since: float, until: float, buckets: int) -> list[Trend]:
    """Return how often a service was restarted, and whether that helped, in so many equal stretches of time."""
    found = await history(store, service, since=since, limit=100_000)
    length = (until - since) / buckets
    rows: list[list[ServiceRestart]] = [[] for _ in range(buckets)]
    for one in found:
        rows[min(buckets - 1, max(0, int((one.began_at - since) / length)))].append(one)
    return [
        Trend(
            since + place * length,
            len(row),
            sum(one.acted is True for one in row),
            sum(one.verified is True for one in row),
            sum(one.verified is False for one in row),
        )
        for place, row in enumerate(rows)
    ]


async def purge(store: Store, before: float, limit: int) -> int:
    """Delete at most `limit` attempts that began before a moment; return how many."""
    async with store.writing() as connection:
        return await delete_oldest(connection, service_restarts, "began_at", before, limit)
