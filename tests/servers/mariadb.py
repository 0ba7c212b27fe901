"""A private MariaDB server: root without a password on loopback, everybody else by password."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, ClassVar

from servers.databases import DatabaseServer, Mode
from servers.programs import HOST, find, run

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "MariaDB 10.6 or newer"
SOCKET_SECONDS = 2.0


def _account() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def initialise(folder: Path) -> Path:
    """Make a data directory that servers copy; about three seconds."""
    data = folder / "template"
    # The script is told where mariadbd is found: Debian puts it beside the daemons, off a normal user's PATH.
    find("mariadbd", PACKAGE)
    argv = [find("mariadb-install-db", PACKAGE), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    run([*argv, "--auth-root-authentication-method=normal", "--skip-name-resolve", *_account()])
    return data


class MariaDB(DatabaseServer):
    """A running MariaDB; its URLs say mysql, as the drivers do."""

    signals: ClassVar[dict[Mode, int]] = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}
    scheme = "mysql"
    default_database = "mysql"

    def _argv(self) -> list[str]:
        return [
            find("mariadbd", PACKAGE),
            "--no-defaults",
            *_account(),
            f"--datadir={self.data}",
            # A server that starts removes all temporary tables here: in a shared folder those of another too.
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={self.folder / 's'}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--character-set-server=utf8mb4",
            "--max-connections=60",
        ]

    def _ready(self) -> bool:
        # The server greets first, and only once it takes logins.
        try:
            with socket.create_connection((HOST, self.port), SOCKET_SECONDS) as client:
                client.settimeout(SOCKET_SECONDS)
                return bool(client.recv(1))
        except OSError:
            return False

    def execute(self, sql: str, database: str | None = None) -> list[tuple[str, ...]]:
        """Run statements as root (the client, stopping at the first error) and return the rows as text."""
        where = ["--protocol=tcp", f"--host={HOST}", f"--port={self.port}", "--user=root"]
        argv = [find("mariadb", PACKAGE), "--no-defaults", *where, "--batch", "--skip-column-names"]
        printed = run([*argv, database or self.default_database], stdin=sql, seconds=300)
        return [tuple(line.split("\t")) for line in printed.splitlines()]

    def _make(self, name: str, user: str, password: str) -> None:
        self.execute(
            f"CREATE DATABASE `{name}`; CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';"
            f" GRANT ALL ON `{name}`.* TO '{user}'@'%';"
        )

    def administrator_url(self, database: str | None = None) -> str:
        """Return the URL of root, who needs no password."""
        return f"mysql://root@{HOST}:{self.port}/{database or self.default_database}"
