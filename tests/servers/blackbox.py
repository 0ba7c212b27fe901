"""A real blackbox_exporter, to hold our answers against."""

from __future__ import annotations

import http.client
import signal
import urllib.parse
from contextlib import closing
from typing import TYPE_CHECKING

from servers.programs import HOST, Child, find, free_port, listening

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 30.0


class Blackbox:
    """A started blackbox_exporter with a file of modules."""

    def __init__(self, folder: Path, modules: Path) -> None:
        self.port = free_port()
        argv = [
            find("prometheus-blackbox-exporter", "blackbox_exporter"),
            f"--config.file={modules}",
            f"--web.listen-address={HOST}:{self.port}",
            "--log.level=error",
        ]
        self._child = Child(argv, folder / "blackbox.log")
        self._child.wait_ready(lambda: listening(self.port))

    def probe(self, **parameters: str) -> str:
        """Return the body of an answer of `/probe`."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", f"/probe?{urllib.parse.urlencode(parameters)}")
            return connection.getresponse().read().decode()

    def accepts(self, modules: Path) -> bool:
        """Return whether its own check takes a file of modules."""
        argv = [find("prometheus-blackbox-exporter", "blackbox_exporter"), "--config.check", f"--config.file={modules}"]
        return Child(argv, modules.with_suffix(".log")).wait() == 0

    def stop(self) -> None:
        """Stop."""
        self._child.end(signal.SIGTERM)
