"""What keeps an UPDATE from being done, in words that are not those of a read."""

from __future__ import annotations

from typing import Final

from exporter.errors import DatabaseError, DatabasePermissionError, WatchbridgeError

_READ_ONLY_FILE: Final = "attempt to write a readonly database"


class DatabaseChangeForbiddenError(DatabaseError):
    """The database {database!r} does not let this user change {what}: grant UPDATE on it."""


class DatabaseFileForbiddenError(DatabaseError):
    """The database {database!r} cannot be changed: let this user write its file and the folder that it is in."""


def worded(error: WatchbridgeError, database: str, table: str) -> WatchbridgeError:
    """Return the error of a statement that writes; one that tells of rights tells of those that writing needs."""
    if isinstance(error, DatabasePermissionError):
        return DatabaseChangeForbiddenError(database=database, what=error.facts.get("what") or table)
    if str(error.facts.get("reason", "")).startswith(_READ_ONLY_FILE):
        return DatabaseFileForbiddenError(database=database)
    return error
