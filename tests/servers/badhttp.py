"""An HTTP server that answers well, badly, or not at all, as the path of the request asks; plain or with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import zlib
from typing import TYPE_CHECKING

from servers.tls import taken

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Behaviour = Callable[["BadHttp", asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]

HOST = "127.0.0.1"
SECONDS = 10.0
MIB = 1024 * 1024
# SO_LINGER of zero seconds: closing sends RST instead of FIN (tcp(7), socket(7)).
LINGER = struct.pack("ii", 1, 0)


def answer(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return an answer with its length; another length lies."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """Return an answer in chunks, without the last one."""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed


def gzipped(data: bytes) -> bytes:
    """Return data compressed with gzip."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return compressor.compress(data) + compressor.flush()


RAW: dict[str, bytes] = {
    "/ok": answer(b"all fine"),
    "/healthy": answer(b'{"status": "healthy"}', "Content-Type: application/json"),
    "/unhealthy": answer(b'{"status": "unhealthy"}', "Content-Type: application/json"),
    "/unhealthy-part": answer(
        b'{"status": "healthy", "checks": {"db": "unhealthy", "cache": "healthy"}}', "Content-Type: application/json"
    ),
    "/unavailable-but-ok": answer(b'{"status": "ok"}', status="503 Service Unavailable"),
    "/moved-nowhere": answer(status="302 Found"),
    "/no-status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "/http09": b"<html>an answer of HTTP/0.9</html>",
    "/http2": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/garbage": bytes(range(256)) * 4,
    "/ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "/closed": b"",
    "/cut-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/cut-body": answer(b"0123456789", length=100),
    "/cut-chunks": chunked(b"0123456789"),
    "/cut-gzip": answer(gzipped(b"0123456789" * 100)[:-12], "Content-Encoding: gzip"),
    "/chunks": chunked(b"all ", b"fine") + b"0\r\n\r\n",
    "/bad-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nall fine\r\n0\r\n\r\n",
    "/long-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall fine\r\n0\r\n\r\n",
    "/no-length": b"HTTP/1.0 200 OK\r\n\r\nall fine",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Length: 80\r\n\r\nall fine",
    "/more-than-said": answer(b"all fine and then some", length=8),
    "/big-head": answer(b"all fine", "X-Big: " + "x" * 70_000),
    "/cookies": answer(b"all fine", *(f"Set-Cookie: c{number}={'x' * 40}" for number in range(1000))),
    "/gzip": answer(gzipped(b"all fine"), "Content-Encoding: gzip"),
    "/not-gzip": answer(b"all fine", "Content-Encoding: gzip"),
    # Members of a gzip file follow each other: 1 GiB in a MiB.
    "/bomb": answer(gzipped(bytes(64 * MIB)) * 16, "Content-Encoding: gzip"),
    "/long": answer(b"x" * (2 * MIB)),
    "/html": answer(b"<script>alert(1)</script>", "Content-Type: text/html", status="500 <b>Oops</b>"),
}


class BadHttp:
    """A server on a free port of loopback.

    Attributes:
        port: where it listens.
        requests: the requests that came, head and body.
        extra: further answers by path.
        connections: how many connections were made.
        taken: set when the first request came.
        released: answers of `/waiting` are held until it is set.

    """

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.port = 0
        self.requests: list[bytes] = []
        self.extra: dict[str, bytes] = {}
        self.connections = 0
        self.taken = asyncio.Event()
        self.released = asyncio.Event()

    def url(self, path: str, host: str = HOST) -> str:
        """Return the URL of a path."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and behave as its path asks."""
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if line)
        body = await reader.readexactly(int(fields.get("Content-Length", "0")))
        self.requests.append(head + body)
        self.taken.set()
        method, target, _ = head.decode("latin-1").split(" ", 2)
        path = target.partition("?")[0]
        if method == "CONNECT":
            await _tunnel(reader, writer, target)
            return
        raw = self.extra.get(path, RAW.get(path))
        if raw is not None:
            writer.write(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else raw)
            return
        await _behaviour(path)(self, reader, writer, path)


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[BadHttp]:
    """Start a server, with TLS where there is a context, and end it and its connections."""
    bad = BadHttp("http" if context is None else "https")
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await bad.handle(reader, writer)
                await writer.drain()
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, HOST, 0, ssl=context)
    bad.port = server.sockets[0].getsockname()[1]
    try:
        yield bad
    finally:
        await taken()
        # A handler that is cancelled before its first step closes nothing.
        await asyncio.sleep(0)
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _silent(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Take the request and never answer."""
    while await reader.read(65536):
        pass


async def _reset(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send RST: at once, or in the middle of the body."""
    if path == "/reset-body":
        writer.write(answer(b"0123456789", length=100))
        await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    writer.transport.abort()


async def _half_closed(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send half an answer, close one side and stay."""
    writer.write(answer(b"0123456789", length=100))
    writer.write_eof()
    await _silent(bad, reader, writer, path)


async def _drip(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send a whole answer in pieces of one byte."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in RAW["/chunks" if path == "/drip-chunks" else "/ok"]:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)


async def _trickle(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send a byte of a body now and then, without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _endless(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send without end: a body, chunks, tiny chunks, a header, one line of it, informational answers."""
    head, piece = {
        "/endless-body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096),
        "/endless-chunks": (chunked(), b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        "/endless-extensions": (chunked(), b"1;" + b"e" * 2000 + b"\r\nx\r\n"),
        "/endless-trailers": (chunked() + b"0\r\n", b"T: t\r\n" * 100),
        "/endless-head": (b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n" * 100),
        "/endless-line": (b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 4096),
        "/endless-continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        "/endless-gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzipped(b"") * 200),
    }[path]
    writer.write(head)
    while True:
        writer.write(piece)
        await writer.drain()


async def _redirect(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Lead on: `/redirect/N` to N - 1 and at last to `/ok`, `/loop/a` to b to a."""
    word = path.rpartition("/")[2]
    onward = {"a": "/loop/b", "b": "/loop/a", "0": "/ok"}.get(word) or f"/redirect/{int(word) - 1}"
    writer.write(answer(b"elsewhere", f"Location: {onward}", status="302 Found"))


async def _waiting(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Answer when the test says so."""
    await asyncio.wait_for(bad.released.wait(), SECONDS)
    writer.write(RAW["/ok"])


async def _status(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Answer with the code of the path."""
    code = path.rpartition("/")[2]
    writer.write(f"HTTP/1.1 {code} Whatever\r\n\r\n".encode() if code in {"204", "304"} else answer(status=f"{code} X"))


async def _missing(bad: BadHttp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(answer(b"no such page", status="404 Not Found"))


_BEHAVIOURS: dict[str, Behaviour] = {
    "/silent": _silent,
    "/reset": _reset,
    "/half-closed": _half_closed,
    "/drip": _drip,
    "/trickle": _trickle,
    "/endless": _endless,
    "/redirect/": _redirect,
    "/loop/": _redirect,
    "/waiting": _waiting,
    "/status/": _status,
}


def _behaviour(path: str) -> Behaviour:
    return next((behave for prefix, behave in _BEHAVIOURS.items() if path.startswith(prefix)), _missing)


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    """Be a proxy: connect to what is on loopback and join the two."""
    host, _, port = target.rpartition(":")
    if host != HOST:
        writer.write(answer(status="403 Forbidden"))
        return
    onward_reader, onward_writer = await asyncio.open_connection(HOST, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                drain.write(piece)
                await drain.drain()
            drain.write_eof()

    try:
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))
    finally:
        onward_writer.close()
