"""What tests say over the wire of probes, and listeners that never answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

from exporter.wire import DONE, WAIT, Call, Send, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.wire import Step

HOST = "127.0.0.1"
REQUEST = b"ping\n"


def everyone(address: str) -> bool:
    """Let every address in."""
    del address
    return True


def call_to(port: int, host: str = HOST, **more: Any) -> Call:
    """Return a call that may go anywhere."""
    return Call(**{"host": host, "port": port, "allows": everyone, **more})


class Talk:
    """Sends a request and reads: until `until` was seen, or else until the peer closes."""

    def __init__(self, request: bytes = REQUEST, until: bytes | None = b"\n") -> None:
        self.request = request
        self.until = until
        self.came = b""
        self.pieces = 0
        self.loop = asyncio.get_running_loop()
        self.is_open = asyncio.Event()
        self.has_answer = asyncio.Event()

    def opened(self) -> Step:
        self.loop.call_soon_threadsafe(self.is_open.set)
        return Send(self.request) if self.request else WAIT

    def received(self, data: bytes) -> Step:
        self.loop.call_soon_threadsafe(self.has_answer.set)
        self.came += data
        self.pieces += 1
        return DONE if self.until is not None and self.until in self.came else WAIT

    def ended(self) -> None:
        if self.until is not None:
            raise WireError("protocol", f"the answer ended after {len(self.came)} bytes")


class Broken(Talk):
    """Raises in one of its methods, as a conversation with a mistake does."""

    def __init__(self, where: str, error: Callable[[], Exception]) -> None:
        super().__init__(until=None)
        self.where = where
        self.error = error

    def _maybe(self, where: str) -> None:
        if where == self.where:
            raise self.error()

    def opened(self) -> Step:
        self._maybe("opened")
        return super().opened()

    def received(self, data: bytes) -> Step:
        self._maybe("received")
        return super().received(data)

    def ended(self) -> None:
        self._maybe("ended")


async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one line."""
    await reader.readline()
    writer.write(b"pong\n")


@contextlib.contextmanager
def taken_by_nobody(backlog: int = 4096, host: str = HOST) -> Iterator[int]:
    """Listen, so that the system makes connections, and never accept one; yield the port."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen(backlog)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def black_hole(host: str = HOST, port: int = 0) -> Iterator[int]:
    """Listen with a queue that is full: Linux drops what comes then, as a firewall does; yield the port."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the call has no keyword
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
