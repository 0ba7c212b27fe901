"""One driver a dialect: how a bounded connection, that can only read, is opened, and how it is cut off.

Measured: a PostgreSQL client across a dropped network saw no error for 40 s and more, and cancelling it blocked for
another 10 s. So a connection that is late is aborted at its socket, never cancelled; the settings of the session are
for the server, which must not go on for a client that is gone.
"""

from __future__ import annotations

import importlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from exporter.databases.urls import DRIVERS, dialect_of, where
from exporter.errors import DatabaseDriverMissingError, DatabaseMissingError, DatabaseUrlError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from exporter.databases.options import DatabaseOptions

TCP_USER_TIMEOUT_MS: Final = 5_000
BUSY_SHARE: Final = 0.8


def module(name: str, dialect: str) -> Any:
    """Import the driver of a dialect; DatabaseDriverMissingError names the extra that brings it."""
    driver = DRIVERS[dialect]
    try:
        return importlib.import_module(driver)
    except ImportError:
        raise DatabaseDriverMissingError(database=name, driver=driver, extra=dialect) from None


async def connect(name: str, url: URL, options: DatabaseOptions, *, writes: bool = False) -> Any:
    """Open one connection whose statements end by themselves and whose session, without `writes`, can only read."""
    opened = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}[dialect_of(url)]
    return await opened(name, url, options, writes=writes)


async def _postgresql(name: str, url: URL, options: DatabaseOptions, *, writes: bool) -> Any:
    asyncpg = module(name, "postgresql")
    return await asyncpg.connect(
        dsn=url.set(drivername="postgresql").render_as_string(hide_password=False),
        timeout=options.connect_timeout,
        server_settings={
            "application_name": "watchbridge",
            "default_transaction_read_only": "off" if writes else "on",
            "statement_timeout": str(int(options.statement_timeout * 1000)),
            "idle_in_transaction_session_timeout": "10000",
            "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
            "timezone": "UTC",
        },
    )


async def _mysql(name: str, url: URL, options: DatabaseOptions, *, writes: bool) -> Any:
    aiomysql = module(name, "mysql")
    connection = await aiomysql.connect(
        host=url.host or "localhost",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        db=url.database,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=options.connect_timeout,
        program_name="watchbridge",
        **mysql_parameters(name, url),
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("SET SESSION time_zone = '+00:00'")
            if writes:
                # MySQL's limit below is for what reads: this one must not wait for a lock when we are long gone.
                await cursor.execute("SET SESSION TRANSACTION READ WRITE")
                seconds = max(1, int(options.statement_timeout))
                await cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", (seconds,))
            else:
                await cursor.execute("SET SESSION TRANSACTION READ ONLY")
            if "mariadb" in connection.get_server_info().lower():
                await cursor.execute("SET SESSION max_statement_time = %s", (options.statement_timeout,))
            else:
                await cursor.execute("SET SESSION max_execution_time = %s", (int(options.statement_timeout * 1000),))
    except BaseException:
        abort(connection)
        raise
    return connection


def mysql_parameters(name: str, url: URL) -> dict[str, Any]:
    """Return what the parameters of a MySQL URL mean to its driver. Raises DatabaseUrlError."""
    known: dict[str, Any] = {}
    for key, value in url.query.items():
        text = value if isinstance(value, str) else value[-1]
        if key == "unix_socket":
            known["unix_socket"] = text
        elif key == "ssl_ca":
            known["ssl"] = ssl.create_default_context(cafile=text)
        elif key == "ssl" and text in {"true", "1", "required"}:
            known["ssl"] = ssl.create_default_context()
        elif key != "charset":
            reason = f"the parameter {key[:40]!r} is not known (known are unix_socket, ssl, ssl_ca, charset)"
            raise DatabaseUrlError(database=name, reason=reason)
    return known


async def _sqlite(name: str, url: URL, options: DatabaseOptions, *, writes: bool) -> Any:
    aiosqlite = module(name, "sqlite")
    path = Path(url.database or "").expanduser()  # noqa: ASYNC240 - one look at a local file
    if path.is_dir():
        raise DatabaseUrlError(database=name, reason=f"{path} is a folder, not a file")
    if not path.is_file():
        raise DatabaseMissingError(database=name, where=where(url))
    # mode=ro: reading a source never creates a file and never writes one.
    uri = f"file:{quote(str(path.absolute()))}?mode={'rw' if writes else 'ro'}"
    # Waiting for another writer cannot be interrupted: it must end before the statement is cut off.
    patience = options.statement_timeout * (BUSY_SHARE if writes else 1.0)
    connection = aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=patience)
    # A statement that hangs in the file system must not keep the process from ending.
    connection._thread.daemon = True  # noqa: SLF001 - the driver offers no other way; SQLAlchemy does the same
    opened = await connection
    opened.text_factory = _lenient
    if not writes:
        await opened.execute("PRAGMA query_only = ON")
    return opened


def _lenient(data: bytes) -> str:
    """SQLite keeps whatever bytes it was given as text: one bad row must not cost the others."""
    return data.decode("utf-8", "replace")


def abort(connection: Any) -> None:
    """Cut a driver's connection off at once, whatever it waits for. Never blocks and never raises."""
    try:
        if hasattr(connection, "terminate"):  # asyncpg
            connection.terminate()
        elif hasattr(connection, "_writer"):  # aiomysql: its close() would first wait for the peer to read
            connection._writer.transport.abort()  # noqa: SLF001
        else:  # aiosqlite: the only call that is safe from another thread
            connection._conn.interrupt()  # noqa: SLF001
    except Exception:  # noqa: BLE001 - already closed, in whichever way its driver says so
        return
