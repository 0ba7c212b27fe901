"""A server that speaks as the Docker engine does on its unix socket, and one that answers it badly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

LONGEST_STOP = 3600


@dataclass
class Container:
    """A container as the engine keeps it. `trouble` is the code and the message with which it refuses a restart."""

    id: str
    name: str
    state: dict[str, Any] = field(default_factory=dict)
    restart_count: int = 0
    restarts: int = 0
    trouble: tuple[int, str] | None = None

    def document(self) -> dict[str, Any]:
        """Return what `GET /containers/NAME/json` answers, with the keys that matter here and some that do not."""
        state = {
            "Status": "running",
            "Running": True,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "Pid": 4711,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": "2026-11-26T12:00:00.000000000Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
        }
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "RestartCount": self.restart_count,
            "State": state | self.state,
            "Config": {"Env": ["PATH=/bin"], "Labels": {"com.example": "x" * 100_000}},
        }


class Engine:
    """The engine: containers by name, and the requests that came as method and path with query."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, Container] = {}
        self.requests: list[str] = []
        self._numbers = itertools.count(1)

    def add(self, name: str, *, id: str | None = None, **state: Any) -> Container:  # noqa: A002 - the API's word
        """Add a container that runs, but for what is said of its state."""
        made = Container(id or f"{next(self._numbers):064x}", name, state)
        self.containers[name] = made
        return made

    def _found(self, word: str) -> Container:
        """Return a container by its id, its name, or the beginning of its id, in this order, as the engine does."""
        every = self.containers.values()
        begun = [one for one in every if one.id.startswith(word)]
        for fitting in ([one for one in begun if one.id == word], [one for one in every if one.name == word]):
            if fitting:
                return fitting[0]
        if len(begun) > 1:
            raise _error(400, f"multiple IDs found with provided prefix: {word}")
        if not begun:
            raise _error(404, f"No such container: {word}")
        return begun[0]

    async def inspect(self, request: web.Request) -> web.Response:
        """Answer `GET /containers/NAME/json`."""
        self.requests.append(f"{request.method} {request.path_qs}")
        return web.json_response(self._found(request.match_info["name"]).document())

    async def restart(self, request: web.Request) -> web.Response:
        """Answer `POST /containers/NAME/restart?t=SECONDS`."""
        self.requests.append(f"{request.method} {request.path_qs}")
        found = self._found(request.match_info["name"])
        if found.trouble is not None:
            raise _error(*found.trouble)
        assert 0 <= int(request.query["t"]) <= LONGEST_STOP
        found.restarts += 1
        found.restart_count = 0
        found.state = {"Health": {"Status": "starting"}} if "Health" in found.state else {}
        return web.Response(status=204)


def _error(code: int, message: str) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 403: web.HTTPForbidden, 404: web.HTTPNotFound, 409: web.HTTPConflict}
    kind = kinds.get(code, web.HTTPInternalServerError)
    return kind(text=web.json_response({"message": message}).text, content_type="application/json")


@contextlib.asynccontextmanager
async def engine(socket: Path) -> AsyncIterator[Engine]:
    """Start an engine at a socket, and end it."""
    made = Engine(socket)
    application = web.Application()
    application.router.add_get("/containers/{name}/json", made.inspect)
    application.router.add_post("/containers/{name}/restart", made.restart)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        yield made
    finally:
        await runner.cleanup()


@dataclass
class BadEngine:
    """What answers at a socket in a bad manner: raw bytes by method, None for no answer ever.

    `begun` is set when a request came, `over` when no connection is open any more.
    """

    answers: Mapping[str, bytes | None]
    requests: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0

    def __post_init__(self) -> None:
        """Begin without a connection."""
        self.over.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        self.connections += 1
        self.over.clear()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            self.requests.append(f"{method} {path}")
            self.begun.set()
            raw = self.answers[method]
            if raw is None:
                await reader.read()
            else:
                writer.write(raw)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.connections -= 1
        if not self.connections:
            self.over.set()


@contextlib.asynccontextmanager
async def bad_engine(socket: Path, **answers: bytes | None) -> AsyncIterator[BadEngine]:
    """Listen at a socket and answer each method with its bytes."""
    made = BadEngine(answers)
    server = await asyncio.start_unix_server(made.handle, str(socket))
    try:
        yield made
    finally:
        server.close()
        await made.over.wait()
