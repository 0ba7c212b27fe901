"""A socket on the wire's thread: what is watched for, what is still to be sent, how long each phase took."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from exporter.wire import reasons
from exporter.wire.poller import READ, WRITE

if TYPE_CHECKING:
    from exporter.wire.addresses import Address
    from exporter.wire.call import WireError
    from exporter.wire.engine import Engine

CHUNK: Final = 64 * 1024
"""Bytes that are read at once."""
_BEGUN: Final = {errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}
_STREAM: Final = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)
_MUST_SET: Final = not hasattr(socket, "SOCK_NONBLOCK")


class Line:
    """The lower half of a connection. Phases are in seconds, moments in seconds of the engine's clock."""

    __slots__ = (
        "_broken",
        "_deadline",
        "_engine",
        "_fd",
        "_is_open",
        "_mask",
        "_phase",
        "_phases",
        "_quiet",
        "_since",
        "_socket",
        "_tick",
        "_unsent",
        "_until",
        "over",
    )

    _engine: Engine
    _since: float
    _deadline: float
    _until: float
    _socket: socket.SocketType

    def __init__(self) -> None:
        self.over = False
        self._broken: OSError | None = None
        self._is_open = False
        self._mask = 0
        self._phase = ""
        self._phases: dict[str, float] = {}
        self._quiet = False
        self._tick = 0
        self._unsent: bytearray | None = None

    def ready(self, mask: int, now: float) -> None:
        """Do what can be done on the socket; `now` is when it became known."""
        raise NotImplementedError

    def late(self, now: float) -> None:
        """Do what must be done when the time is over."""
        raise NotImplementedError

    def end(self, error: WireError) -> None:
        """Close, and tell that this is why."""
        raise NotImplementedError

    def _enter(self, engine: Engine, timeout: float) -> float:
        """Begin to count the time; return the moment."""
        self._engine = engine
        self._since = now = engine.now()
        self._deadline = self._until = now + timeout
        self._tick = engine.deadlines.put(self, self._deadline)
        return now

    def _be_late_at(self, when: float) -> None:
        """Be told that it is late earlier than at the deadline, or at the deadline again."""
        until = min(when, self._deadline)
        if until != self._until:
            deadlines = self._engine.deadlines
            deadlines.take(self, self._tick)
            self._tick = deadlines.put(self, until)
            self._until = until

    def _turn(self, phase: str, ended: float, begins: float) -> None:
        """End a phase and begin another: they may be apart, by what this thread was late."""
        before = self._phase
        if before:
            phases = self._phases
            phases[before] = phases.get(before, 0.0) + max(0.0, ended - self._since)
        self._phase = phase
        self._since = begins

    def _dial(self, address: Address, port: int, source: str | None) -> int:
        """Begin a connection; return 0 when it is made already, EINPROGRESS when it is under way, else the error."""
        try:
            # The type below socket.socket: the same without what files made of sockets need, and faster.
            sock = self._socket = socket.SocketType(address.family, _STREAM)
            self._is_open = True
            self._fd = sock.fileno()
            if _MUST_SET:
                sock.setblocking(False)  # noqa: FBT003 - the call has no keyword
            if source is not None:
                sock.bind((source, 0))
            code = sock.connect_ex(address.with_port(port))
        except OSError as error:
            code = error.errno or errno.EADDRNOTAVAIL
        if code in _BEGUN:
            engine = self._engine
            engine.poller.await_connection(self._fd)
            engine.lines[self._fd] = self
            self._mask, self._quiet = WRITE, engine.poller.tells_answers
            return errno.EINPROGRESS
        return code

    def _watch(self) -> None:
        """Watch for what is awaited now."""
        wanted = READ | WRITE if self._unsent else READ
        # While nothing came yet, the poll that told of the connection tells of the answer too.
        if wanted == self._mask or (self._quiet and wanted == READ):
            return
        engine = self._engine
        self._quiet = False
        if self._mask:
            engine.poller.modify(self._fd, wanted)
        else:
            engine.poller.register(self._fd, wanted)
            engine.lines[self._fd] = self
        self._mask = wanted

    def _push(self, data: bytes) -> None:
        """Send what can be sent at once and keep the rest, in order."""
        unsent = self._unsent
        if unsent:
            unsent += data
        elif not data:
            return
        try:
            sent = self._socket.send(unsent or data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            # The peer may have answered before it closed: reading tells. There is nobody left to send to.
            self._unsent, self._broken = None, error
            return
        if unsent:
            del unsent[:sent]
        elif sent < len(data):
            self._unsent = bytearray(memoryview(data)[sent:])

    def _pull(self) -> bytes | None:
        """Return what came, nothing at the end of it; None when nothing came after all."""
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise reasons.of_talking(error, reasons.DOING[self._phase]) from None
        if not data and self._broken is not None:
            # Sending was told of the reset, so reading is not told again.
            raise reasons.of_talking(self._broken, reasons.DOING[self._phase])
        return data

    def _hang_up(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._mask:
            del self._engine.lines[self._fd]
            self._engine.poller.forget(self._fd)
            self._mask = 0
        try:
            self._socket.close()
        except OSError:  # the system tells of a reset that nobody waits for
            return
