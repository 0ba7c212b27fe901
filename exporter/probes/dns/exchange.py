"""A question and its answer over the network: a datagram of our own, or the wire's connection."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.probes.dns import messages
from exporter.wire.addresses import numeric
from exporter.wire.call import DONE, WAIT, Call, Send, Step, TlsFacts, WireError
from exporter.wire.tls import client_context

if TYPE_CHECKING:
    from exporter.model import ProbeParts
    from exporter.probes.dns.options import Options

DATAGRAM: Final = 65535
STRAYS: Final = 1000
"""Datagrams that are passed over while an answer is awaited: each is read here, and a server may send them on end."""
STREAM_LIMIT: Final = 1024 * 1024
"""Bytes that are taken from one connection: sixteen of the longest messages."""


def left(timeout: float, spent: float) -> float:
    """Return the seconds that are left of a timeout, to the hundredth: sentences tell them."""
    return round(max(0.0, timeout - spent), 2)


@dataclass(slots=True)
class Exchange:
    """What was learned on the way, also when it ended early. `connect` and `request` are in seconds."""

    options: Options
    address: str
    parts: ProbeParts
    connect: float = 0.0
    request: float = 0.0
    tls: TlsFacts | None = None
    strays: int = 0

    async def ask(self, timeout: float, spent: float) -> messages.Answer:
        """Return the server's answer; WireError says why there is none in `timeout` seconds less those `spent`."""
        began = self.parts.clock.monotonic() - spent
        if self.options.transport == "udp" and not self.options.dns_over_tls:
            answer = await self._by_datagram(left(timeout, spent))
            if answer is not None:
                return answer
            self.parts.explain("the answer was cut off: ask again over TCP")
        return await self._by_stream(left(timeout, self.parts.clock.monotonic() - began))

    async def _by_datagram(self, timeout: float) -> messages.Answer | None:
        """Return the answer; None when it was cut off."""
        number = secrets.randbelow(1 << 16)
        asked = messages.question(self.options, number)
        began = self.parts.clock.monotonic()
        with self._socket() as udp:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.get_running_loop().sock_sendall(udp, asked)
                    return await self._answer(udp, asked, number)
            except TimeoutError:
                strays = f", only {self.strays} that belonged to no question of ours" if self.strays else ""
                raise WireError("timeout", f"no answer from {self._where()} within {timeout:g} s{strays}") from None
            except OSError as error:
                raise WireError("connect", f"{self._where()} {_reason(error)}") from None
            finally:
                self.request += self.parts.clock.monotonic() - began

    def _socket(self) -> socket.socket:
        """Return a connected socket: the system then drops what others send to its random port."""
        found = numeric(self.address)
        if found is None:  # an interface that went away meanwhile
            raise WireError("connect", f"{self.address} is no address of this host's networks")
        try:
            udp = socket.socket(found.family, socket.SOCK_DGRAM)
        except OSError as error:
            raise WireError("system", f"no socket could be opened: {error.strerror or error}") from None
        try:
            udp.setblocking(False)  # noqa: FBT003 -- the socket's own signature
            self._bind(udp)
            udp.connect(found.with_port(self.options.address.port))
        except WireError:
            udp.close()
            raise
        except OSError as error:
            udp.close()
            raise WireError("connect", f"{self._where()} {_reason(error)}") from None
        return udp

    def _bind(self, udp: socket.socket) -> None:
        source = self.options.source_ip
        if source is None:
            return
        try:
            udp.bind((source, 0))
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise WireError("system", f"nothing can be sent from the source_ip {source}: {words}") from None

    async def _answer(self, udp: socket.socket, asked: bytes, number: int) -> messages.Answer | None:
        """Wait for the answer; anybody may send to a port, so what does not belong to the question is passed over."""
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(udp, DATAGRAM)
            if messages.is_answer(data, number):
                if messages.is_truncated(data):
                    return None
                try:
                    return messages.read(self.options, asked, data)
                except messages.NoAnswerError as error:
                    self.parts.explain(f"the server {error}: wait for another")
            self.strays += 1
            if self.strays >= STRAYS:
                raise WireError(
                    "protocol", f"{self._where()} sent {STRAYS} datagrams that belong to no question of ours"
                )
            # What lies ready is read without waiting: neither the deadline nor anything else would have its turn.
            await asyncio.sleep(0)

    async def _by_stream(self, timeout: float) -> messages.Answer:
        number = secrets.randbelow(1 << 16)
        asked = messages.question(self.options, number)
        dialogue = _Dialogue(asked, number)
        outcome = await self.parts.wire.call(self._call(), dialogue, timeout)
        phases = outcome.phases
        self.connect += phases.get("connect", 0.0) + phases.get("tls", 0.0)
        self.request += phases.get("processing", 0.0) + phases.get("transfer", 0.0)
        self.tls = outcome.tls
        if outcome.error is not None:
            raise outcome.error
        try:
            return messages.read(self.options, asked, dialogue.answer)
        except messages.NoAnswerError as error:
            raise WireError("protocol", f"the server {error}") from None

    def _call(self) -> Call:
        options = self.options
        try:
            context = client_context(options.tls_config) if options.dns_over_tls else None
        except ValueError as error:
            raise WireError("config", str(error)) from None
        named = options.tls_config.server_name if options.tls_config is not None else None
        return Call(
            host=self.address,
            port=options.address.port,
            context=context,
            server_name=named or options.address.host,
            source=options.source_ip,
            allows=self.parts.allows,
            explain=self.parts.explain,
        )

    def _where(self) -> str:
        return f"{self.address} port {self.options.address.port}"


class _Dialogue:
    """DNS on a connection: each message has its length before it (RFC 1035 4.2.2)."""

    def __init__(self, asked: bytes, number: int) -> None:
        self.answer = b""
        self._asked = asked
        self._number = number
        self._buffer = bytearray()
        self._total = 0

    def opened(self) -> Step:
        return Send(struct.pack("!H", len(self._asked)) + self._asked)

    def received(self, data: bytes) -> Step:
        self._buffer += data
        self._total += len(data)
        while len(self._buffer) >= 2:  # noqa: PLR2004 -- the length's own two bytes
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[2:end])
            del self._buffer[:end]
            if messages.is_answer(message, self._number):
                self.answer = message
                return DONE
        if self._total > STREAM_LIMIT:
            raise WireError("protocol", f"{STREAM_LIMIT >> 20} MiB came and no answer to the question among them")
        return WAIT

    def ended(self) -> None:
        raise WireError("protocol", "the server closed the connection before its answer was whole")


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused the question: nothing listens there, or a firewall rejects it"
    return f"cannot be asked: {(error.strerror or str(error)).lower()}"
