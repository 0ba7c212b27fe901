"""Promises that kinds of several families keep, and a bad server to hold them to."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from exporter.config.options import facts_of
from exporter.config.schema import entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from types import ModuleType

GARBAGE = bytes(range(256)) * 16


def is_explained(module: ModuleType, *offers: str) -> None:
    """Assert that a kind, what it offers and each of its options say what they are, and that the options are frozen."""
    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith(".")
    for name in offers:
        assert inspect.getdoc(getattr(module, name)), name
    for options in _options_classes(module.Options):
        assert options.__dataclass_params__.frozen, options
        assert options.__doc__, options
        for one in dataclasses.fields(options):
            assert facts_of(one).help.endswith("."), f"{options.__name__}.{one.name}"


def _options_classes(options: Any) -> Iterator[Any]:
    yield options
    for entry in entries(options):
        for inner in (entry.type, *get_args(entry.type)):
            if dataclasses.is_dataclass(inner):
                yield from _options_classes(inner)


def files_of(folder: Path, word: str) -> list[Path]:
    """Return the files of a kind: its module, or those of its package."""
    found = folder / f"{word}.py"
    return [found] if found.exists() else sorted((folder / word).glob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the names that a module imports, also those behind `from package import`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{one.name}" for one in node.names)}
    return names


@dataclass
class Peer:
    """A server in a bad manner (hung, closing, garbage), and how many connections to it are open."""

    manner: str
    port: int = 0
    connections: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Begin without a connection."""
        self.over.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.connections += 1
        self.over.clear()
        self.begun.set()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            writer.write(GARBAGE if self.manner == "garbage" else b"")
            while self.manner != "closing" and await reader.read(65536):
                pass
        writer.transport.abort()
        self.connections -= 1
        if not self.connections:
            self.over.set()


@contextlib.asynccontextmanager
async def peer(manner: str, socket: Path) -> AsyncIterator[Peer]:
    """Start a bad server at a free port of loopback and at a unix socket, and end it."""
    made = Peer(manner)
    servers = [
        await asyncio.start_server(made.handle, "127.0.0.1", 0),
        await asyncio.start_unix_server(made.handle, str(socket)),
    ]
    made.port = servers[0].sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        for server in servers:
            server.close()
