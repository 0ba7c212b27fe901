"""Planned maintenance that was added beside the configuration: its rows, and who added and ended them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, func, insert, or_, select, update

from exporter.errors import InvalidFieldsError
from exporter.schedule import Cron
from exporter.store import audit, clients
from exporter.store.bridge_tables import windows
from exporter.store.bulk import pieces, storable
from exporter.store.columns import NAME_LENGTH, REASON_LENGTH
from exporter.windows import LONGEST, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

MOST: Final = 1000
"""Windows that last or come at once: all of them are held in memory."""
LISTED: Final = 10_000
"""Windows that one list tells: the newest."""
KEPT: Final = 90 * 86_400.0
"""Seconds that a window is kept after its end, so that people see what was planned."""
NAMES_BYTES: Final = 60_000
"""Bytes of the names of one window: what MySQL's TEXT takes, with room."""
_CALENDAR: Final = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970: no calendar here goes beyond."""

Mark = tuple[int, int, int]
"""How many windows there are, the newest number, and how many were ended."""

_MARK: Final = select(func.count(), func.coalesce(func.max(windows.c.id), 0), func.count(windows.c.ended_at))


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window of the store: who added it and when it was ended by somebody, None where by nobody.

    `problem` says why the row cannot be read, by a program that lacks its time zone for example: then the window is
    one that is never active. Times are in seconds since 1970.
    """

    id: int
    window: Window
    created_by: str
    created_at: float
    ended_at: float | None = None
    problem: str | None = None


async def add(store: Store, added: Sequence[Window], actor: str, now: float) -> list[int]:
    """Store windows, all of them or none, and return their numbers.

    InvalidFieldsError where one names more than a row takes, or where more than MOST would last or come.
    """
    rows = [_row(window, actor, now) for window in added]
    async with store.writing() as connection:
        lasting = (await connection.execute(select(func.count()).where(_lasting(now)))).scalar_one()
        if lasting + len(rows) > MOST:
            raise InvalidFieldsError((("windows", f"at most {MOST} may last or come: end some first"),))
        numbers = []
        for row in rows:
            done = await connection.execute(insert(windows).values(row))
            numbers.append(clients.number_of(done))
        await audit.added(
            connection,
            [
                audit.Entry(now, actor, "added", "window", number, _told(window), _details(window))
                for number, window in zip(numbers, added, strict=True)
            ],
        )
    return numbers


async def end(store: Store, window: int, actor: str, now: float) -> bool:
    """End a window that lasts, or that comes, now; return whether there was one to end."""
    async with store.writing() as connection:
        chosen = update(windows).where(windows.c.id == window, _lasting(now))
        if not (await connection.execute(chosen.values(ended_at=now))).rowcount:
            return False
        row = (await connection.execute(select(windows).where(windows.c.id == window))).one()
        entry = audit.Entry(now, actor, "ended", "window", window, _told(_read(row).window))
        await audit.added(connection, [entry])
    return True


async def listed(store: Store, now: float, *, past: bool = False) -> list[StoredWindow]:
    """Return the windows that last or come, by number; with `past` also those that are over, the newest LISTED."""
    query = select(windows).order_by(windows.c.id.desc()).limit(LISTED)
    async with store.reading() as connection:
        rows = (await connection.execute(query if past else query.where(_lasting(now)))).all()
    return [_read(row) for row in reversed(rows)]


async def mark(store: Store) -> Mark:
    """Return a value that differs from an earlier one when a window was added, ended or purged since."""
    async with store.reading() as connection:
        count, newest, ended = (await connection.execute(_MARK)).one()
    return int(count), int(newest), int(ended)


async def purge(store: Store, now: float) -> int:
    """Delete the windows that are over for longer than KEPT; return how many."""
    before = now - KEPT
    columns = windows.c
    over = or_(columns.ended_at < before, and_(columns.cron.is_(None), columns.end_at < before))
    async with store.reading() as connection:
        found = list((await connection.execute(select(columns.id).where(over).order_by(columns.id))).scalars())
    deleted = 0
    for piece in pieces(found):
        async with store.writing() as connection:
            deleted += await _deleted(connection, piece)
    return deleted


async def _deleted(connection: AsyncConnection, numbers: list[int]) -> int:
    return int((await connection.execute(delete(windows).where(windows.c.id.in_(numbers)))).rowcount)


def _lasting(now: float) -> ColumnElement[bool]:
    return and_(windows.c.ended_at.is_(None), or_(windows.c.cron.is_not(None), windows.c.end_at > now))


def _told(window: Window) -> str:
    """Return what was planned in a sentence: what it is for, and the comment."""
    return f"{window.subject()}: {window.comment}" if window.comment else window.subject()


def _details(window: Window) -> dict[str, Any]:
    times: dict[str, Any] = {"start": window.start, "end": window.end}
    if window.cron is not None:
        times = {"cron": window.cron.pattern, "timezone": window.cron.timezone, "duration": window.duration}
    named = {"services": sorted(window.services), "groups": sorted(window.groups), "all": window.everything}
    return named | times


def _row(window: Window, actor: str, now: float) -> dict[str, Any]:
    row = {
        "services": _names("services", window.services),
        "group_names": _names("groups", window.groups),
        "everything": window.everything,
        "timezone": "UTC",
        "start_at": window.start,
        "end_at": window.end,
        "comment": storable(window.comment, REASON_LENGTH),
        "created_by": storable(actor, NAME_LENGTH),
        "created_at": now,
    }
    if window.cron is not None:
        row |= {"cron": window.cron.pattern, "timezone": window.cron.timezone, "duration": window.duration}
    return row


def _names(field: str, names: frozenset[str]) -> str:
    text = json.dumps(sorted(names))
    if len(text) > NAMES_BYTES:
        raise InvalidFieldsError(((field, f"takes {NAMES_BYTES:,} bytes at most: add several windows"),))
    return text


def _read(row: Any) -> StoredWindow:
    """Return the window of a row; what somebody wrote by hand, or another version, costs that window only."""
    problem = None
    try:
        window = Window(
            services=frozenset(map(str, json.loads(row.services))),
            groups=frozenset(map(str, json.loads(row.group_names))),
            everything=row.everything,
            comment=row.comment,
            cron=None if row.cron is None else Cron.parse(row.cron, row.timezone),
            duration=_within(row.duration, LONGEST) or 0.0,
            start=_within(row.start_at),
            end=_within(row.end_at),
        )
    except (TypeError, ValueError) as error:
        window, problem = Window(comment=row.comment), f"its row cannot be read: {error}"
    return StoredWindow(row.id, window, row.created_by, row.created_at, row.ended_at, problem)


def _within(seconds: float | None, most: float = _CALENDAR) -> float | None:
    if seconds is not None and not 0 <= seconds <= most:  # `nan` is in no range
        raise ValueError(f"found {seconds:g} s, wanted at most {most:g}")
    return seconds
