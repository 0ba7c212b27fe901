"""One empty database on each engine, so that one behaviour test runs over all of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.databases import DatabaseServer


class EmptyDatabase(Protocol):
    """An empty database: its plain URL, its dialect, and a way to write into it that is not ours."""

    url: str
    dialect: str

    def execute(self, sql: str) -> None:
        """Run statements as the administrator."""


class ServerDatabase:
    """A database of a real server."""

    def __init__(self, server: DatabaseServer, dialect: str) -> None:
        self.server = server
        self.url = server.create_database()
        self.dialect = dialect
        self.name = urlsplit(self.url).path[1:]
        self.user = urlsplit(self.url).username

    def execute(self, sql: str) -> None:
        """Run statements as the administrator; what they make is the user's."""
        if self.dialect == "mysql":
            # MariaDB's own defaults hold no more than three bytes a character.
            sql = f"SET NAMES utf8mb4; ALTER DATABASE `{self.name}` CHARACTER SET utf8mb4; {sql}"
        self.server.execute(sql, self.name)
        if self.dialect == "postgresql":
            self.server.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{self.user}"', self.name)


class FileDatabase:
    """An SQLite file."""

    dialect = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source.db"
        self.url = f"sqlite:///{self.path}"
        self.execute("PRAGMA user_version = 1")

    def execute(self, sql: str) -> None:
        """Run statements."""
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executescript(sql)


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def engine(request: pytest.FixtureRequest) -> EmptyDatabase:
    """Give an empty database, on each engine in turn."""
    if request.param == "sqlite":
        return FileDatabase(request.getfixturevalue("tmp_path"))
    dialect = {"postgres": "postgresql", "mariadb": "mysql"}[request.param]
    return ServerDatabase(request.getfixturevalue(request.param), dialect)
