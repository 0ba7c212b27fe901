"""A name server for tests, over UDP and TCP on one loopback port, that answers right or wrong as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from servers.tls import taken

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

HOST = "127.0.0.1"
ATTEMPTS = 20
DATAGRAM = 512
"""Bytes of a datagram without EDNS (RFC 1035 2.3.4)."""

Mode = Literal[
    "answer",
    "closing",
    "cut",
    "dripping",
    "endless",
    "garbage",
    "late",
    "silent",
    "truncated",
    "wrong id",
    "wrong question",
    "wrong source",
]


@dataclass
class NameServer:
    """What a server knows, and how it behaves; both may change while it runs.

    `zone` maps a name and a type to lines of data. A name that it does not have is NXDOMAIN, one without records of
    the type has an answer without records. `rcode` overrides that. The modes:

    - `answer`: as it should; over UDP, what does not fit into 512 bytes is cut off with the TC flag.
    - `truncated`: over UDP always TC and nothing else; over TCP as it should.
    - `cut`: over UDP TC with half a message, as some servers do; over TCP as it should.
    - `wrong id`, `wrong question`, `garbage`, `wrong source`: first such a message, then the right one where `mends`.
    - `late`: the right message when `release` is set.
    - `closing`: over TCP half the message and the end; `dripping`: byte by byte; `endless`: messages to nobody's
      question without end.
    """

    zone: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    authority: list[str] = field(default_factory=list)
    additional: list[str] = field(default_factory=list)
    mode: Mode = "answer"
    mends: bool = False
    rcode: str | None = None
    port: int = 0
    tls_port: int = 0
    asked: list[dns.message.Message] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    transports: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def respond(self, question: dns.message.Message) -> dns.message.Message:
        """Return the right answer."""
        found = dns.message.make_response(question)
        asked = question.question[0]
        name, kind = str(asked.name).lower(), dns.rdatatype.to_text(asked.rdtype)
        data = self.zone.get((name, kind), [])
        if data:
            found.answer.append(dns.rrset.from_text(asked.name, 300, asked.rdclass, asked.rdtype, *data))
        for section, lines in ((found.authority, self.authority), (found.additional, self.additional)):
            for line in lines:
                owner, type_, text = line.split(" ", 2)
                section.append(dns.rrset.from_text(owner, 300, "IN", type_, text))
        known = any(owner == name for owner, _ in self.zone)
        found.set_rcode(dns.rcode.from_text(self.rcode or ("NOERROR" if known else "NXDOMAIN")))
        return found

    def wrong(self, question: dns.message.Message) -> bytes | None:
        """Return what comes before or instead of the right answer in this mode."""
        if self.mode == "garbage":
            return b"\xff" * 40
        answer = self.respond(question)
        if self.mode == "wrong id":
            answer.id ^= 0x5555
        elif self.mode == "wrong question":
            answer.question[0] = dns.rrset.RRset(
                dns.name.from_text("elsewhere.example."), dns.rdataclass.IN, dns.rdatatype.A
            )
        else:
            return None
        return answer.to_wire()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer, tasks: set[asyncio.Task[None]]) -> None:
        self.server = server
        self.tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._answer(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        server = self.server
        question = dns.message.from_wire(data)
        server.asked.append(question)
        server.peers.append(addr)
        server.transports.append("udp")
        if server.mode == "silent":
            return
        if server.mode == "late":
            await server.release.wait()
        right = server.respond(question).to_wire()
        if server.mode in {"truncated", "cut"} or len(right) > DATAGRAM:
            self._say(self._cut_off(question, right), addr)
            return
        if server.mode == "wrong source":
            self._say_from_elsewhere(right, addr)
        if (wrong := server.wrong(question)) is not None:
            self._say(wrong, addr)
        if server.mode in {"answer", "late"} or server.mends:
            self._say(right, addr)

    def _cut_off(self, question: dns.message.Message, right: bytes) -> bytes:
        if self.server.mode == "cut":
            flags = struct.unpack_from("!H", right, 2)[0] | dns.flags.TC
            return right[:2] + struct.pack("!H", flags) + right[4 : len(right) - 3]
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.TC
        return answer.to_wire()

    def _say(self, data: bytes, addr: tuple[str, int]) -> None:
        cast("asyncio.DatagramTransport", self.transport).sendto(data, addr)

    def _say_from_elsewhere(self, data: bytes, addr: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((HOST, 0))
            other.sendto(data, addr)


async def _stream(server: NameServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    question = dns.message.from_wire(await reader.readexactly(length))
    server.asked.append(question)
    server.peers.append(writer.get_extra_info("peername")[:2])
    server.transports.append("tls" if writer.get_extra_info("ssl_object") else "tcp")
    if server.mode == "late":
        await server.release.wait()
    right = _framed(server.respond(question).to_wire())
    if server.mode == "endless":
        stray = _framed(b"\0" * 60_000)
        while True:
            writer.write(stray)
            await writer.drain()
    if (wrong := server.wrong(question)) is not None:
        writer.write(_framed(wrong))
    if server.mode == "closing":
        writer.write(right[: len(right) // 2])
        return
    if server.mode == "dripping":
        await _drip(writer, right)
    elif server.mode in {"answer", "late", "truncated", "cut"} or server.mends:
        writer.write(right)
    await writer.drain()
    await reader.read(1)  # until the client closes


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    for byte in data:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)


def _framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


@contextlib.asynccontextmanager
async def serving(
    server: NameServer, *, context: ssl.SSLContext | None = None, host: str = HOST
) -> AsyncIterator[NameServer]:
    """Serve on a free port, the same for UDP and TCP, and over TLS on another where there is a context."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await _stream(server, reader, writer)
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async with contextlib.AsyncExitStack() as ends:
        listeners = []
        transport, listener = await _both(server, tasks, handle, host)
        ends.callback(transport.close)
        listeners.append(listener)
        server.port = listener.sockets[0].getsockname()[1]
        if context is not None:
            listeners.append(await asyncio.start_server(handle, host, 0, ssl=context))
            server.tls_port = listeners[1].sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            server.release.set()
            await taken()
            await asyncio.sleep(0)  # a handler that is cancelled before its first step closes nothing
            for one in listeners:
                one.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _both(
    server: NameServer, tasks: set[asyncio.Task[None]], handle: Callable[..., Any], host: str
) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
    """Return listeners for UDP and TCP on one port, which another program may hold for one of them."""
    loop = asyncio.get_running_loop()
    for _ in range(ATTEMPTS):
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: _Datagrams(server, tasks), local_addr=(host, 0)
        )
        port = transport.get_extra_info("sockname")[1]
        try:
            return transport, await asyncio.start_server(handle, host, port)
        except OSError:
            transport.close()
    raise OSError("no port is free for both UDP and TCP")
