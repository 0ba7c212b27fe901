"""Taking over items whose worker ended, or was away for too long: whoever comes late changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, not_, or_, select, update

from exporter.store import action_runs, backlog_clock
from exporter.store.backlog_rows import COLUMNS, BacklogItem, decoded
from exporter.store.bridge_tables import backlog_items

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.action_runs import Interrupted
    from exporter.store.backlog_leases import Holder
    from exporter.store.store import Store

TAKEN: Final = 100
"""Items that one takeover takes."""

BY_HAND: Final = "cli:"
"""How the owner of a lease begins that is a command and not a server."""

_ITEMS: Final = backlog_items.c


async def overdue(  # noqa: PLR0913 -- which items; all but the first three by name
    connection: AsyncConnection,
    store: Store,
    holder: Holder,
    *,
    queues: Collection[str] | None,
    running: Collection[int] = (),
    at_once: bool = False,
    not_for: Collection[str] = (),
) -> tuple[list[BacklogItem], list[Interrupted]]:
    """Take over items whose lease has ended, in the caller's transaction; return them and their runs nobody saw end.

    Of `queues`, or of every queue (None), at most TAKEN; those that are `running` here, and those for a service that
    only another host can judge (`not_for`), are left out. They stay `running`, now ours: what becomes of each is for
    the caller to find out and to write by `backlog_claims.finished`. With `at_once` no server but us lives, so that the
    leases of servers need not be waited for.
    """
    late = _ITEMS.lease_until < backlog_clock.now(store)
    if at_once:
        late = or_(late, not_(_ITEMS.lease_owner.startswith(BY_HAND)))
    which = and_(_ITEMS.state == "running", late, _ITEMS.id.not_in(tuple(running)))
    if queues is not None:
        which = and_(_ITEMS.queue.in_(tuple(queues)), which)
    if not_for:
        which = and_(which, or_(_ITEMS.service.is_(None), _ITEMS.service.not_in(sorted(not_for))))
    query = select(*COLUMNS).where(which).limit(TAKEN).with_for_update(skip_locked=True)
    items = [decoded(row) for row in await connection.execute(query)]
    if not items:
        return [], []
    ids = sorted(item.id for item in items)
    values = {
        "lease_owner": holder.owner,
        "lease_until": backlog_clock.now(store) + holder.lease,
        "fence": _ITEMS.fence + 1,
    }
    await connection.execute(update(backlog_items).where(_ITEMS.id.in_(ids)).values(values))
    runs = await action_runs.interrupted(connection, ids, store.clock.time(), "its end was not seen")
    return [replace(item, lease_owner=holder.owner, fence=item.fence + 1) for item in items], runs
