"""What is due, for all queues in one light query: what an idle worker asks each second."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, select, update

from exporter.store import backlog_clock
from exporter.store.backlog_rows import WAITING
from exporter.store.bridge_tables import backlog_items
from exporter.store.bulk import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import ItemState
    from exporter.store.store import Store

QUEUES: Final = 100
"""Queues in one statement: each has four columns, and PostgreSQL takes 1,664."""

_ITEMS: Final = backlog_items.c


@dataclass(slots=True)
class Outlook:
    """What is due by now: the states in which each queue has something, and queues in which a lease has ended.

    `next_at` is when the next item is due, in seconds since 1970; None where none waits for a time.
    """

    states: dict[str, tuple[ItemState, ...]] = field(default_factory=dict)
    overdue: list[str] = field(default_factory=list)
    next_at: float | None = None


async def outlook(store: Store, queues: Sequence[str], now: float) -> Outlook:
    """Return what is due in queues at a moment; of leases the database's clock tells."""
    found = Outlook()
    async with store.reading() as connection:
        for piece in pieces(queues, QUEUES):
            bound = {f"queue{place}": queue for place, queue in enumerate(piece)}
            clock = backlog_clock.now(store)
            query = _query(len(piece)).add_columns(clock)
            row: Any = (await connection.execute(query, bound)).one()
            for place, queue in enumerate(piece):
                _take(found, queue, row[place * 4 : place * 4 + 4], (now, float(row[-1])))
    return found


async def moved(store: Store, queues: Sequence[str], now: float, seconds: float) -> int:
    """Let what waits for a time wait for one that is so many seconds earlier: the clock was set back by them.

    What is due by now is left as it is. Returns how many items were changed.
    """
    changed = 0
    for piece in pieces(queues, QUEUES):
        which = _ITEMS.queue.in_(piece), _ITEMS.state.in_(WAITING), _ITEMS.due_at > now
        async with store.writing() as connection:
            done = await connection.execute(update(backlog_items).where(*which).values(due_at=_ITEMS.due_at - seconds))
        changed += int(done.rowcount)
    return changed


async def reconsidered(store: Store, queues: Sequence[str], now: float) -> int:
    """Let what is held because of the mode be due now: the mode has changed. Returns how many items were changed."""
    changed = 0
    for piece in pieces(queues):
        held = _ITEMS.queue.in_(piece), _ITEMS.state == "held", _ITEMS.hold == "mode", _ITEMS.due_at > now
        async with store.writing() as connection:
            done = await connection.execute(update(backlog_items).where(*held).values(due_at=now))
        changed += int(done.rowcount)
    return changed


def _take(found: Outlook, queue: str, firsts: Sequence[float | None], clocks: tuple[float, float]) -> None:
    now, database = clocks
    due: list[ItemState] = []
    for state, first in zip(WAITING, firsts, strict=False):
        if first is None:
            continue
        if first <= now:
            due.append(state)
        else:
            found.next_at = first if found.next_at is None else min(found.next_at, first)
    if due:
        found.states[queue] = tuple(due)
    if (lease := firsts[-1]) is not None and lease < database:
        found.overdue.append(queue)


@lru_cache(maxsize=16)
def _query(count: int) -> Any:
    """Return the query over so many queues: each column is one step into the index."""
    columns = []
    for place in range(count):
        queue = bindparam(f"queue{place}", type_=_ITEMS.queue.type)
        for state in WAITING:
            first = select(func.min(_ITEMS.due_at)).where(_ITEMS.queue == queue, _ITEMS.state == state)
            columns.append(first.scalar_subquery().label(f"{state}{place}"))
        leases = select(func.min(_ITEMS.lease_until)).where(_ITEMS.queue == queue, _ITEMS.state == "running")
        columns.append(leases.scalar_subquery().label(f"lease{place}"))
    return select(*columns)
