"""Plain database URLs: what users know from every other tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from exporter.errors import DatabaseUrlError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DIALECTS: Final = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
DRIVERS: Final = {"postgresql": "asyncpg", "mysql": "aiomysql", "sqlite": "aiosqlite"}


def async_url(name: str, text: str) -> URL:
    """Return the URL with the driver that we use; a driver word such as +psycopg2 is dropped.

    Raises DatabaseUrlError, whose sentence never repeats the URL: it may hold a password.
    """
    scheme, separator, _ = text.strip().partition("://")
    if not separator:
        raise DatabaseUrlError(database=name, reason="it has no scheme")
    dialect = DIALECTS.get(scheme.lower().partition("+")[0])
    if dialect is None:
        raise DatabaseUrlError(database=name, reason=f"the scheme {scheme[:40]!r} is not one that can be read")
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(
            database=name, reason="it cannot be parsed (is a / @ or : of the password not %-encoded?)"
        ) from None
    if dialect == "sqlite" and (not url.database or url.database == ":memory:"):
        raise DatabaseUrlError(database=name, reason="it names no file")
    if dialect != "sqlite" and not url.database:
        raise DatabaseUrlError(database=name, reason="it names no database after the host")
    return url.set(drivername=f"{dialect}+{DRIVERS[dialect]}")


def dialect_of(url: URL) -> str:
    """Return postgresql, mysql or sqlite."""
    return url.get_backend_name()


def where(url: URL) -> str:
    """Return the place a URL names, without user and password: for errors and logs."""
    if dialect_of(url) == "sqlite":
        return url.database or ""
    host = url.host or str(url.query.get("host") or url.query.get("unix_socket") or "localhost")
    return f"{host}:{url.port}" if url.port else host
