"""The processes that share the store, when each was last seen to live, and when it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from exporter.store.bulk import upsert, written
from exporter.store.tables import replicas, service_states

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store


@dataclass(frozen=True, slots=True)
class Replica:
    """One process: when it started and last said that it lives, in seconds since 1970 by its own clock.

    `ended_at` is None until it has ended well; one that was killed only stops saying that it lives. `node` is the host
    that it runs on, None where it did not say.
    """

    id: str
    started_at: float
    heartbeat_at: float
    ended_at: float | None = None
    node: str | None = None


async def begun(store: Store, replica: str, started_at: float, node: str | None = None) -> None:
    """Note that a replica begins on a node, or is on another one now, before it looks who else lives.

    The heartbeat of an earlier life of that name stays: what that one had open ends there.
    """
    row = {"id": replica, "started_at": started_at, "heartbeat_at": started_at, "ended_at": None, "node": node}
    async with store.writing() as connection:
        statement = upsert(connection.dialect.name, replicas, ("id",), _begun)
        await connection.execute(statement, [row])


async def beat(connection: AsyncConnection, replica: str, started_at: float, at: float) -> None:
    """Note that a replica lives, in the caller's transaction; on which node it has said when it began."""
    row = {"id": replica, "started_at": started_at, "heartbeat_at": at, "ended_at": None}
    await written(connection, upsert(connection.dialect.name, replicas, ("id",), _beaten), [row])


def _begun(_old: Any, new: Any) -> dict[str, Any]:
    return {name: new[name] for name in ("started_at", "ended_at", "node")}


def _beaten(_old: Any, new: Any) -> dict[str, Any]:
    return {name: new[name] for name in ("started_at", "heartbeat_at", "ended_at")}


async def heartbeat(connection: AsyncConnection, replica: str) -> float | None:
    """Return the last heartbeat of a replica, after a commit of it that the server is still at has ended."""
    query = select(replicas.c.heartbeat_at).where(replicas.c.id == replica).with_for_update()
    return (await connection.execute(query)).scalar()


async def known(store: Store) -> list[Replica]:
    """Return every replica that is not forgotten, by its id; whether one still lives its heartbeat tells."""
    async with store.reading() as connection:
        rows = await connection.execute(select(replicas).order_by(replicas.c.id))
        return [Replica(*row) for row in rows]


async def ended(store: Store, replica: str, at: float) -> None:
    """Note that a replica ends well and has looked until then: its services go to others at once.

    Its row stays: where its open stretches end only its last heartbeat tells.
    """
    async with store.writing() as connection:
        statement = update(replicas).where(replicas.c.id == replica)
        await connection.execute(statement.values(heartbeat_at=at, ended_at=at))


async def forget(store: Store, before: float) -> int:
    """Forget the replicas whose last heartbeat is before a moment; return how many.

    One that left an open stretch stays: where that ends only its last heartbeat tells.
    """
    observing = select(service_states.c.replica).where(service_states.c.ended_at.is_(None)).distinct()
    async with store.writing() as connection:
        found = set((await connection.execute(observing)).scalars())
        dead = replicas.c.heartbeat_at < before, replicas.c.id.not_in(found)
        return int((await connection.execute(delete(replicas).where(*dead))).rowcount)
