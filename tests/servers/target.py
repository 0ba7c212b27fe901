"""Targets of probes whose health the test sets while they run: an HTTP server, and a black hole."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from servers.programs import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

HEALTHY = b'{"status": "healthy"}'
DEGRADED = b'{"status": "degraded", "checks": {"db": "healthy", "cache": "degraded"}}'


class Target:
    """An HTTP server on a loopback port, in threads of its own.

    Attributes:
        port: where it listens, also after it was closed and opened again.
        status: the status code of its answers.
        body: the body of its answers.
        requests: how many requests came, by path.
        authorizations: the Authorization headers that came, by path; None where there was none.

    """

    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.body = HEALTHY
        self.requests: dict[str, int] = {}
        self.authorizations: dict[str, str | None] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.open()

    def url(self, path: str = "/health") -> str:
        """Return the URL of a path."""
        return f"http://{HOST}:{self.port}{path}"

    def answer(self, status: int = 200, body: bytes = HEALTHY) -> None:
        """Answer like this from now on."""
        self.status, self.body = status, body

    def open(self) -> None:
        """Listen, on the port of before where there is one."""
        self._server = _Server((HOST, self.port), _handler(self))
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="target", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer: connections are refused."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def note(self, path: str, authorization: str | None) -> None:
        """Count a request."""
        with self._lock:
            self.requests[path] = self.requests.get(path, 0) + 1
            self.authorizations[path] = authorization

    def asked(self) -> int:
        """Return how many requests came in all."""
        with self._lock:
            return sum(self.requests.values())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed leave broken connections behind."""


def _handler(target: Target) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target.note(self.path, self.headers.get("Authorization"))
            status, body = target.status, target.body
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Give a port where connections are never accepted: some are made by the system, no request is answered."""
    with socket.create_server((HOST, 0), backlog=64) as listener:
        yield int(listener.getsockname()[1])
