"""Episodes of alerts: one row each, the newest of a fingerprint found by its head."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, null, select, update

from exporter.episodes import Episode
from exporter.store.bridge_tables import incidents
from exporter.store.bulk import IDS, ROWS, delete_oldest, pieces, storable, written
from exporter.store.columns import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

JSON_BYTES: Final = 60_000
"""Bytes of the annotations of one incident: what MySQL's TEXT takes, with room. Quotes take two each."""
_TIMES: Final = ("state", "starts_at", "first_at", "seen_at", "opened_at", "ended_at", "closed_at")
_LIGHT: Final = ("id", "fingerprint", "rulebook", *_TIMES)
"""Columns that booking needs: labels are read only where rules are asked anew."""
_INSERT: Final = insert(incidents)
_LAST: Final = f"SELECT seq FROM sqlite_sequence WHERE name = '{incidents.name}'"  # noqa: S608 - the name of our table
_CHANGE: Final = (
    update(incidents)
    .where(incidents.c.id == bindparam("number"))
    .values(
        {name: bindparam(f"new_{name}") for name in (*_TIMES, "rulebook")}
        | {"deliveries": incidents.c.deliveries + bindparam("more")}
    )
)
_SEEN: Final = (
    update(incidents)
    .where(incidents.c.id == bindparam("number"))
    .values(seen_at=bindparam("new_seen_at"), deliveries=incidents.c.deliveries + bindparam("more"))
)
# A None would be a bound value, and those are the rows' alone.
_BEHEAD: Final = update(incidents).where(incidents.c.id == bindparam("number")).values(head=null())

_NEW_TIMES: Final = tuple(f"new_{name}" for name in _TIMES)
_times_of: Final = attrgetter(*_TIMES)
_quoted: Final = json.encoder.encode_basestring


@dataclass(frozen=True, slots=True)
class Head:
    """The newest incident of a fingerprint, as booking needs it. `rulebook`: the rules that were asked about it."""

    id: int
    fingerprint: str
    rulebook: str
    episode: Episode


@dataclass(slots=True)
class Incident:
    """An incident with all that is known of it. `id` is 0 until it is stored: nothing else of it ever changes."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    episode: Episode
    receiver: str = ""
    generator_url: str = ""
    deliveries: int = 1
    rulebook: str = ""
    id: int = 0

    @property
    def starts_at(self) -> float:
        """Return when it began by the sender's clock, in seconds since 1970."""
        return self.episode.starts_at

    @property
    def alertname(self) -> str:
        """Return the label `alertname`."""
        return self.labels.get("alertname", "")


async def heads(connection: AsyncConnection, fingerprints: Iterable[str], *, lock: bool = True) -> dict[str, Head]:
    """Return the newest incidents of some fingerprints, with `lock` locked until the caller's transaction ends.

    In the order of the fingerprints: transactions that lock the same rows in different orders deadlock.
    """
    found: dict[str, Head] = {}
    columns = [incidents.c[name] for name in _LIGHT]
    for piece in pieces(sorted(fingerprints), IDS):
        query = select(*columns).where(incidents.c.head.in_(piece)).order_by(incidents.c.head)
        # By place: thousands of rows a second, whose columns take longer to find by name than to read.
        for number, fingerprint, rulebook, *times in await connection.execute(
            query.with_for_update() if lock else query
        ):
            found[fingerprint] = Head(number, fingerprint, rulebook, Episode(*times))
    return found


async def beheaded(connection: AsyncConnection, ids: Iterable[int]) -> None:
    """Let incidents no longer be the newest of their fingerprints, in the caller's transaction."""
    for piece in pieces(ids, ROWS):
        await written(connection, _BEHEAD, [{"number": one} for one in piece])


async def opened(connection: AsyncConnection, fresh: Sequence[Incident]) -> dict[str, int]:
    """Store new incidents as the newest of their fingerprints, in the caller's transaction; return their ids.

    Each has its id then. What they follow is `beheaded` first. Raises IntegrityError where another replica was
    quicker: begin anew then.
    """
    for piece in pieces(sorted(fresh, key=lambda one: one.fingerprint), ROWS):
        await written(connection, _INSERT, [_row(one, one.fingerprint) for one in piece])
        if connection.dialect.name == "sqlite":
            # Nobody else writes meanwhile, and AUTOINCREMENT counts on by one: the last number tells all of them.
            last = (await connection.exec_driver_sql(_LAST)).scalar_one()
            for number, one in enumerate(piece, last - len(piece) + 1):
                one.id = number
            continue
        query = select(incidents.c.head, incidents.c.id).where(incidents.c.head.in_([one.fingerprint for one in piece]))
        ids = {row.head: row.id for row in await connection.execute(query)}
        for one in piece:
            one.id = ids[one.fingerprint]
    return {one.fingerprint: one.id for one in fresh}


async def passed_by(connection: AsyncConnection, one: Incident) -> int:
    """Store an incident that was already followed by another one, in the caller's transaction; return its id."""
    done = await connection.execute(insert(incidents).values(**_row(one, None)))
    (one.id,) = done.inserted_primary_key or (0,)
    return one.id


async def changed(connection: AsyncConnection, changes: Sequence[tuple[int, Episode, str, int]]) -> None:
    """Write how incidents stand now: id, episode, rulebook and deliveries more; in the caller's transaction."""
    for piece in pieces(changes, ROWS):
        await written(connection, _CHANGE, [_changed(*one) for one in piece])


async def seen(connection: AsyncConnection, times: Sequence[tuple[int, float, int]]) -> None:
    """Note that incidents were heard of again: id, when, and in how many deliveries; in the caller's transaction."""
    for piece in pieces(times, ROWS):
        await written(connection, _SEEN, [{"number": one, "new_seen_at": at, "more": more} for one, at, more in piece])


def _changed(number: int, episode: Episode, rulebook: str, more: int) -> dict[str, Any]:
    values = dict(zip(_NEW_TIMES, _times_of(episode), strict=True))
    return {"number": number, **values, "new_rulebook": rulebook, "more": more}


def _row(one: Incident, head: str | None) -> dict[str, Any]:
    return {
        "head": head,
        "fingerprint": one.fingerprint,
        "alertname": storable(one.alertname, NAME_LENGTH),
        "labels": _encoded(one.labels),
        "annotations": _fitting(one.annotations),
        "receiver": storable(one.receiver, NAME_LENGTH),
        "generator_url": one.generator_url,
        "deliveries": one.deliveries,
        "rulebook": one.rulebook,
        **dict(zip(_TIMES, _times_of(one.episode), strict=True)),
    }


def _encoded(texts: Mapping[str, str]) -> str:
    """Return texts as JSON, as `json.dumps` writes them without escapes: for so little it takes twice as long."""
    return "{" + ", ".join([f"{_quoted(name)}: {_quoted(value)}" for name, value in texts.items()]) + "}"


def _fitting(annotations: Mapping[str, str]) -> str:
    """Return annotations as JSON; of those that do not fit the longest are left out, since labels say which it is."""
    said = _encoded(annotations)
    kept = annotations
    while len(said.encode()) > JSON_BYTES:
        longest = max(kept, key=lambda name: len(kept[name]))
        kept = {name: value for name, value in kept.items() if name != longest}
        said = _encoded(kept)
    return said


def _episode(row: Row[Any]) -> Episode:
    return Episode(row.state, row.starts_at, row.first_at, row.seen_at, row.opened_at, row.ended_at, row.closed_at)


def _incident(row: Row[Any]) -> Incident:
    return Incident(
        row.fingerprint,
        json.loads(row.labels),
        json.loads(row.annotations),
        _episode(row),
        row.receiver,
        row.generator_url,
        row.deliveries,
        row.rulebook,
        row.id,
    )


async def listed(
    store: Store,
    *,
    states: Sequence[str] | None = None,
    alertname: str | None = None,
    limit: int = 1000,
    before: int | None = None,
) -> list[Incident]:
    """Return incidents, the newest first; `before` (an id) is where a page goes on."""
    query = select(incidents).order_by(incidents.c.id.desc()).limit(limit)
    if states is not None:
        query = query.where(incidents.c.state.in_(states))
    if alertname is not None:
        query = query.where(incidents.c.alertname == storable(alertname, NAME_LENGTH))
    if before is not None:
        query = query.where(incidents.c.id < before)
    async with store.reading() as connection:
        return [_incident(row) for row in await connection.execute(query)]


async def one(store: Store, number: int) -> Incident | None:
    """Return the incident of an id, or None."""
    async with store.reading() as connection:
        row = (await connection.execute(select(incidents).where(incidents.c.id == number))).first()
    return None if row is None else _incident(row)


async def of_ids(connection: AsyncConnection, ids: Sequence[int]) -> list[Incident]:
    """Return the incidents of some ids, in the caller's transaction."""
    query = select(incidents).where(incidents.c.id.in_(ids)).order_by(incidents.c.id)
    return [_incident(row) for row in await connection.execute(query)]


async def due(
    connection: AsyncConnection,
    now: float,
    late_for: float,
    silent_after: float,
    *,
    limit: int = ROWS,
    lock: bool = False,
) -> list[Incident]:
    """Return what time changes by `exporter.episodes.passed`; with `lock` until the caller's transaction ends."""
    first = incidents.c.first_at
    late = (incidents.c.state == "late") & ((first <= now - late_for) | (first > now + late_for))
    silent = (incidents.c.state == "open") & (incidents.c.seen_at < now - silent_after)
    numbers: list[int] = []
    for which in (late, silent):
        # Each a step into the index: asked for both in their order, engines may read every incident there is.
        oldest = select(incidents.c.id).where(which).order_by(incidents.c.seen_at).limit(limit)
        numbers += [row.id for row in await connection.execute(oldest)]
    if not numbers:
        return []
    query = select(incidents).where(incidents.c.id.in_(numbers), late | silent).order_by(incidents.c.head).limit(limit)
    if lock:
        query = query.with_for_update()
    return [_incident(row) for row in await connection.execute(query)]


async def next_change(connection: AsyncConnection, now: float, late_for: float, silent_after: float) -> float:
    """Return when time changes an incident next, by `exporter.episodes.passed`; infinity where there is none to."""
    late, open_ = incidents.c.state == "late", incidents.c.state == "open"
    first, seen_ = incidents.c.first_at, incidents.c.seen_at
    query = select(
        select(func.min(first)).where(late).scalar_subquery(),
        select(func.max(first)).where(late).scalar_subquery(),
        select(func.min(seen_)).where(open_).scalar_subquery(),
    )
    earliest, latest, silent = (await connection.execute(query)).one()
    if latest is not None and latest > now + late_for:
        return now  # it was written before the clock was set back
    times = [] if earliest is None else [earliest + late_for]
    return min([*times, *([] if silent is None else [silent + silent_after])], default=math.inf)


async def counts(store: Store) -> dict[str, int]:
    """Return how many incidents there are by state."""
    query = select(incidents.c.state, func.count()).group_by(incidents.c.state)
    async with store.reading() as connection:
        return {row.state: row[1] for row in await connection.execute(query)}


async def purge(store: Store, before: float, limit: int) -> int:
    """Forget at most `limit` incidents that closed before a moment; return how many."""
    async with store.writing() as connection:
        return await delete_oldest(connection, incidents, "closed_at", before, limit)
