"""From a host to a connected socket whose peer the guard lets in: look-up, addresses in turn, the check at the end."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from exporter.wire import reasons
from exporter.wire.addresses import Address, guarded, numeric, ordered
from exporter.wire.call import WireError
from exporter.wire.line import Line
from exporter.wire.poller import ERROR

if TYPE_CHECKING:
    from exporter.wire.call import Call
    from exporter.wire.names import Lookup

LEAST_SECONDS: Final = 2.0
"""What an address gets of the time left before the next is tried, at least: as Go's dialer has it."""


class Dialing(Line):
    """The middle of a connection: everything until it is made."""

    __slots__ = ("_address", "_addresses", "_trouble", "call", "timeout")

    def __init__(self, call: Call, timeout: float) -> None:
        super().__init__()
        self.call = call
        self.timeout = timeout
        self._addresses: list[Address] = []
        self._address: str | None = None
        self._trouble: WireError | None = None

    def told(self, lookup: Lookup) -> None:
        """Take the answer of a look-up, on the thread that made it."""
        self._engine.send(lambda: self.looked_up(lookup))

    def looked_up(self, lookup: Lookup) -> None:
        """Go on with the addresses of a name."""
        raise NotImplementedError

    def _opened(self, ended: float, begins: float) -> None:
        """Go on with the connection that is made: since `ended`, which became known only at `begins`."""
        raise NotImplementedError

    def _find(self, now: float) -> None:
        call = self.call
        address = numeric(call.host)
        if address is None:
            self._phase = "resolve"
            self._engine.names.ask(call.host, self.told)
        elif call.prefer is None:
            self._addresses = [address]
            self._connect(now)
        else:
            self._try((address,), now)

    def _try(self, addresses: tuple[Address, ...], now: float) -> None:
        call = self.call
        self._addresses = ordered(addresses, call.prefer, fallback=call.fallback)
        if not self._addresses:
            raise reasons.of_no_address(call.host, call.prefer)
        self._addresses.reverse()
        self._connect(now)

    def _next(self, now: float) -> None:
        """Leave an address that failed for the next one."""
        self._turn("", now, now)
        self._hang_up()
        self._connect(self._engine.now())

    def _connect(self, now: float) -> None:
        """Begin a connection to the first address that lets us."""
        call, addresses = self.call, self._addresses
        while addresses:
            address = addresses.pop()
            if not call.allows(guarded(address.host)):
                self._trouble = self._trouble or reasons.of_guard(address.host)
                continue
            if addresses or self._until != self._deadline:
                self._be_late_at(now + max(LEAST_SECONDS, (self._deadline - now) / (len(addresses) + 1)))
            if call.explain:
                call.explain(f"connecting to {address.host} port {call.port}")
            self._address, self._phase, self._since = address.host, "connect", now
            code = self._dial(address, call.port, call.source)
            if not code:
                now = self._engine.now()
                self._established(now, now)
                if not self.over:
                    self._watch()
                return
            if code == errno.EINPROGRESS:
                return
            self._trouble = reasons.of_connecting(address.host, call.port, code)
            now = self._engine.now()
            self._turn("", now, now)
            self._hang_up()
        raise self._trouble or WireError("unexpected", "there was no address to connect to")

    def _connected(self, mask: int, now: float) -> None:
        if mask & ERROR:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._trouble = reasons.of_connecting(self._aimed(), self.call.port, code)
                self._next(now)
                return
        self._established(now, self._engine.now())

    def _established(self, ended: float, begins: float) -> None:
        """Check who answered, then begin TLS or the conversation."""
        call, aimed = self.call, self._address
        try:
            peer = self._socket.getpeername()[0]
        except OSError:
            raise reasons.of_connecting(self._aimed(), call.port, errno.ECONNRESET) from None
        # 0.0.0.0 and :: lead to this machine, for example: the guard has not been asked about that yet.
        if peer != aimed:
            self._address = peer = peer.partition("%")[0]
            if peer != aimed and not call.allows(guarded(peer)):
                raise reasons.of_guard(peer)
        if self._until != self._deadline:
            self._be_late_at(self._deadline)
        if call.explain:
            call.explain(f"connected to {peer} in {ended - self._since:.3f} s")
        self._opened(ended, begins)

    def _lateness(self) -> WireError:
        if self._phase == "resolve":
            return reasons.of_slow_name(self.call.host, self.timeout)
        where = f"{self._aimed()} port {self.call.port}"
        return reasons.of_lateness(self.timeout, self._phase, where, unsent=bool(self._unsent))

    def _aimed(self) -> str:
        return self._address or self.call.host

    def _explain(self, step: str) -> None:
        if self.call.explain is not None:
            self.call.explain(step)
