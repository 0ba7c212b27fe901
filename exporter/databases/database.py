"""One named database: `fetch` is all that a source needs, `change` what clears an alarm."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from exporter.databases import changing, drivers
from exporter.databases.resolver import Resolver
from exporter.databases.translate import is_lost, translated
from exporter.databases.urls import async_url, dialect_of
from exporter.errors import RowLimitError, StatementTimeoutError, TableMissingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from sqlalchemy.engine.interfaces import ReflectedColumn

    from exporter.databases.options import DatabaseOptions

# The server ends a late statement by itself and keeps the connection; only a server that does not answer is cut off.
GRACE: Final = 0.25
CLOSE_TIMEOUT: Final = 1.0
# SQLite forgets an interruption that comes before the statement has begun in its thread: it is told again.
ABORTS: Final = 20
COMPILED_LIMIT: Final = 100

T = TypeVar("T")


class Rows(NamedTuple):
    """What a statement gave: the names of its columns and its rows."""

    keys: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Database:
    """A pool of read-only connections to one database.

    Every wait is bounded: for a free connection (`pool.timeout`), for opening one (`connect_timeout`) and for the
    answer (`statement_timeout`); what is late is cut off at the socket. Errors are of the DatabaseError family.
    A connection that was lost while idle is replaced without an error, so a database that comes back is just there.
    """

    def __init__(self, name: str, options: DatabaseOptions) -> None:
        self.name = name
        self.options = options
        self.url = async_url(name, options.url.reveal())
        self.dialect = dialect_of(self.url)
        drivers.module(name, self.dialect)
        self._resolver = Resolver(self.url)
        self._cleaning: set[asyncio.Task[None]] = set()
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._engine = self._new_engine()
        self._writer: AsyncEngine | None = None
        self._compiled: dict[sa.Executable, Any] = {}
        # One deadline a read is set here and nowhere else, so that tests see which stage was late.
        self._patience = options.statement_timeout + (0.0 if self.dialect == "sqlite" else GRACE)

    def _new_engine(self) -> AsyncEngine:
        pool = self.options.pool
        return self._engine_of(
            writes=False,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=pool.size,
            max_overflow=0,
            pool_timeout=pool.timeout,
        )

    def _engine_of(self, *, writes: bool, **pool: Any) -> AsyncEngine:
        options = self.options

        async def connect(*_: object, **__: object) -> Any:
            async with asyncio.timeout(options.connect_timeout):
                await self._resolver.known()
                opened = await drivers.connect(self.name, self.url, options, writes=writes)
            self._opened.add(opened)
            return opened

        return create_async_engine(
            self.url.set(query={}),
            async_creator=connect,
            pool_reset_on_return=None,  # each statement is its own transaction: there is nothing to roll back
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            **pool,
        )

    async def fetch(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None, *, table: str = ""
    ) -> Rows:
        """Run one statement that reads and return all its rows; `table` only words the errors.

        Raises the DatabaseError family; RowLimitError past `row_limit` rows: give a `limited` statement, so that the
        database itself stops there.
        """

        async def read(connection: AsyncConnection, raw: Any) -> Rows:
            if self.dialect == "postgresql":
                rows = await raw.fetch(*self._direct(statement, parameters))
                if rows:
                    return Rows(tuple(rows[0].keys()), rows)
            result = await connection.execute(statement, parameters)
            return Rows(tuple(result.keys()), result.fetchmany(self.options.row_limit + 1))

        found = await self._run(read, table)
        if len(found.rows) > self.options.row_limit:
            raise RowLimitError(database=self.name, limit=self.options.row_limit)
        return found

    async def change(self, statement: sa.Update, *, table: str = "") -> int:
        """Run one UPDATE and return how many rows it changed; `table` only words the errors.

        It has a session of its own, which is closed after it: those that read cannot write. It is never tried again:
        where the connection is lost, or the answer late, nobody knows whether it was done. Raises the DatabaseError
        family; DatabaseChangeForbiddenError says which right is missing.
        """
        if self._writer is None:
            self._writer = self._engine_of(writes=True, poolclass=NullPool)

        async def write(connection: AsyncConnection, _: Any) -> int:
            return int((await connection.execute(statement)).rowcount)

        try:
            return await self._attempt(write, self._writer)
        except Exception as error:  # noqa: BLE001 - drivers raise what they like; all of it is translated
            found = translated(error, self.name, self.url, self.options, table)
            raise changing.worded(found, self.name, table) from None

    def _direct(self, statement: sa.Executable, parameters: Mapping[str, Any] | None) -> list[Any]:
        """Return SQL and arguments for asyncpg itself, which saves a quarter of the CPU of a small read.

        Only an empty result goes through SQLAlchemy after all, for the names of its columns.
        """
        compiled = self._compiled.get(statement)
        if compiled is None:
            if len(self._compiled) >= COMPILED_LIMIT:
                self._compiled.clear()
            compiled = statement.compile(  # type: ignore[attr-defined]  # every Executable that we are given is compilable
                dialect=self._engine.dialect, compile_kwargs={"render_postcompile": True}
            )
            self._compiled[statement] = compiled
        values = compiled.construct_params(parameters)
        return [compiled.string, *(values[name] for name in compiled.positiontup or ())]

    def limited(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        """Return the statement with the row limit in it, and one row more by which passing it is seen."""
        return statement.limit(self.options.row_limit + 1)

    async def columns(self, table: str, schema: str | None) -> dict[str, ReflectedColumn]:
        """Return a table's or view's columns by name, in their order. Raises TableMissingError."""

        async def reflect(connection: AsyncConnection, _: Any) -> dict[str, ReflectedColumn]:
            found = await connection.run_sync(lambda sync: sa.inspect(sync).get_columns(table, schema=schema))
            return {column["name"]: column for column in found}

        try:
            return await self._run(reflect, table)
        except sa.exc.NoSuchTableError:
            raise TableMissingError(database=self.name, table=f"{schema}.{table}" if schema else table) from None

    async def _run(self, work: Callable[[AsyncConnection, Any], Awaitable[T]], table: str) -> T:
        try:
            return await self._attempt(work)
        except sa.exc.NoSuchTableError:
            raise
        except Exception as error:  # noqa: BLE001 - drivers raise what they like; all of it is translated
            # A pooled connection dies with its server; the second attempt opens a fresh one.
            if not is_lost(error):
                raise translated(error, self.name, self.url, self.options, table) from None
        try:
            return await self._attempt(work)
        except Exception as error:  # noqa: BLE001 - as above
            raise translated(error, self.name, self.url, self.options, table) from None

    async def _attempt(
        self, work: Callable[[AsyncConnection, Any], Awaitable[T]], engine: AsyncEngine | None = None
    ) -> T:
        connection, raw = await self._connected(engine or self._engine)
        # In a task of its own: a cancelled read must first be cut off at its socket and only then unwind, since the
        # drivers' own unwinding waits for the very answer that does not come.
        task = asyncio.ensure_future(work(connection, raw))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._patience)
        except asyncio.CancelledError:
            await self._shielded(self._cut_off(connection, raw, task))
            raise
        if not done:
            await self._shielded(self._cut_off(connection, raw, task))
            raise StatementTimeoutError(database=self.name, seconds=self.options.statement_timeout)
        error = None if task.cancelled() else task.exception()
        if error is not None and is_lost(error):
            await self._discard(connection)
        else:
            await connection.close()
        return task.result()

    async def _connected(self, engine: AsyncEngine) -> tuple[AsyncConnection, Any]:
        """Return a connection of the engine's pool, and the driver's own."""
        if self.dialect != "sqlite":
            return await self._taken(engine)
        # A cancellation that meets SQLite's thread while it opens the file would lose what that opens.
        opening = asyncio.ensure_future(self._taken(engine))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._give_back)
            raise

    @staticmethod
    async def _taken(engine: AsyncEngine) -> tuple[AsyncConnection, Any]:
        connection = await engine.connect()
        return connection, (await connection.get_raw_connection()).driver_connection

    def _give_back(self, opening: asyncio.Future[tuple[AsyncConnection, Any]]) -> None:
        """Give a connection back that came when nobody wanted it any more."""
        if opening.cancelled() or opening.exception() is not None:
            return
        returning = asyncio.ensure_future(opening.result()[0].close())
        self._cleaning.add(returning)
        returning.add_done_callback(self._cleaning.discard)

    async def _shielded(self, cleaning: Coroutine[Any, Any, None]) -> None:
        """Let it end even if we are cancelled once more: a connection that stays taken is lost to the pool."""
        task = asyncio.create_task(cleaning)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        await asyncio.shield(task)

    async def _cut_off(self, connection: AsyncConnection, raw: Any, task: asyncio.Future[Any]) -> None:
        """End a statement that is late or no longer wanted, whatever the server does."""
        done: set[asyncio.Future[Any]] = set()
        for _ in range(ABORTS):
            drivers.abort(raw)
            done, _ = await asyncio.wait({task}, timeout=CLOSE_TIMEOUT / ABORTS)
            if done:
                break
        if not done:
            task.cancel()
            await self._replace_engine()
        else:
            if not task.cancelled():
                task.exception()
            await self._discard(connection)

    async def _discard(self, connection: AsyncConnection) -> None:
        """Take a connection that was cut off out of the pool."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await connection.invalidate()
                await connection.close()
        except Exception:  # noqa: BLE001 - it is gone already; the pool must not be poisoned
            await self._replace_engine()

    async def _replace_engine(self) -> None:
        old, self._engine = self._engine, self._new_engine()
        await old.dispose(close=False)

    async def close(self) -> None:
        """Close all connections, politely for a moment and then at once."""
        disposing = asyncio.ensure_future(self._engine.dispose())
        done, _ = await asyncio.wait({disposing}, timeout=CLOSE_TIMEOUT)
        if not done:
            # A peer that does not answer never says goodbye: the drivers' own closing would wait for it.
            for opened in tuple(self._opened):
                drivers.abort(opened)
            await asyncio.wait({disposing}, timeout=CLOSE_TIMEOUT)
        # What is being cut off must be over before the loop ends: half-way, SQLite's thread would go on for ever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * CLOSE_TIMEOUT):
                while self._cleaning:
                    await asyncio.wait(self._cleaning)
        self._resolver.close()
