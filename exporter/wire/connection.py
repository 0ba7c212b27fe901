"""One call on its way: look-up, connection, TLS, conversation. Everything here runs on the wire's thread."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from exporter.wire import reasons
from exporter.wire.call import DONE, Outcome, Send, StartTls, WireError
from exporter.wire.dialing import Dialing
from exporter.wire.poller import WRITE
from exporter.wire.session import Session

if TYPE_CHECKING:
    import asyncio
    import ssl

    from exporter.wire.call import Call, Conversation, Step, TlsFacts
    from exporter.wire.engine import Engine
    from exporter.wire.names import Lookup


class Connection(Dialing):
    """A call and its socket, through its phases. It tells its outcome to the engine once, unless it was given up."""

    __slots__ = ("_facts", "_session", "_then", "conversation", "future")

    def __init__(self, call: Call, conversation: Conversation, timeout: float, future: asyncio.Future[Outcome]) -> None:
        super().__init__(call, timeout)
        self.conversation = conversation
        self.future = future
        self._facts: TlsFacts | None = None
        self._session: Session | None = None
        self._then: Step | None = None

    # What the engine tells. A conversation, a guard or a listener may raise anything: it ends only its own call.

    def begin(self, engine: Engine) -> float:
        """Start, and return when: the timeout counts from here."""
        now = self._enter(engine, self.timeout)
        try:
            self._find(now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(error, engine.now())
        return now

    def looked_up(self, lookup: Lookup) -> None:
        """Go on with the addresses of a name."""
        if self.over:
            return
        now = self._engine.now()
        # Only the look-up itself is the target's: neither the wait for a thread, nor for this one.
        self._turn("", self._since + lookup.ended - max(self._since, lookup.started), now)
        try:
            if lookup.error:
                raise lookup.error  # noqa: TRY301 - one way out for all errors
            self._explain(f"the name {lookup.host!r} is {', '.join(one.host for one in lookup.addresses) or 'nothing'}")
            self._try(lookup.addresses, now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(error, now)

    def ready(self, mask: int, now: float) -> None:
        """Do what can be done on the socket; `now` is when it became known."""
        try:
            if self._phase == "connect":
                # What is told along with the connection is told once only, and must be asked for again.
                self._quiet = self._quiet and mask == WRITE
                self._connected(mask, now)
            else:
                if self._unsent and mask & WRITE:
                    self._push(b"")
                    self._follow(now)
                if mask != WRITE and not self.over:
                    self._quiet = False
                    self._read(now)
            if not self.over and self._phase != "connect":
                self._watch()
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(error, now)

    def late(self, now: float) -> None:
        """Try the next address when there is one and time for it; else this was all."""
        if self._phase != "connect" or not self._addresses or now >= self._deadline:
            self._fail(self._lateness(), now)
            return
        self._trouble = reasons.of_connecting(self._aimed(), self.call.port, errno.ETIMEDOUT)
        try:
            self._next(now)
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(error, now)

    def give_up(self) -> None:
        """Close, and tell nobody."""
        if not self.over:
            self.over = True
            if self._tick:  # it was begun
                self._release()

    def end(self, error: WireError) -> None:
        """Close, and tell that this is why."""
        self._fail(error, self._engine.now())

    def _opened(self, ended: float, begins: float) -> None:
        """Begin TLS or the conversation."""
        call = self.call
        if call.context is None:
            self._turn("processing", ended, begins)
            self._do(self.conversation.opened(), begins)
        else:
            self._secure(call.context, call.server_name, ended, begins)

    # TLS.

    def _secure(self, context: ssl.SSLContext, server_name: str | None, ended: float, begins: float) -> None:
        self._turn("tls", ended, begins)
        # What follows the handshake must not wait until the peer has confirmed its last part.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = self.call.host if server_name is None else server_name
        self._session = Session(context, name.partition("%")[0].removesuffix("."))
        self._session.handshake()
        self._push(self._session.outgoing())

    def _shake(self, session: Session, now: float) -> None:
        """Go on with the handshake, and begin the conversation when it is done."""
        begun = self._engine.now()
        try:
            done = session.handshake()
        except WireError:
            with suppress(OSError):  # the alert that tells the peer why
                self._socket.send(session.outgoing())
            raise
        if done:
            self._facts = session.facts()
            ends = self._engine.now()
            # Our own part of the handshake belongs to it; that this thread came late to it does not.
            self._turn("processing", now + ends - begun, ends)
            self._explain(f"{self._facts.version} with {self._facts.cipher}")
            self._do(self.conversation.opened(), now)
        if not self.over:
            self._push(session.outgoing())

    def _unseal(self, session: Session, data: bytes, now: float) -> None:
        session.feed(data)
        if self._phase == "tls":
            self._shake(session, now)
        while not self.over and self._phase != "tls":
            plain = session.read()
            if plain is None:
                self._push(session.outgoing())
                return
            self._came(plain, now)

    # The conversation.

    def _read(self, now: float) -> None:
        data = self._pull()
        if data is None:
            return
        if self._session is None:
            self._came(data, now)
        else:
            self._unseal(self._session, data, now)

    def _came(self, data: bytes, now: float) -> None:
        """Hand on what came; nothing is the end."""
        if not data:
            self.conversation.ended()
            self._finish(None, now)
            return
        if type(self._then) is StartTls:
            return  # what comes in clear now must never be taken for what TLS protects (CVE-2011-0411)
        if self._phase == "processing":
            self._turn("transfer", now, now)
        self._do(self.conversation.received(data), now)

    def _do(self, step: Step, now: float) -> None:
        if type(step) is Send:
            self._push(step.data if self._session is None else self._session.seal(step.data))
            if step.then is not None:
                self._then = step.then
                self._follow(now)
        elif step is DONE:
            self._finish(None, now)
        elif type(step) is StartTls:
            if self._session is not None:
                raise WireError("unexpected", "TLS was to begin twice on one connection")
            self._explain("starting TLS on the open connection")
            self._secure(step.context, step.server_name, now, self._engine.now())

    def _follow(self, now: float) -> None:
        """Do what comes after the last bytes that were to be sent; of a broken connection reading tells."""
        if self._then is not None and not self._unsent and self._broken is None:
            then, self._then = self._then, None
            self._do(then, now)

    # The end.

    def _fail(self, error: Exception, now: float) -> None:
        if self.over:
            return
        if not isinstance(error, WireError):
            error = WireError("unexpected", f"an error of this program: {type(error).__name__}")
        self._finish(error, now)

    def _finish(self, error: WireError | None, now: float) -> None:
        self.over = True
        self._release()
        self._turn("", now, now)
        phases = self._phases
        outcome = Outcome(sum(phases.values()), phases, self._address, self._facts, error)
        self._engine.finished.append((self.future, outcome))

    def _release(self) -> None:
        engine = self._engine
        engine.deadlines.take(self, self._tick)
        if self._phase == "resolve":
            engine.names.forget(self.call.host, self.told)
        self._hang_up()
