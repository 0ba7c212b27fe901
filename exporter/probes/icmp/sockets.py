"""ICMP sockets, unprivileged or raw, without blocking; WireError says what the system does not let us do."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from exporter.probes.icmp.packets import LONGEST, TYPES, Echo, without_header
from exporter.wire.call import WireError

if TYPE_CHECKING:
    from exporter.model import Clock
    from exporter.probes.icmp import Options
    from exporter.wire.addresses import Address

FORBIDDEN: Final = (
    "this process may not send an echo request: give it the capability CAP_NET_RAW, or put its group into the sysctl"
    " net.ipv4.ping_group_range"
)

# Linux' numbers that the socket module does not have everywhere (linux/in.h, linux/icmp.h, linux/icmpv6.h).
_MTU_DISCOVER, _DO, _FILTER, _FILTER6, _RECVTTL = 10, 2, 1, 1, 12
_SOL_RAW: Final = 255
_C_INT: Final = 4


def opened(options: Options, found: Address) -> socket.socket:
    """Return a socket that is ready to send to an address."""
    ping = _socket(found.family)
    try:
        ping.setblocking(False)  # noqa: FBT003 -- the socket's own signature
        _set(ping, options)
        _bind(ping, options.source_ip)
        # The system then hands on what comes from there, and tells of hosts that cannot be reached.
        ping.connect(found.with_port(0))
    except WireError:
        ping.close()
        raise
    except OSError as error:
        ping.close()
        raise WireError("connect", f"{found.host} cannot be reached: {_words(error)}") from None
    return ping


def _bind(ping: socket.socket, source: str | None) -> None:
    if source is None:
        return
    try:
        ping.bind((source, 0))
    except OSError as error:
        raise WireError("system", f"nothing can be sent from the source_ip {source}: {_words(error)}") from None


def _socket(family: socket.AddressFamily) -> socket.socket:
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        except OSError as error:
            if error.errno not in {errno.EPROTONOSUPPORT, errno.EPROTOTYPE}:
                raise WireError("system", f"no ICMP socket could be opened: {_words(error)}") from None
    raise WireError("system", FORBIDDEN)


def _set(ping: socket.socket, options: Options) -> None:
    is_v4 = ping.family == socket.AF_INET
    if options.ttl is not None:
        level, name = (socket.IPPROTO_IP, socket.IP_TTL) if is_v4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        ping.setsockopt(level, name, options.ttl)
    if options.dont_fragment and is_v4:
        ping.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _DO)
    with suppress(OSError, AttributeError):  # the limit is then not shown
        if is_v4:
            ping.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_RECVTTL", _RECVTTL), 1)
        else:
            ping.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    if ping.type == socket.SOCK_RAW and sys.platform == "linux":
        _filter(ping, TYPES[ping.family][1])


def _filter(ping: socket.socket, reply: int) -> None:
    """Let only replies through: a raw socket gets a copy of all ICMP of this host."""
    if ping.family == socket.AF_INET:
        ping.setsockopt(_SOL_RAW, _FILTER, struct.pack("=I", ~(1 << reply) & 0xFFFFFFFF))
        return
    blocked = [0xFFFFFFFF] * 8
    blocked[reply >> 5] &= ~(1 << (reply & 31))
    ping.setsockopt(socket.IPPROTO_ICMPV6, _FILTER6, struct.pack("=8I", *blocked))


async def answered(
    ping: socket.socket, host: str, echo: Echo, clock: Clock, timeout: float
) -> tuple[int | None, float]:
    """Send the request and return the hop limit of the host's reply and the seconds to it. Raises TimeoutError."""
    began = clock.monotonic()
    wanted = socket.inet_pton(ping.family, host)
    try:
        async with asyncio.timeout(max(0.0, timeout)):
            await asyncio.get_running_loop().sock_sendall(ping, echo.request)
            while True:
                sender, message, hop_limit = await _received(ping)
                # Linux hands an unprivileged socket the replies of any host.
                if sender == wanted and echo.is_answered_by(message):
                    return hop_limit, clock.monotonic() - began
                # What lies ready is read without waiting: neither the deadline nor anything else would have its turn.
                await asyncio.sleep(0)
    except TimeoutError:
        raise
    except OSError as error:
        if error.errno == errno.EMSGSIZE:
            raise WireError("value", "the request is longer than its way takes: make payload_size less") from None
        raise WireError("connect", f"the host cannot be reached: {_words(error)}") from None


async def _received(ping: socket.socket) -> tuple[bytes, bytes, int | None]:
    """Return who sent a message, the message without the header of IPv4, and its hop limit."""
    while True:
        try:
            data, extras, _, sender = ping.recvmsg(LONGEST, 64)
        except BlockingIOError:
            await _readable(ping)
            continue
        packed = socket.inet_pton(ping.family, sender[0].partition("%")[0])
        if ping.family == socket.AF_INET and _has_header(ping):
            return packed, *without_header(data)
        limits = (int.from_bytes(value, sys.byteorder) for _, _, value in extras if len(value) == _C_INT)
        return packed, data, next(limits, None)


def _has_header(ping: socket.socket) -> bool:
    """Return whether messages begin with the header of IPv4: of raw sockets, and on macOS of the others too."""
    return ping.type == socket.SOCK_RAW or sys.platform == "darwin"


async def _readable(ping: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def come() -> None:
        loop.remove_reader(ping)
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(ping, come)
    try:
        await ready
    finally:
        loop.remove_reader(ping)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
