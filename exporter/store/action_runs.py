"""Each run of an action: what exactly was run, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, tuple_, update

from exporter.store import backlog_arrays
from exporter.store.bridge_tables import action_runs
from exporter.store.bulk import ROWS, pieces, storable, written
from exporter.store.columns import REASON_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

TEXT_BYTES: Final = 60_000
"""Bytes of a plan or an output: what MySQL's TEXT takes, with room."""

RunOutcome = Literal["done", "retry", "give_up", "unverified", "interrupted", "healthy"]
"""How a run ended. `unverified`: the action said done, the probe that verifies did not; `interrupted`: nobody saw;
`healthy`: a service was to be restarted and was found well, so that nothing was done."""

OUTCOMES: Final[tuple[RunOutcome, ...]] = ("done", "retry", "give_up", "unverified", "interrupted", "healthy")

_RUNS: Final = action_runs.c
_INSERT: Final = insert(action_runs)
_BOUND: Final = {name: f"new_{name}" for name in ("item_id", "fence", "ended_at", "outcome", "detail", "output")}
"""What a statement calls the values of columns, whose own names it keeps for itself."""
_END: Final = (
    update(action_runs)
    .where(
        _RUNS.item_id == bindparam(_BOUND["item_id"]),
        _RUNS.fence == bindparam(_BOUND["fence"]),
        _RUNS.outcome.is_(None),
    )
    .values({name: bindparam(_BOUND[name], type_=_RUNS[name].type) for name in tuple(_BOUND)[2:]})
)


@dataclass(frozen=True, slots=True)
class ActionRun:
    """One run of an action for an item; `outcome` and `ended_at` (seconds since 1970) are None while it runs.

    `plan` is what exactly was run, `output` what it said, redacted and bounded.
    """

    item_id: int
    attempt: int
    fence: int
    replica: str
    kind: str
    plan: str
    began_at: float
    ended_at: float | None = None
    outcome: RunOutcome | None = None
    detail: str = ""
    output: str | None = None


_COLUMNS: Final = tuple(_RUNS[name] for name in ActionRun.__dataclass_fields__)


class Ended(NamedTuple):
    """How a run ended: the item and the fence are those of its claim."""

    item_id: int
    fence: int
    outcome: RunOutcome
    detail: str
    output: str
    at: float


class Interrupted(NamedTuple):
    """A run whose end nobody saw."""

    item_id: int
    kind: str
    plan: str
    began_at: float


async def begun(connection: AsyncConnection, runs: Sequence[ActionRun]) -> None:
    """Store runs that begin, in the caller's transaction."""
    for piece in pieces(runs, ROWS):
        rows = [_row(run) for run in piece]
        if connection.dialect.name == "postgresql":
            await backlog_arrays.inserted(connection, action_runs, rows)
        else:
            await written(connection, _INSERT, rows)


async def ended(connection: AsyncConnection, runs: Collection[Ended]) -> None:
    """Store how runs ended, in the caller's transaction; one that has ended already stays as it is."""
    rows = [
        {
            "item_id": run.item_id,
            "fence": run.fence,
            "ended_at": run.at,
            "outcome": run.outcome,
            "detail": storable(run.detail, REASON_LENGTH),
            "output": _bounded(run.output) or None,
        }
        for run in sorted(runs)
    ]
    for piece in pieces(rows, ROWS):
        if connection.dialect.name == "postgresql":
            await backlog_arrays.changed(
                connection, action_runs, ("item_id", "fence"), piece, "action_runs.outcome IS NULL"
            )
        else:
            await written(connection, _END, [{_BOUND[name]: value for name, value in row.items()} for row in piece])


async def interrupted(connection: AsyncConnection, items: Collection[int], at: float, why: str) -> list[Interrupted]:
    """End the runs of items that nobody saw end, in the caller's transaction; return them, the oldest first."""
    unseen = _RUNS.item_id.in_(tuple(items)), _RUNS.outcome.is_(None)
    query = select(_RUNS.id, _RUNS.item_id, _RUNS.kind, _RUNS.plan, _RUNS.began_at).where(*unseen).order_by(_RUNS.id)
    rows = (await connection.execute(query)).all()
    if rows:
        values = {"outcome": "interrupted", "ended_at": at, "detail": storable(why, REASON_LENGTH)}
        await connection.execute(update(action_runs).where(_RUNS.id.in_([row.id for row in rows])).values(values))
    return [Interrupted(*row[1:]) for row in rows]


async def undone(connection: AsyncConnection, claims: Collection[tuple[int, int]]) -> None:
    """Forget runs that never began, by item and fence, in the caller's transaction."""
    mine = tuple_(_RUNS.item_id, _RUNS.fence).in_(list(claims))
    await connection.execute(delete(action_runs).where(_RUNS.outcome.is_(None), mine))


async def of(store: Store, item: int, limit: int = 1000) -> list[ActionRun]:
    """Return the runs of an item, the oldest first."""
    query = select(*_COLUMNS).where(_RUNS.item_id == item).order_by(_RUNS.id).limit(limit)
    async with store.reading() as connection:
        return [ActionRun(*row) for row in await connection.execute(query)]


def _row(run: ActionRun) -> dict[str, Any]:
    return {
        "item_id": run.item_id,
        "attempt": run.attempt,
        "fence": run.fence,
        "replica": run.replica,
        "kind": run.kind,
        "plan": _bounded(run.plan),
        "began_at": run.began_at,
        "detail": "",
    }


def _bounded(text: str) -> str:
    """Return as much of a text as the store takes: the end of it says more than its beginning."""
    text = storable(text, len(text))
    if len(text) * 4 <= TEXT_BYTES or len(octets := text.encode()) <= TEXT_BYTES:
        return text
    return octets[-TEXT_BYTES:].decode(errors="ignore")
