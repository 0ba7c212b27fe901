"""What is said before TLS begins, by protocol: machines over bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from exporter.lines import Lines, quoted
from exporter.wire.call import DONE, WAIT, Send, StartTls, Step, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

Protocol = Literal["smtp", "imap", "pop3", "ftp", "postgresql"]
Talk: TypeAlias = "Generator[bytes, bytes, None]"
"""Is sent whole lines, yields what to send (nothing: b""), and returns when TLS may begin."""

# PostgreSQL's manual, "Message Formats": SSLRequest is its length and the code 80877103.
_SSL_REQUEST: Final = bytes.fromhex("00000008 04d2162f")
_TOLD: Final = 50
"""Lines that are explained."""


class AtOnce:
    """TLS from the first byte: nothing is said, the handshake is all."""

    def opened(self) -> Step:
        """End: TLS is ready."""
        return DONE

    def received(self, data: bytes) -> Step:
        """End: what a server says first is not asked for."""
        del data
        return DONE

    def ended(self) -> None:
        """Take that the peer closed after the handshake."""


class InLines:
    """STARTTLS in a protocol of lines."""

    def __init__(self, protocol: str, begin: StartTls, explain: Callable[[str], None]) -> None:
        self._talk = _TALKS[protocol]()
        self._protocol = protocol
        self._begin = begin
        self._explain = explain
        self._lines = Lines()
        self._is_secure = False
        self._told = 0
        next(self._talk)

    def opened(self) -> Step:
        """Wait for the greeting; the second time TLS is ready, and that is the end."""
        return DONE if self._is_secure else WAIT

    def received(self, data: bytes) -> Step:
        """Take lines, answer them, and begin TLS when the server agreed."""
        if self._is_secure:
            return DONE
        self._lines.feed(data)
        sent = b""
        while (line := self._lines.line()) is not None:
            if self._told < _TOLD:
                self._told += 1
                self._explain(f"the server said {quoted(line)}")
            try:
                sent += self._talk.send(line)
            except StopIteration:
                return self._agreed()
        return Send(sent) if sent else WAIT

    def ended(self) -> None:
        """Say at what point the server ended the connection; after TLS was ready that does not matter."""
        if not self._is_secure:
            raise WireError("protocol", f"the server ended the connection before TLS, in the {self._protocol} dialogue")

    def _agreed(self) -> Step:
        # What came in clear must never be taken for what TLS protects (CVE-2011-0411).
        if self._lines.clear():
            raise WireError("protocol", "the server sent more in clear after it had agreed to begin TLS")
        self._is_secure = True
        return self._begin


class PostgreSQL:
    """PostgreSQL's request for TLS, which is answered by one byte."""

    def __init__(self, begin: StartTls, explain: Callable[[str], None]) -> None:
        self._begin = begin
        self._explain = explain
        self._is_secure = False

    def opened(self) -> Step:
        """Ask for TLS; the second time it is ready, and that is the end."""
        return DONE if self._is_secure else Send(_SSL_REQUEST)

    def received(self, data: bytes) -> Step:
        """Begin TLS when the server said S."""
        if self._is_secure:
            return DONE
        self._explain(f"the server answered {quoted(data)} to the request for TLS")
        if data == b"S":
            self._is_secure = True
            return self._begin
        if data == b"N":
            raise WireError("answer", "the PostgreSQL server does not offer TLS: set ssl = on in its configuration")
        if data[:1] == b"S":
            raise WireError("protocol", "the server sent more in clear after it had agreed to begin TLS")
        raise WireError("answer", f"the server answered {quoted(data)} to PostgreSQL's request for TLS")

    def ended(self) -> None:
        """Say that the server did not answer; after TLS was ready that does not matter."""
        if not self._is_secure:
            raise WireError("protocol", "the server ended the connection instead of answering the request for TLS")


def conversation(
    protocol: Protocol | None, begin: StartTls, explain: Callable[[str], None]
) -> AtOnce | InLines | PostgreSQL:
    """Return what to say for a protocol; None: nothing, TLS begins at once."""
    if protocol is None:
        return AtOnce()
    if protocol == "postgresql":
        return PostgreSQL(begin, explain)
    return InLines(protocol, begin, explain)


def _smtp() -> Talk:
    """RFC 3207."""
    _wanted(b"220", (yield from _reply(b"")), "a greeting with 220")
    offers = yield from _reply(b"EHLO localhost\r\n")
    _wanted(b"250", offers, "250 to EHLO")
    if not any(line[4:].split(b" ")[0].upper() == b"STARTTLS" for line in offers):
        raise WireError("answer", "the server does not offer STARTTLS in its answer to EHLO")
    _wanted(b"220", (yield from _reply(b"STARTTLS\r\n")), "220 to STARTTLS")


def _ftp() -> Talk:
    """RFC 4217."""
    greeting = yield from _reply(b"")
    while greeting[0][:3] == b"120":  # RFC 959, section 5.4: ready in some minutes, and 220 comes then.
        greeting = yield from _reply(b"")
    _wanted(b"220", greeting, "a greeting with 220")
    _wanted(b"234", (yield from _reply(b"AUTH TLS\r\n")), "234 to AUTH TLS")


def _pop3() -> Talk:
    """RFC 2595, section 4."""
    _wanted(b"+OK", [(yield b"")], "a greeting with +OK")
    _wanted(b"+OK", [(yield b"STLS\r\n")], "+OK to STLS")


def _imap() -> Talk:
    """RFC 3501, section 6.2.1."""
    _wanted(b"* OK", [(yield b"")], "a greeting with * OK")
    line = yield b"a1 STARTTLS\r\n"
    while line.startswith(b"* ") and not line.upper().startswith(b"* BYE"):
        line = yield b""
    _wanted(b"a1 OK", [line], "OK to STARTTLS")


_TALKS: Final[Mapping[str, Callable[[], Talk]]] = {
    "smtp": _smtp,
    "ftp": _ftp,
    "pop3": _pop3,
    "imap": _imap,
}


def _reply(sent: bytes) -> Generator[bytes, bytes, list[bytes]]:
    """Send, and return the lines of the answer: `250-` goes on until `250 ` (RFC 5321 4.2.1, RFC 959 4.2)."""
    lines = [(yield sent)]
    code = lines[0][:3]
    while code.isdigit() and lines[0][3:4] == b"-" and not (lines[-1][:3] == code and lines[-1][3:4] != b"-"):
        lines.append((yield b""))
    return lines


def _wanted(begin: bytes, lines: list[bytes], words: str) -> None:
    if not lines[-1].upper().startswith(begin.upper()):
        raise WireError("answer", f"wanted {words}, and the server said {quoted(lines[-1])}")
