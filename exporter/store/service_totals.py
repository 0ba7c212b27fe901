"""Counters of each service that outlive the process: runs, and seconds of closed stretches by state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from exporter.model import STATES, State
from exporter.store.bulk import pieces, upsert, written
from exporter.store.tables import service_totals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store


class Totals(NamedTuple):
    """Counters of a service, or what is added to them: runs, and seconds by state (one left out is 0)."""

    runs_success: int
    runs_failure: int
    seconds: Mapping[State, float]


_SECONDS: tuple[tuple[State, str], ...] = tuple((state, f"{state}_seconds") for state in STATES)
_COUNTERS = ("runs_success", "runs_failure", *(column for _, column in _SECONDS))


async def added(connection: AsyncConnection, increments: Mapping[int, Totals]) -> None:
    """Add to the counters of services by number, in the caller's transaction; a missing row is made.

    A service that is no longer in `client_services` makes the database refuse the whole: ask
    `client_services.present` first.
    """
    # In one order everywhere: replicas that lock the same rows in different orders would deadlock.
    rows = [_row(service, increments[service]) for service in sorted(increments)]
    if rows:
        await written(connection, upsert(connection.dialect.name, service_totals, ("service_id",), _sums), rows)


async def known(store: Store, ids: Collection[int] | None = None) -> dict[int, Totals]:
    """Return the counters of services by number (None: all); one that has none yet is absent."""
    found: dict[int, Totals] = {}
    async with store.reading() as connection:
        if ids is None:
            queries: list[Any] = [select(service_totals)]
        else:
            queries = [select(service_totals).where(service_totals.c.service_id.in_(piece)) for piece in pieces(ids)]
        for query in queries:
            for row in await connection.execute(query):
                service, success, failure, *seconds = row
                found[service] = Totals(success, failure, dict(zip(STATES, seconds, strict=True)))
    return found


def _row(service: int, increment: Totals) -> dict[str, Any]:
    success, failure, seconds = increment
    row: dict[str, Any] = {"service_id": service, "runs_success": success, "runs_failure": failure}
    for state, column in _SECONDS:
        row[column] = seconds.get(state, 0.0)
    return row


def _sums(old: Any, new: Any) -> dict[str, Any]:
    return {counter: old[counter] + new[counter] for counter in _COUNTERS}
