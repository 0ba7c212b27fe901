"""Errors of three drivers in our own words. Whatever a driver says, the sentence holds no password."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Final

from exporter.databases.urls import where
from exporter.errors import (
    ColumnMissingError,
    DatabaseError,
    DatabaseMissingError,
    DatabasePermissionError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    PoolTimeoutError,
    StatementTimeoutError,
    TableMissingError,
    WatchbridgeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from exporter.databases.options import DatabaseOptions

REASON_LIMIT: Final = 300
SHORTEST_SECRET: Final = 4  # a shorter one would be found in every other word, and shown by what is missing

# PostgreSQL's SQLSTATEs, MySQL's and MariaDB's error numbers and the beginnings of SQLite's messages, by situation.
SITUATIONS: Final[dict[type[DatabaseError], tuple[frozenset[str], frozenset[int], tuple[str, ...]]]] = {
    DatabaseRefusedError: (frozenset({"28P01", "28000"}), frozenset({1045, 1698}), ()),
    DatabaseMissingError: (frozenset({"3D000"}), frozenset({1049}), ("unable to open database file",)),
    TableMissingError: (frozenset({"42P01", "3F000"}), frozenset({1146}), ("no such table",)),
    ColumnMissingError: (frozenset({"42703"}), frozenset({1054}), ("no such column",)),
    DatabasePermissionError: (frozenset({"42501"}), frozenset({1044, 1142, 1143}), ()),
    StatementTimeoutError: (frozenset({"57014"}), frozenset({1969, 3024}), ("interrupted",)),
    DatabaseUnreachableError: (
        frozenset({"57P01", "57P02", "57P03", "53300"}),
        frozenset({1040, 2003, 2006, 2013}),
        (),
    ),
}
NO_DATABASE: Final = 1044
LOST_CLASSES: Final = ("08", "57P0")
LOST_NUMBERS: Final = frozenset({2006, 2013, 2055, 4031})


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what lies behind it, the driver's own error among them."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [getattr(current, "orig", None), current.__cause__, current.__context__]


def is_lost(error: BaseException) -> bool:
    """Say whether the connection itself is gone, so that a fresh one may do better."""
    for link in chain(error):
        state = getattr(link, "sqlstate", None)
        if isinstance(state, str) and state.startswith(LOST_CLASSES):
            return True
        if _number(link) in LOST_NUMBERS or isinstance(link, ConnectionError | EOFError):
            return True
        if type(link).__name__ in {"ConnectionDoesNotExistError", "InterfaceError"}:
            return True
    return False


def translated(
    error: BaseException, name: str, url: URL, options: DatabaseOptions, table: str = ""
) -> WatchbridgeError:
    """Return the named situation behind a driver's error."""
    links = list(chain(error))
    for link in links:
        if isinstance(link, WatchbridgeError):
            return link
    if type(error).__module__.startswith("sqlalchemy") and type(error).__name__ == "TimeoutError":
        return PoolTimeoutError(database=name, seconds=options.pool.timeout)
    facts = {"database": name, "seconds": options.statement_timeout, **_facts(links, url, table)}
    for situation, signs in SITUATIONS.items():
        if any(_shows(link, *signs) for link in links):
            return situation(**facts)
    if any(isinstance(link, OSError | TimeoutError | EOFError) for link in links) or is_lost(error):
        return DatabaseUnreachableError(**facts)
    return DatabaseError(**facts)


def _shows(link: BaseException, states: frozenset[str], numbers: frozenset[int], beginnings: tuple[str, ...]) -> bool:
    if getattr(link, "sqlstate", None) in states or _number(link) in numbers:
        return True
    return bool(beginnings) and str(link).startswith(beginnings)


def _facts(links: list[BaseException], url: URL, table: str) -> dict[str, str]:
    """Return what the sentences are about, from the driver's own words."""
    message = _scrubbed(_message(links), url)
    named = _named(message)
    what, right = _forbidden(links, url) or table or named or "it", "SELECT"
    if found := re.search(r"permission denied for schema (\S+)", message):
        what, right = f"the schema {found.group(1)}", "USAGE"
    facts = {"where": where(url), "reason": message, "what": what, "right": right}
    return {**facts, "table": table or named, "column": named, "hint": ""}


def _forbidden(links: list[BaseException], url: URL) -> str:
    """MariaDB says so of a whole database, and of one that does not exist as well: it does not tell strangers which."""
    return (
        f"the database {url.database!r}, if there is one" if any(_number(link) == NO_DATABASE for link in links) else ""
    )


def _number(error: BaseException) -> int | None:
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) and "mysql" in type(error).__module__ else None


def _message(links: list[BaseException]) -> str:
    """Return the driver's own words: the deepest link that says anything."""
    for link in reversed(links):
        text = _said(link).strip(" .")
        if text:
            return " ".join(text.split())[:REASON_LIMIT]
    return f"no answer ({type(links[-1]).__name__})" if links else "no answer"


def _said(link: BaseException) -> str:
    """Return what one error says, an operating system's in its own words instead of its number."""
    if isinstance(link, socket.gaierror):
        return "the name of its host is not known"
    number = _number(link)
    if number is not None:
        return str(link.args[1]) if len(link.args) > 1 else f"error {number}"
    code = link.errno if isinstance(link, OSError) else None
    inside = re.search(r"\[Errno (\d+)\]", str(link)) if isinstance(link, OSError) else None
    code = code or (int(inside.group(1)) if inside else None)
    return os.strerror(code).lower() if code else str(link)


def _scrubbed(message: str, url: URL) -> str:
    for secret in {url.password, *(str(value) for key, value in url.query.items() if "password" in key.lower())}:
        if secret and len(str(secret)) >= SHORTEST_SECRET:
            message = message.replace(str(secret), "<secret>")
    return message


def _named(message: str) -> str:
    """Return what a driver's message quotes, such as the table that is missing."""
    found = re.search(r"[\"'`]([^\"'`]+)[\"'`]", message) or re.search(r"no such (?:table|column): (\S+)", message)
    return found.group(1) if found else ""
