"""The open store: one object that the whole process shares."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from exporter.databases.resolver import Resolver
from exporter.databases.urls import dialect_of
from exporter.databases.urls import where as place
from exporter.errors import StoreError
from exporter.store import engines, schema
from exporter.store.directory import DirectoryLock, identity, prepare
from exporter.store.session import transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from exporter.model import Clock
    from exporter.store.options import StoreOptions

LOG = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""How long the connections may take to say goodbye; what was committed is on disk whether they do or not."""


class Store:
    """What Watchbridge remembers. Open it with `open`, end it with `close`."""

    def __init__(self, engine: AsyncEngine, where: str, clock: Clock, lock: DirectoryLock | None = None) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self.where = where
        """The file, or the host and database: never a user or a password."""
        self.clock = clock
        self.revision: str | None = None
        """The schema found in the store; None while it is empty."""
        self.new = False
        """Whether it was empty when it was opened, and was made then."""
        self._lock = lock
        self._resolver: Resolver | None = None
        self._file: tuple[Path, tuple[int, int]] | None = None
        self._log: Path | None = None
        self._writers = asyncio.Lock()

    @classmethod
    async def open(cls, options: StoreOptions, clock: Clock, *, exclusive: bool, upgrade: bool = True) -> Self:
        """Open the store and bring an empty or older schema up to date; with `upgrade` False leave it as it is.

        `exclusive` takes the lock of an SQLite store's directory (StoreBusyError when another process has it); a
        shared store has none, because several replicas live on it. Raises StoreNewerError for the schema of a newer
        program, DataDirectoryError for a folder that cannot be trusted, StoreUrlError or StoreDriverMissingError for
        a URL that no driver here takes, else StoreError.
        """
        url = _absolute(engines.usable(options.url.reveal()))
        folder, lock = None, None
        if dialect_of(url) == "sqlite":
            folder, lock = await asyncio.to_thread(_occupy, Path(url.database or ""), exclusive=exclusive, make=upgrade)
        resolver = Resolver(url)
        store = cls(engines.create(url, resolver), _where(url), clock, lock)
        store._resolver = resolver
        try:
            await store._begin(folder, upgrade=upgrade)
            if folder is not None:
                store._log = Path(f"{url.database}-wal")
            if folder is not None and os.name == "posix":
                path = Path(url.database or "")
                store._file = path, identity(path)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Close every connection, then give the directory back; may be called twice."""
        if self._resolver is not None:
            self._resolver.close()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.engine.dispose()
        finally:
            if self._lock is not None:
                self._lock.release()

    def mark(self) -> object | None:
        """Return what is another object after each commit to an SQLite store, by whichever process; else None.

        It costs no query: whoever only waits for something to do looks at this first, and asks now and then all the
        same, since two commits within a tick of the file system's clock may look alike.
        """
        if self._log is None:
            return None
        try:
            found = self._log.stat()
        except OSError:  # it is made by the first commit
            return 0
        return found.st_mtime_ns, found.st_size

    @contextlib.asynccontextmanager
    async def writing(self, *, seconds: float = engines.OPERATION_SECONDS) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that is on disk when the block has ended without an error; else StoreError."""
        self._check_place()
        async with contextlib.AsyncExitStack() as stack:
            if self.dialect == "sqlite":
                # Writers of one process take turns here: SQLite's own waiting is polling and has no order.
                await stack.enter_async_context(self._turn(seconds))
            connection = await stack.enter_async_context(transaction(self.engine, self.where, seconds, {}))
            if seconds > engines.OPERATION_SECONDS:
                await engines.allow(connection, seconds)
            yield connection

    @contextlib.asynccontextmanager
    async def reading(
        self, *, snapshot: bool = False, seconds: float = engines.OPERATION_SECONDS
    ) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that only reads; with `snapshot` all its statements see the same moment."""
        self._check_place()
        options: dict[str, object] = dict(engines.READS)
        if snapshot and self.dialect != "sqlite":
            options["isolation_level"] = "REPEATABLE READ"
        async with transaction(self.engine, self.where, seconds, options) as connection:
            if seconds > engines.OPERATION_SECONDS:
                await engines.allow(connection, seconds)
            yield connection

    @contextlib.asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                await self._writers.acquire()
        except TimeoutError as error:
            raise StoreError(where=self.where, reason=f"other writers held it for {seconds:g} s") from error
        try:
            yield
        finally:
            self._writers.release()

    def _check_place(self) -> None:
        """Raise StoreError for a file that was deleted or replaced: it takes writes that nobody will ever read."""
        if self._file is None:
            return
        path, opened = self._file
        try:
            there = identity(path) == opened
        except OSError:
            there = False
        if not there:
            raise StoreError(
                where=self.where, reason="its file was deleted or replaced while in use; restart Watchbridge"
            )

    async def _begin(self, folder: Path | None, *, upgrade: bool) -> None:
        async with self.reading() as connection:
            await engines.check_durable(connection, self.where)
            self.revision = await schema.revision(connection, self.where)
        schema.refuse_newer(self.revision, self.where)
        if not upgrade or self.revision == schema.HEAD:
            return
        guard = None
        if folder is not None and self._lock is None and self.revision is not None:
            # An older program may be running on the older schema: it must end first.
            guard = await asyncio.to_thread(DirectoryLock.take, folder, seconds=schema.UPGRADE_SECONDS / 10)
        try:
            async with self.writing(seconds=schema.UPGRADE_SECONDS) as connection:
                await schema.upgrade(connection, self.where)
        finally:
            if guard is not None:
                guard.release()
        before, self.revision = self.revision, schema.HEAD
        self.new = before is None
        LOG.info("the store has a new schema", extra={"fields": {"from": before or "empty", "to": schema.HEAD}})


def _occupy(database: Path, *, exclusive: bool, make: bool) -> tuple[Path, DirectoryLock | None]:
    if not make and not database.exists():
        raise StoreError(
            where=database,
            reason="there is no such file: start `watchbridge serve` once, which makes it, or check `store` or --store",
        )
    if warning := prepare(database):
        LOG.warning(warning)
    return database.parent, DirectoryLock.take(database.parent) if exclusive else None


def _absolute(url: URL) -> URL:
    """Fix a relative SQLite path to the folder the process is in now."""
    if dialect_of(url) != "sqlite":
        return url
    return url.set(database=str(Path(url.database or "").expanduser().absolute()))


def _where(url: URL) -> str:
    return place(url) if dialect_of(url) == "sqlite" else f"{place(url)}/{url.database}"
