"""What PostgreSQL and MariaDB have in common as private servers: a copied data directory, a port, start and stop."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from servers.programs import Child, ServerError, free_port, run

if TYPE_CHECKING:
    from pathlib import Path

PORT_ATTEMPTS = 3
Mode = Literal["fast", "immediate"]
_numbers = itertools.count(1)


class DatabaseServer(ABC):
    """A private database server on a loopback port, which it keeps over restarts.

    `folder` gets a copy of `template`, an initialised data directory, which is far cheaper than initialising one.
    """

    signals: ClassVar[dict[Mode, int]]
    scheme: ClassVar[str]
    default_database: ClassVar[str]

    def __init__(self, folder: Path, template: Path, user: str | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.user = user
        self.port = 0
        self._child: Child | None = None
        if user:
            shutil.chown(folder, user)
        run(["cp", "-Rp", str(template), str(self.data)], user=user)

    @abstractmethod
    def _argv(self) -> list[str]:
        """Return the server's command line."""

    @abstractmethod
    def _ready(self) -> bool:
        """Say whether the server takes statements."""

    @abstractmethod
    def execute(self, sql: str, database: str | None = None) -> list[tuple[str, ...]]:
        """Run statements as the administrator and return the rows as text; ServerError when one is refused."""

    @abstractmethod
    def _make(self, name: str, user: str, password: str) -> None:
        """Make a database and its owner."""

    @property
    def running(self) -> bool:
        """Say whether the server's process runs."""
        return self._child is not None and self._child.exit_code is None

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        if self._child is None:
            raise ServerError("The server is not started: call start() first.")
        return self._child.pid

    @property
    def log(self) -> str:
        """Return the end of the server's log."""
        return self._child.tail() if self._child else ""

    def start(self) -> None:
        """Start and wait until statements are taken; the first start chooses a free port, later ones keep it."""
        if self.running:
            return
        if self.port:
            self._launch()
            return
        for attempt in range(PORT_ATTEMPTS):
            self.port = free_port()
            try:
                self._launch()
            except ServerError:
                if attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                return

    def _launch(self) -> None:
        self._child = Child(
            self._argv(), self.folder / "log", environment={**os.environ, "LC_ALL": "C"}, user=self.user
        )
        self._child.wait_ready(self._ready)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop: `fast` ends the sessions and closes the files, `immediate` is a crash that is recovered at start."""
        if self._child is not None:
            self._child.end(self.signals[mode])
            self._child = None

    def restart(self, mode: Mode = "fast") -> None:
        """Stop and start on the same port with the same data."""
        self.stop(mode)
        self.start()

    def create_database(self, name: str | None = None) -> str:
        """Make an empty database with an owner of its own and return its URL, `scheme://user:password@host:port/name`.

        The password is asked for: a wrong one is refused.
        """
        number = next(_numbers)
        name, user, password = name or f"db_{number}", f"user_{number}", f"password-{secrets.token_hex(8)}"
        self._make(name, user, password)
        return f"{self.scheme}://{user}:{password}@127.0.0.1:{self.port}/{name}"
