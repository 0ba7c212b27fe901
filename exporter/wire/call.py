"""What is asked of the wire and what it answers. Frozen values; nothing here opens a socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from exporter.model import Cause

Family: TypeAlias = Literal["ip4", "ip6"]

OURS: Final[frozenset[Cause]] = frozenset({"config", "system", "unexpected"})
"""Causes that say something of this program, its machine or its configuration, and nothing of the service."""


class WireError(Exception):
    """Why a conversation ended early: `cause` is one of few words, the message a sentence without secrets."""

    def __init__(self, cause: Cause, reason: str) -> None:
        self.cause: Cause = cause
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes, then go on reading; or do `then`, which is DONE or StartTls, once all of them are sent."""

    data: bytes
    then: Step | None = None


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin TLS on the connection that is open, as STARTTLS does; `opened` is called again when it is ready."""

    context: ssl.SSLContext
    server_name: str | None


class _Word:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


WAIT: Final = _Word("WAIT")
"""Go on reading."""
DONE: Final = _Word("DONE")
"""The conversation is over: close."""

Step: TypeAlias = "Send | StartTls | _Word"


class Conversation(Protocol):
    """What is said on one connection.

    Its methods are called on the wire's thread: they compute, never wait, and raise only WireError, which ends the
    call. A conversation serves one call.
    """

    def opened(self) -> Step:
        """Return what to do once the connection, and TLS where there is any, is ready."""
        ...

    def received(self, data: bytes) -> Step:
        """Take what came and return what to do now."""
        ...

    def ended(self) -> None:
        """Hear that the peer closed its side: return when all that was needed is there, else raise WireError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One connection to make. `host` is a name or a numeric address.

    `prefer` and `fallback` choose among the addresses of a name as blackbox_exporter's `preferred_ip_protocol` and
    `ip_protocol_fallback` do; None takes them as the system orders them. Further addresses are tried in turn while
    time is left. `allows` is asked of each address before it is connected to.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str | None = None
    prefer: Family | None = None
    fallback: bool = True
    source: str | None = None
    allows: Callable[[str], bool]
    explain: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a handshake showed: times are in seconds since 1970. `certificates` are DER, the server's own first."""

    version: str
    cipher: str
    earliest_expiry: float
    last_chain_expiry: float
    certificates: tuple[bytes, ...]


@dataclass(slots=True)
class Outcome:
    """How a call went. `error` is None when the conversation came to its own end.

    `phases` (seconds) are resolve, connect, tls, processing (until the first byte came) and transfer; only those that
    were begun. `duration` is their sum: what the loop of the program was late by is in none of them.
    """

    duration: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    address: str | None = None
    tls: TlsFacts | None = None
    error: WireError | None = None
    facts: Any = None
