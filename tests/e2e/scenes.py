"""A package table that every engine can hold, and the configuration that watches it."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from servers.programs import HOST, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from servers.databases import DatabaseServer

PACKAGES = (
    ("Downloaded", timedelta(minutes=5)),
    ("Downloaded", timedelta(hours=3)),
    ("Pending Approval", timedelta(hours=30)),
    ("Pending Approval", timedelta(hours=2)),
    ("Pending Approval", timedelta(seconds=30)),
    ("Published", timedelta(days=400)),
)
"""Status and age of each package; what is older than an hour and neither rejected nor published is stuck."""

COUNTS = {
    "Checking Licence": 0.0,
    "Downloaded": 2.0,
    "Security Scanning": 0.0,
    "Security Scanned": 0.0,
    "Pending Approval": 3.0,
    "Approved": 0.0,
    "Rejected": 0.0,
    "Published": 1.0,
}
STUCK = {**dict.fromkeys(COUNTS, 0.0), "Downloaded": 1.0, "Pending Approval": 2.0}


def statements() -> str:
    """Return SQL that each of the three engines takes: the table and its packages, in naive UTC."""
    now = datetime.now(UTC)
    rows = ", ".join(f"('{status}', '{now - age:%Y-%m-%d %H:%M:%S}')" for status, age in PACKAGES)
    table = "CREATE TABLE packages (status varchar(40), updated_at timestamp NULL);"
    return f"{table} INSERT INTO packages (status, updated_at) VALUES {rows};"


def fill(server: DatabaseServer, url: str) -> None:
    """Make the packages in a database of a server, readable by the owner of the URL."""
    database, grantee = urlsplit(url).path[1:], urlsplit(url).username
    grant = f' GRANT SELECT ON packages TO "{grantee}";' if server.scheme == "postgresql" else ""
    # MariaDB reads a literal of a TIMESTAMP column in the session's zone.
    zone = "SET time_zone = '+00:00'; " if server.scheme == "mysql" else ""
    server.execute(zone + statements() + grant, database)


def fill_sqlite(path: Path) -> str:
    """Make a file with the packages and return its URL."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements())
    return f"sqlite:///{path}"


def configuration(folder: Path, url: str, **packages: Any) -> dict[str, Any]:
    """Return a configuration that watches one source, `registry`, on a free port, with a store in `folder`."""
    return {
        "listen": [{"address": f"{HOST}:{free_port()}", "serve": ["metrics"]}],
        "store": f"sqlite:///{folder / 'state' / 'watchbridge.db'}",
        "databases": {"main": {"url": url}},
        "packages": {"registry": {"database": "main", **packages}},
    }
