"""Plain database URLs: what users know from every other tool. Checked without importing a driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from exporter.databases import parameters
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

# User and password end where SQLAlchemy ends them: at the first @ of the password.
_ACCESS: Final = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?")
_PLACE: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^/:?\[\]]*)(?::(?P<port>[^/?]*))?(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_SCHEME: Final = re.compile(r"[A-Za-z0-9+._-]{1,40}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNPARSED: Final = "it cannot be parsed (is a / @ or : of the password not %-encoded?)"


def mistake(text: str) -> str | None:
    """Return why a URL cannot be used, or None. The sentence never repeats user, password or host.

    With an @ too many nobody can tell where the password ends: a driver would take its rest for the host and name it.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        return "it has no scheme"
    dialect = DIALECTS.get(scheme.lower().partition("+")[0])
    if dialect is None:
        return f"the scheme {scheme!r} is not one that can be read" if _SCHEME.fullmatch(scheme) else _UNPARSED
    if _CONTROL.search(rest):
        return "it holds a control character, such as the end of a line"
    return _file_mistake(rest) if dialect == "sqlite" else _server_mistake(dialect, rest)


def _file_mistake(rest: str) -> str | None:
    path = rest.partition("?")[0]
    if path.strip("/") == "" or path == "/:memory:":
        return "it names no file"
    return None if path.startswith("/") else "it names a host, which SQLite has none of (a path needs a third slash)"


def _server_mistake(dialect: str, rest: str) -> str | None:
    access = _ACCESS.match(rest)
    place = rest[access.end() :] if access else rest
    if "@" in place:
        return "it has an @ too many: write each @ of the user, the password or the name as %40"
    found = _PLACE.fullmatch(place)
    if found is None:
        return _UNPARSED
    port = found["port"]
    if port is not None and not parameters.is_port(port):
        is_number = port.isascii() and port.isdigit()
        return f"its port is not from 1 to {parameters.HIGHEST_PORT}" if is_number else _UNPARSED
    if not unquote(found["database"] or ""):
        return "it names no database after the host"
    return parameters.mistake(dialect, found["query"] or "")


def async_url(name: str, text: str) -> URL:
    """Return the URL with the driver that we use; a driver word such as +psycopg2 is dropped.

    Raises DatabaseUrlError, whose sentence never repeats the URL: it may hold a password.
    """
    reason = mistake(text)
    if reason is not None:
        raise DatabaseUrlError(database=name, reason=reason)
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - what only checks a URL stays light
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(database=name, reason=_UNPARSED) from None
    dialect = DIALECTS[text.strip().partition("://")[0].lower().partition("+")[0]]
    return url.set(drivername=f"{dialect}+{DRIVERS[dialect]}")


def dialect_of(url: URL) -> str:
    """Return postgresql, mysql or sqlite."""
    return url.get_backend_name()


def where(url: URL) -> str:
    """Return the place a URL names, without user and password: for errors and logs. It never holds an @."""
    if dialect_of(url) == "sqlite":
        return (url.database or "").replace("@", "%40")
    host = url.host or str(url.query.get("host") or url.query.get("unix_socket") or "localhost")
    host = host.rpartition("@")[2]
    return f"{host}:{url.port}" if url.port else host
