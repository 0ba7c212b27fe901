"""SQLAlchemy engines whose every connection keeps what was acknowledged and never waits for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from exporter.databases import drivers
from exporter.databases.urls import async_url, dialect_of
from exporter.errors import (
    DatabaseDriverMissingError,
    DatabaseUrlError,
    StoreDriverMissingError,
    StoreError,
    StoreUrlError,
)

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from exporter.databases.resolver import Resolver

OPERATION_SECONDS = 5.0
"""How long one transaction may take from asking for a connection to its commit."""

BUSY_SECONDS = 4.5
"""How long SQLite waits for another process's write lock: less than an operation, so that the error says why."""

ABANDONED_SECONDS = 10.0
"""How long a server waits for the next statement of a transaction: twice what a whole one may take."""

READS = {"watchbridge_reads": True}
"""Execution options of a transaction that only reads: beside SQLite's one writer, not in its queue."""

_DURABLE_COMMITS = ("on", "remote_apply")


def usable(text: str) -> URL:
    """Return the async URL of a store whose driver is here; StoreUrlError or StoreDriverMissingError otherwise."""
    try:
        url = async_url("store", text)
        drivers.module("store", dialect_of(url))
    except DatabaseUrlError as error:
        raise StoreUrlError(reason=error.facts["reason"]) from None
    except DatabaseDriverMissingError as error:
        raise StoreDriverMissingError(driver=error.facts["driver"], extra=error.facts["extra"]) from None
    return url


def create(url: URL, resolver: Resolver) -> AsyncEngine:
    """Return an engine, not yet connected, for a usable URL; `resolver` looks its host up before each connection."""
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        return _sqlite(url)
    shared: dict[str, Any] = {"pool_size": 5, "max_overflow": 5, "pool_recycle": 1800}
    shared |= {"pool_timeout": OPERATION_SECONDS}
    if dialect == "postgresql":
        # asyncpg itself reads the URL, with libpq's parameters such as sslmode in it.
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)

        async def connect(*_: object, **__: object) -> Any:
            await _looked_up(resolver)
            return await drivers.module("store", dialect).connect(dsn=dsn, **_POSTGRESQL)

        return create_async_engine(url.set(query={}), async_creator=connect, **shared)
    arguments = {**_MYSQL, **drivers.mysql_parameters("store", url)}
    engine = create_async_engine(url.set(query={}), connect_args=arguments, isolation_level="READ COMMITTED", **shared)
    # Not by an `async_creator`, as above: the dialect's own arguments would be lost, the one for FOUND_ROWS among them.
    event.listen(engine.sync_engine, "do_connect", lambda *_: await_only(_looked_up(resolver)))
    return engine


async def _looked_up(resolver: Resolver) -> None:
    """Let a name server that hangs cost a thread of the store's own, not one of those that all parts share."""
    try:
        async with asyncio.timeout(OPERATION_SECONDS):
            await resolver.known()
    except TimeoutError:
        raise TimeoutError(f"no name server answered for its host within {OPERATION_SECONDS:g} s") from None


_MILLISECONDS = f"{OPERATION_SECONDS * 1000:.0f}"
_POSTGRESQL = {
    "timeout": OPERATION_SECONDS,
    "server_settings": {
        "application_name": "watchbridge",
        "statement_timeout": _MILLISECONDS,
        "lock_timeout": _MILLISECONDS,
        # A transaction of a process that hangs or a host that is gone must not hold its locks: the items that it was
        # about to claim are skipped by everybody until then.
        "idle_in_transaction_session_timeout": f"{ABANDONED_SECONDS * 1000:.0f}",
        "tcp_user_timeout": f"{ABANDONED_SECONDS * 1000:.0f}",
        # A connection would keep the plan of its first executions: one that was made while a table was small walks
        # the whole of it, until the table is analysed for the next time.
        "plan_cache_mode": "force_custom_plan",
    },
}
_MYSQL = {
    "connect_timeout": OPERATION_SECONDS,
    "charset": "utf8mb4",
    # Without strict mode a value that is too long is cut, silently.
    "init_command": "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    f"SESSION innodb_lock_wait_timeout = {OPERATION_SECONDS:.0f}, "
    # Of what waits idly MySQL knows only connections, in a transaction or not; the pool opens new ones.
    f"SESSION wait_timeout = {6 * ABANDONED_SECONDS:.0f}",
}


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=4, max_overflow=0, pool_timeout=OPERATION_SECONDS, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: a deferred one that writes late fails at once
        # with "database is locked" instead of waiting its turn (https://sqlite.org/lang_transaction.html).
        connection.isolation_level = None
        settle_sqlite(connection, url.database or "")

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Connection) -> None:
        reads = connection.get_execution_options().get("watchbridge_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def settle_sqlite(connection: Any, where: str) -> None:
    """Set what durability needs on a new connection and read it back; StoreError when SQLite did not take it.

    With `synchronous=NORMAL` a power cut loses every commit since the last checkpoint of the WAL
    (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        for name, wanted in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            cursor.execute(f"PRAGMA {name}")
            if (found := cursor.fetchone()[0]) != wanted:
                reason = f"SQLite answers {name}={found} where {wanted} is needed; move it to a local file system"
                raise StoreError(where=where, reason=reason)
    finally:
        cursor.close()


async def allow(connection: AsyncConnection, seconds: float) -> None:
    """Let the statements of this one transaction take longer than usual ones."""
    if connection.dialect.name == "postgresql":
        for name in ("statement_timeout", "lock_timeout"):
            await connection.execute(text(f"SET LOCAL {name} = {seconds * 1000:.0f}"))


async def check_durable(connection: AsyncConnection, where: str) -> None:
    """Raise StoreError when the server may answer a commit before it is on disk."""
    if connection.dialect.name != "postgresql":
        return
    found = (await connection.execute(text("SHOW synchronous_commit"))).scalar()
    if found not in _DURABLE_COMMITS:
        reason = (
            f"synchronous_commit is {found}, so a commit could be lost after it was acknowledged; as its owner run "
            "ALTER DATABASE … SET synchronous_commit = on (or ALTER ROLE … SET …)"
        )
        raise StoreError(where=where, reason=reason)
