"""Leases of items: one worker at a time has an item, and whoever comes late changes nothing.

A claim gives an item to its owner until `lease_until` by the database's clock, with a fence that is greater than any
before. Everything that the owner writes later names both; where somebody else took the item over meanwhile, the fence
differs and no row changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Double, Select, Update, bindparam, exists, null, or_, select, update

from exporter.store import action_runs, backlog_arrays, backlog_clock
from exporter.store.action_runs import ActionRun
from exporter.store.backlog_leases import Begin, Claimed, Finish, Held, Holder, KeepBack, Wish
from exporter.store.backlog_rows import COLUMNS, ENDED, BacklogItem, as_claimed, decoded
from exporter.store.bridge_tables import action_runs as runs_table
from exporter.store.bridge_tables import backlog_items, incidents
from exporter.store.bulk import ROWS, pieces, storable, written
from exporter.store.columns import REASON_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

__all__ = ["Begin", "Claimed", "Finish", "Held", "Holder", "KeepBack", "Wish"]

LOOKED_AT: Final = 100
"""Items that one claim looks at beyond those that it may begin: what is held must not bar what comes after it."""

_ITEMS: Final = backlog_items.c
_STATE_OF_INCIDENT: Final = (
    select(incidents.c.state).where(incidents.c.id == _ITEMS.incident_id).scalar_subquery().label("incident_state")
)
_NO_LEASE: Final[dict[str, Any]] = {"lease_owner": None, "lease_until": None}
_AT_END: Final[dict[str, Any]] = {"hold": None} | _NO_LEASE
_CHANGED: Final = ("id", "state", "explanation", "due_at", "finished_at", "active_key", "attempts")
_BOUND: Final = {name: f"new_{name}" for name in _CHANGED}
"""What a statement calls the values of columns, whose own names it keeps for itself."""
_FINISH: Final = (
    update(backlog_items)
    .where(_ITEMS.id == bindparam(_BOUND["id"]))
    .values(
        {name: bindparam(_BOUND[name], type_=_ITEMS[name].type) for name in tuple(_BOUND)[1:]}
        | dict.fromkeys(_AT_END, null())
    )
)


def _due_statement(*, by_hand: bool) -> Select[Any]:
    """Return the query for what is due of one state. Made once: making it takes longer than running it."""
    due: ColumnElement[bool] = _ITEMS.due_at <= bindparam("by")
    if by_hand:
        due = or_(due, _ITEMS.hold == "mode")
    which = _ITEMS.queue == bindparam("queue"), _ITEMS.state == bindparam("state"), due
    query = select(*COLUMNS, _STATE_OF_INCIDENT).where(*which).order_by(_ITEMS.due_at).limit(bindparam("most"))
    return query.with_for_update(skip_locked=True)


_DUE: Final = _due_statement(by_hand=False)
_DUE_BY_HAND: Final = _due_statement(by_hand=True)
_OURS: Final = (
    select(_ITEMS.id, _ITEMS.fence)
    .where(
        _ITEMS.id.in_(bindparam("ids", expanding=True)),
        _ITEMS.state == "running",
        _ITEMS.lease_owner == bindparam("owner"),
    )
    .order_by(_ITEMS.id)
    .with_for_update()
)


async def claimed(
    connection: AsyncConnection,
    store: Store,
    holder: Holder,
    wish: Wish,
    decide: Callable[[BacklogItem, str | None], Begin | KeepBack],
) -> Claimed:
    """Claim items that are due, the longest due first, in the caller's transaction.

    `decide` is asked of each, with the state of its incident (None without one).
    """
    now = store.clock.time()
    found = Claimed()
    for more in (0, LOOKED_AT):
        left = wish.limit - len(found.begun)
        if more and not (found.held and left):
            break  # nothing was held, or there is no place: what comes after it need not be looked at
        begun, held, runs = _decided(await _due(connection, wish, left + more, now), holder, left, decide, now)
        await _begin(connection, store, [item.id for item in begun], holder)
        await action_runs.begun(connection, runs)
        await _keep_back(connection, held, now)
        found.begun.extend(begun)
        found.held.extend(held)
    return found


def _decided(
    rows: Sequence[tuple[BacklogItem, str | None]],
    holder: Holder,
    limit: int,
    decide: Callable[[BacklogItem, str | None], Begin | KeepBack],
    now: float,
) -> tuple[list[BacklogItem], list[Held], list[ActionRun]]:
    """Return which items begin, at most `limit`, which are held, and the runs that begin."""
    begun: list[BacklogItem] = []
    held: list[Held] = []
    runs: list[ActionRun] = []
    for item, incident in rows:
        decision = decide(item, incident)
        if isinstance(decision, KeepBack):
            held.append(Held(item, decision))
            continue
        ours = as_claimed(item, holder.owner)
        begun.append(ours)
        runs.append(ActionRun(item.id, ours.attempts, ours.fence, holder.replica, decision.kind, decision.plan, now))
        if len(begun) == limit:
            break
    return begun, held, runs


async def _due(connection: AsyncConnection, wish: Wish, limit: int, now: float) -> list[tuple[BacklogItem, str | None]]:
    """Return due items that nobody else is claiming, locked until the transaction ends, the longest due first.

    One query for each state: only then the index has them in their order, and no row is read, sorted or locked in vain.
    """
    found: list[tuple[BacklogItem, str | None]] = []
    by = now if wish.due_by is None else wish.due_by
    for state in wish.states:
        query = _DUE_BY_HAND if state == "held" and wish.by_hand else _DUE
        if wish.only_items is not None:
            query = query.where(_ITEMS.id.in_(sorted(wish.only_items)))
        if wish.only_for is not None:
            query = query.where(_ITEMS.service.in_(sorted(wish.only_for)))
        bound = {"queue": wish.queue, "state": state, "by": by, "most": limit}
        found += [(decoded(row), row[-1]) for row in await connection.execute(query, bound)]
    return sorted(found, key=lambda one: (one[0].due_at, one[0].id))


def due_query(wish: Wish, state: str, now: float) -> Select[Any]:
    """Return the query for what is due of one state, with its values: see `_due`."""
    query = _DUE_BY_HAND if state == "held" and wish.by_hand else _DUE
    return query.params(queue=wish.queue, state=state, by=now, most=wish.limit)


async def _begin(connection: AsyncConnection, store: Store, ids: Collection[int], holder: Holder) -> None:
    if not ids:
        return
    bound: dict[str, Any] = {"ids": ids, "owner": holder.owner, "lease": holder.lease}
    if store.dialect == "sqlite":
        bound["clock"] = store.clock.time()
    if store.dialect not in _BEGIN:
        clock = bindparam("clock", type_=Double) if store.dialect == "sqlite" else backlog_clock.now(store)
        _BEGIN[store.dialect] = _begin_statement(clock)
    await connection.execute(_BEGIN[store.dialect], bound)


_BEGIN: Final[dict[str, Update]] = {}
"""By dialect: see `_begin_statement`."""


def _begin_statement(clock: ColumnElement[Any]) -> Update:
    """Return the statement by which items begin, with a lease by a clock. Made once, as `_due_statement` is."""
    values = {
        "state": "running",
        "hold": None,
        "explanation": None,
        "attempts": _ITEMS.attempts + 1,
        "fence": _ITEMS.fence + 1,
        "lease_owner": bindparam("owner", type_=_ITEMS.lease_owner.type),
        "lease_until": clock + bindparam("lease", type_=Double),
    }
    return update(backlog_items).where(_ITEMS.id.in_(bindparam("ids", expanding=True))).values(values)


async def _keep_back(connection: AsyncConnection, held: Sequence[Held], now: float) -> None:
    """Write why items are kept back; those of one reason, which may be thousands, in one statement."""
    alike: dict[KeepBack, list[int]] = {}
    for one in held:
        alike.setdefault(one.why, []).append(one.before.id)
    for why, ids in alike.items():
        values: dict[str, Any] = {"hold": why.hold, "explanation": storable(why.sentence, REASON_LENGTH)}
        if why.look_again_at is None:
            values |= {"state": why.state, "finished_at": now, "active_key": None}
        else:
            values |= {"state": why.state, "due_at": why.look_again_at}
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(ids)).values(values))


async def finished(connection: AsyncConnection, owner: str, ends: Collection[Finish]) -> set[int]:
    """Write how runs ended, in the caller's transaction; return which items were still ours: the others stay as is."""
    by_number = {end.item.id: end for end in ends}
    ours = await _ours(connection, owner, [(end.item.id, end.item.fence) for end in ends])
    kept = [by_number[number] for number in sorted(ours)]
    for piece in pieces(kept, ROWS):
        rows = [_row(end) for end in piece]
        if connection.dialect.name == "postgresql":
            await backlog_arrays.changed(connection, backlog_items, ("id",), [_AT_END | row for row in rows])
        else:
            await written(connection, _FINISH, [{_BOUND[name]: value for name, value in row.items()} for row in rows])
    await action_runs.ended(connection, [end.run for end in kept if end.run is not None])
    return ours


def _row(end: Finish) -> dict[str, Any]:
    over = end.state in ENDED
    return {
        "id": end.item.id,
        "state": end.state,
        "explanation": storable(end.explanation, REASON_LENGTH),
        "due_at": end.due_at,
        "finished_at": end.due_at if over else None,
        "active_key": None if over or end.state == "dead" else end.item.active_key,
        "attempts": end.item.attempts if end.counts else end.item.attempts - 1,
    }


async def renewed(
    connection: AsyncConnection, store: Store, holder: Holder, claims: Collection[BacklogItem]
) -> set[int]:
    """Let leases last anew, in the caller's transaction; return which items are still ours."""
    ours = await _ours(connection, holder.owner, [(one.id, one.fence) for one in claims])
    for piece in pieces(sorted(ours)):
        until = backlog_clock.now(store) + holder.lease
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(lease_until=until))
    return ours


async def released(connection: AsyncConnection, owner: str, claims: Collection[BacklogItem]) -> set[int]:
    """Give items back of which nothing has begun, in the caller's transaction; return which were still ours."""
    ours = await _ours(connection, owner, [(one.id, one.fence) for one in claims])
    for piece in pieces(sorted(ours)):
        values = _NO_LEASE | {"state": "pending", "attempts": _ITEMS.attempts - 1}
        await connection.execute(update(backlog_items).where(_ITEMS.id.in_(piece)).values(values))
    given_back = [(one.id, one.fence) for one in claims if one.id in ours]
    for part in pieces(given_back, ROWS):
        await action_runs.undone(connection, part)
    return ours


async def strays(connection: AsyncConnection, owner: str, running: Collection[int]) -> set[int]:
    """Give back, in the caller's transaction, what an owner has claimed and does not run; return which items.

    That is what a claim leaves whose commit was done and whose answer was lost. What was taken over has no run of that
    fence: somebody else had begun it, and its lease ends as any other.
    """
    begun = exists().where(
        runs_table.c.item_id == _ITEMS.id, runs_table.c.fence == _ITEMS.fence, runs_table.c.outcome.is_(None)
    )
    mine = _ITEMS.state == "running", _ITEMS.lease_owner == owner, _ITEMS.id.not_in(tuple(running)), begun
    query = select(*COLUMNS).where(*mine).order_by(_ITEMS.id).with_for_update()
    found = [decoded(row) for row in await connection.execute(query)]
    return await released(connection, owner, found)


async def _ours(connection: AsyncConnection, owner: str, claims: Collection[tuple[int, int]]) -> set[int]:
    """Return which claims still hold, their items locked until the transaction ends."""
    fences = dict(claims)
    ours: set[int] = set()
    for piece in pieces(sorted(fences)):
        found = await connection.execute(_OURS, {"ids": piece, "owner": owner})
        ours.update(number for number, fence in found if fences[number] == fence)
    return ours
