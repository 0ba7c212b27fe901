"""Carrying a store to a file and from there into a store on any engine."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import column, delete, func, insert, inspect, select, table

from exporter.errors import BackupError, StoreNewerError
from exporter.store import portable, schema
from exporter.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from exporter.store.store import Store

TRANSFER_SECONDS = 3600.0
"""How long a whole backup or restore may take."""

_BATCH = 500

Progress: TypeAlias = "Callable[[str, int, int | None], None]"
"""Is told now and then what is being done, to how many rows it was done, and of how many (None: not known yet)."""


async def backup(
    store: Store, path: Path, *, force: bool = False, progress: Progress | None = None
) -> Mapping[str, int]:
    """Write the store to `path` as it was at one moment, beside whatever runs; return the rows of each table.

    A store with an older schema is written as it is, so that a backup can be made before an upgrade. BackupError
    when the store is empty or the file cannot be written; StoreError when the store cannot be read.
    """
    if store.revision is None:
        raise BackupError(where=path, reason=f"the store {store.where} is empty, so there is nothing to write")
    async with store.reading(snapshot=True, seconds=TRANSFER_SECONDS) as connection:
        columns = await connection.run_sync(_columns)
        header = portable.Header(revision=store.revision, created=store.clock.time(), tables=columns)
        total = await _count(connection, columns) if progress else None
        with portable.writing(path, header, force=force) as writer:
            told = _Told(progress, "Writing", total)
            for name, names in columns.items():
                query: Any = select(*map(column, names)).select_from(table(name))
                async for row in await connection.stream(query):
                    writer.add(name, tuple(row))
                    told.add(1)
        return writer.rows


async def restore(
    store: Store, path: Path, *, force: bool = False, progress: Progress | None = None
) -> Mapping[str, int]:
    """Replace what the store holds by the backup, in one transaction; return the rows of each table.

    The store must be open with its schema up to date. BackupError when the file is damaged, or when the store
    holds rows and `force` is not given; StoreNewerError when a newer program made the backup. Then nothing changed.
    """
    header = portable.read_header(path)
    _check(header, path)
    # The whole file is read before anything is touched: damage at its end is found here.
    rows = dict.fromkeys(header.tables, 0)
    told = _Told(progress, "Checking", None)
    for name, _ in portable.read_rows(path, header):
        rows[name] += 1
        told.add(1)
    async with store.writing(seconds=TRANSFER_SECONDS) as connection:
        if not force and (full := await _first_full(connection)):
            reason = f"the store {store.where} holds rows already ({full}); give --force to replace them"
            raise BackupError(where=path, reason=reason)
        for known in reversed(metadata.sorted_tables):
            await connection.execute(delete(known))
        told = _Told(progress, "Restoring", sum(rows.values()))
        for name, batch in _batches(portable.read_rows(path, header)):
            await connection.execute(insert(metadata.tables[name]), batch)
            told.add(len(batch))
        if store.dialect == "postgresql":
            await _advance_sequences(connection)
    return rows


async def _advance_sequences(connection: AsyncConnection) -> None:
    """Let PostgreSQL give numbers after the restored ones; the other engines see to that by themselves."""
    for known in metadata.sorted_tables:
        if (number := known.autoincrement_column) is not None:
            sequence = func.pg_get_serial_sequence(known.name, number.name)
            most = select(func.coalesce(func.max(number), 0)).scalar_subquery()
            # nextval: a number that was given before the restore is not given again.
            await connection.execute(select(func.setval(sequence, func.greatest(most, func.nextval(sequence)))))


@dataclass(slots=True)
class _Told:
    """Counts rows and tells of them a batch at a time: a row costs less than telling of it."""

    progress: Progress | None
    doing: str
    total: int | None
    done: int = 0
    next: int = _BATCH

    def add(self, rows: int) -> None:
        self.done += rows
        if self.progress is not None and self.done >= self.next:
            self.next = self.done + _BATCH
            self.progress(self.doing, self.done, self.total)


async def _count(connection: AsyncConnection, tables: Iterable[str]) -> int:
    """Return the rows of all tables."""
    counts = [(await connection.execute(select(func.count()).select_from(table(name)))).scalar_one() for name in tables]
    return sum(counts)


def _columns(connection: Connection) -> dict[str, Sequence[str]]:
    """Return the columns of our tables that the store has, parents first."""
    found = inspect(connection)
    present = set(found.get_table_names())
    return {
        known.name: [one["name"] for one in found.get_columns(known.name)]
        for known in metadata.sorted_tables
        if known.name in present
    }


def _check(header: portable.Header, path: Path) -> None:
    if header.revision > schema.HEAD:
        raise StoreNewerError(where=path, found=header.revision, ours=schema.HEAD)
    for name, columns in header.tables.items():
        known = metadata.tables.get(name)
        if known is None or not set(columns) <= set(known.columns.keys()):
            reason = f"its table {name!r} is not one of this version; restore it with the Watchbridge that made it"
            raise BackupError(where=path, reason=reason)


async def _first_full(connection: AsyncConnection) -> str | None:
    for known in metadata.sorted_tables:
        if (await connection.execute(select(func.count()).select_from(known.select().limit(1).subquery()))).scalar():
            return known.name
    return None


def _batches(rows: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, group in itertools.groupby(rows, key=lambda row: row[0]):
        while batch := [values for _, values in itertools.islice(group, _BATCH)]:
            yield name, batch
