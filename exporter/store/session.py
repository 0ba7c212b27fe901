"""One bounded transaction, and what went wrong with it in a sentence.

A connection that is late is cut off at its socket, not cancelled: drivers answer a cancellation by talking to the
server once more, which is what a dead network makes wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from exporter.databases.drivers import abort
from exporter.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_GRACE_SECONDS = 1.0  # for the driver to notice that it was cut off, before the wait itself is cancelled
_REASON_LENGTH = 300
_DRIVERS = frozenset({"aiomysql", "aiosqlite", "asyncpg", "pymysql"})


@contextlib.asynccontextmanager
async def transaction(
    engine: AsyncEngine, where: str, seconds: float, options: Mapping[str, Any]
) -> AsyncIterator[AsyncConnection]:
    """Give a connection; commit when the block ends, roll back when it raises.

    StoreError says what the database or the network said, or that neither did within `seconds`. What the block
    raises on its own goes through as it is.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    try:
        async with asyncio.timeout(seconds + _GRACE_SECONDS):
            connection = await _connect(engine, options, deadline)
            async with contextlib.AsyncExitStack() as stack:
                stack.callback((await _cut_at(connection, deadline)).cancel)
                stack.push_async_callback(connection.close)
                yield connection
                await connection.commit()
    except Exception as error:
        if not _is_databases(error):
            raise
        late = loop.time() >= deadline
        reason = f"it did not answer within {seconds:g} s" if late else _reason(error)
        raise StoreError(where=where, reason=reason) from error


async def _connect(engine: AsyncEngine, options: Mapping[str, Any], deadline: float) -> AsyncConnection:
    """Return a connection that answers; one from the pool may be of a server that has restarted since."""
    for last_try in (False, True):
        connection = await engine.connect()
        try:
            await connection.execution_options(**options)
            if engine.dialect.name != "sqlite" and not await _is_quiet(connection):
                await _ping(connection, deadline)
        except DBAPIError as error:
            await connection.close()
            if last_try or not error.connection_invalidated or asyncio.get_running_loop().time() >= deadline:
                raise
        except BaseException:
            await connection.close()
            raise
        else:
            break
    return connection


async def _is_quiet(connection: AsyncConnection) -> bool:
    """Return whether nothing has come from an idle server, not even the end: asking the socket saves a round trip.

    Only of asyncpg: others are asked themselves.
    """
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    if not hasattr(driver, "is_closed") or not hasattr(select, "poll") or driver.is_closed():
        return False
    poll = select.poll()
    poll.register(driver._transport.get_extra_info("socket"), select.POLLIN)  # noqa: SLF001 - the driver shows it nowhere
    return not poll.poll(0)


async def _ping(connection: AsyncConnection, deadline: float) -> None:
    cut = await _cut_at(connection, deadline)
    try:
        await connection.exec_driver_sql("SELECT 1")
    finally:
        cut.cancel()


async def _cut_at(connection: AsyncConnection, deadline: float) -> asyncio.TimerHandle:
    raw = await connection.get_raw_connection()
    return asyncio.get_running_loop().call_at(deadline, abort, raw.driver_connection)


def _is_databases(error: Exception) -> bool:
    """Tell the errors of the database from those of the caller's own code."""
    ours = isinstance(error, SQLAlchemyError | TimeoutError | OSError)
    return ours or type(error).__module__.partition(".")[0] in _DRIVERS


def _reason(error: BaseException) -> str:
    """Return what the driver said, on one line; never the statement or its values."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = said.__cause__ or said
    number_first = len(said.args) > 1 and isinstance(said.args[0], int)
    text = str(said.args[1] if number_first else said.args[0] if said.args else said)
    return " ".join(text.split()).rstrip(".")[:_REASON_LENGTH] or type(said).__name__
