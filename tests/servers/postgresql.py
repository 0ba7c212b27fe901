"""A private PostgreSQL server: no socket files, the administrator trusted, everybody else by password (SCRAM)."""

from __future__ import annotations

import csv
import io
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from servers.databases import DatabaseServer, Mode
from servers.programs import HOST, find, run

ADMINISTRATOR = "postgres"
HBA = f"""\
host all {ADMINISTRATOR} {HOST}/32 trust
host all all {HOST}/32 scram-sha-256
"""
# fsync=off only forgets data when the machine itself dies; synchronous_commit stays on, as the store asks for it.
SETTINGS = f"""\
listen_addresses = '{HOST}'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 60
shared_buffers = 32MB
log_destination = stderr
logging_collector = off
"""


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, of the newest version that Debian's layout holds."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return find(name, "PostgreSQL 15 or newer", *versions)


def owner() -> str | None:
    """Return the user the server runs as: PostgreSQL refuses root, so root starts it as `postgres` (or `nobody`)."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def initialise(folder: Path) -> Path:
    """Make a data directory that servers copy; about a second."""
    data, user = folder / "template", owner()
    if user:
        shutil.chown(folder, user)
    run(
        [program("initdb"), "-D", str(data), "-U", ADMINISTRATOR, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        user=user,
    )
    (data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
    with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    return data


class PostgreSQL(DatabaseServer):
    """A running PostgreSQL."""

    signals: ClassVar[dict[Mode, int]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
    scheme = "postgresql"
    default_database = "postgres"

    def __init__(self, folder: Path, template: Path) -> None:
        super().__init__(folder, template, owner())

    def _argv(self) -> list[str]:
        return [program("postgres"), "-D", str(self.data), "-p", str(self.port)]

    def _ready(self) -> bool:
        argv = [program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port), "-t", "2"]
        return subprocess.run(argv, check=False, timeout=10).returncode == 0

    def execute(self, sql: str, database: str | None = None) -> list[tuple[str, ...]]:
        """Run statements as the administrator (psql, stopping at the first error) and return the rows as text."""
        where = ["-h", HOST, "-p", str(self.port), "-U", ADMINISTRATOR, "-d", database or self.default_database]
        argv = [program("psql"), "-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1", *where]
        return [tuple(row) for row in csv.reader(io.StringIO(run(argv, stdin=sql, seconds=300)))]

    def _make(self, name: str, user: str, password: str) -> None:
        self.execute(f'CREATE ROLE "{user}" LOGIN PASSWORD \'{password}\'; CREATE DATABASE "{name}" OWNER "{user}";')

    def administrator_url(self, database: str | None = None) -> str:
        """Return the URL of the superuser, who needs no password."""
        return f"postgresql://{ADMINISTRATOR}@{HOST}:{self.port}/{database or self.default_database}"
