"""A metric whose series the test sets, for a real Prometheus to scrape."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from servers.programs import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exposed:
    """Serves the gauge `broken` at /metrics, one series for each value of the label `n`."""

    def __init__(self) -> None:
        self.broken: Mapping[str, float] = {}
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="exposed", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the URL of its metrics."""
        return f"http://{HOST}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(exposed: Exposed) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = [f'broken{{n="{n}"}} {value}\n' for n, value in exposed.broken.items()]
            body = "".join(["# TYPE broken gauge\n", *lines]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
