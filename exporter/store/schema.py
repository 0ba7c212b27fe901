"""Which schema a store has, and bringing it up to date. Alembic is imported only when there is something to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from exporter.errors import StoreError, StoreNewerError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

HEAD = "0034"
"""The revision of `exporter.store.tables`; a test holds it against the migration scripts."""

UPGRADE_SECONDS = 60.0
"""How long a migration may wait for another one and run. A later revision that rewrites many rows must raise it."""

_POSTGRESQL_LOCK = 0x57_42_53_43_48_45_4D_41  # "WBSCHEMA" in ASCII; advisory locks are numbers, one space a database
_MYSQL_LOCK = "CONCAT('watchbridge ', MD5(DATABASE()))"  # named locks are one space for the whole server


async def revision(connection: AsyncConnection, where: str) -> str | None:
    """Return the revision of the store, None when it is empty; StoreError when it is another program's."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    if any(not re.fullmatch(r"\d{4}", one) for one in found):
        reason = "another program keeps its tables in it; give Watchbridge a database of its own"
        raise StoreError(where=where, reason=reason)
    return max(found, default=None)


def refuse_newer(found: str | None, where: str) -> None:
    """Raise StoreNewerError when a newer program made this schema: running on it could destroy what it holds."""
    if found is not None and found > HEAD:
        raise StoreNewerError(where=where, found=found, ours=HEAD)


async def upgrade(connection: AsyncConnection, where: str) -> None:
    """Migrate to HEAD inside the caller's transaction, one process at a time.

    SQLite needs no lock beyond BEGIN IMMEDIATE. PostgreSQL holds an advisory lock until the transaction ends.
    MySQL and MariaDB hold a named lock, which ends with the connection if this process dies.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRESQL_LOCK})
    elif dialect == "mysql":
        await _lock_mysql(connection, where)
    try:
        found = await revision(connection, where)
        refuse_newer(found, where)
        if found != HEAD:
            await connection.run_sync(_migrate)
    finally:
        if dialect == "mysql":
            await connection.execute(text(f"DO RELEASE_LOCK({_MYSQL_LOCK})"))


async def _lock_mysql(connection: AsyncConnection, where: str) -> None:
    taken = await connection.execute(text(f"SELECT GET_LOCK({_MYSQL_LOCK}, {UPGRADE_SECONDS / 2:.0f})"))
    if taken.scalar() != 1:
        reason = f"another process has been migrating it for {UPGRADE_SECONDS / 2:.0f} s; try again when it has ended"
        raise StoreError(where=where, reason=reason)


def _migrate(connection: Connection) -> None:
    # Alembic costs half a second to import, and almost every start finds the schema as it should be.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    scripts = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
