"""What is said on one connection: a request, perhaps a tunnel through a proxy before it, and one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.probes.http.body import Chunked, Reader, Sink, Sized, UntilClose
from exporter.probes.http.head import LONGEST, Head, end_of_head, not_http
from exporter.wire.call import DONE, WAIT, Send, StartTls, WireError

if TYPE_CHECKING:
    from exporter.wire.call import Step

_NO_CONTENT: Final = frozenset({204, 304})
_SWITCHING: Final = 101
_FINAL: Final = 200
_TUNNELLED: Final = range(200, 300)
_ENOUGH_TO_TELL: Final = 7
_CODINGS: Final = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}
_WITHOUT_TELLING: Final = "the server closed the connection"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The way through a proxy: what asks it for the connection, and the TLS that begins when it agrees."""

    request: Send
    tls: StartTls


class Exchange:
    """One request and its answer.

    Attributes:
        head: the answer's head, as soon as it is complete.
        body: the answer's body, decompressed, up to the limit.
        cut: whether the body was longer than the limit.
        length: the length that the answer announced; -1 without one.

    """

    __slots__ = ("_coding", "_has_body", "_informed", "_limit", "_pending", "_reader", "_request", "_sink", "_tunnel",
                 "body", "cut", "head", "length")  # fmt: skip

    def __init__(
        self, request: Send, *, limit: int, coding: str = "", has_body: bool = True, tunnel: Tunnel | None = None
    ) -> None:
        """`coding` is gzip or deflate when the body must be compressed; `has_body` is false for HEAD."""
        self._request = request
        self._limit = limit
        self._coding = coding
        self._has_body = has_body
        self._tunnel = tunnel
        self._pending = b""
        self._informed = 0
        self._reader: Reader | None = None
        self._sink: Sink | None = None
        self.head: Head | None = None
        self.body = b""
        self.cut = False
        self.length = -1

    @property
    def body_length(self) -> int:
        """How many bytes of the body are here, decompressed; also when it did not come to its end."""
        return len(self.body) if self._sink is None else len(self._sink.kept)

    def opened(self) -> Step:
        """Send the request; through a proxy's tunnel first what asks for the tunnel."""
        return self._request if self._tunnel is None else self._tunnel.request

    def received(self, data: bytes) -> Step:
        """Take what came. WireError when it is no answer of HTTP."""
        if self._reader is not None:
            return self._take(self._reader, data)
        seen = 0
        if self._pending:
            seen = max(0, len(self._pending) - 2)
            data = self._pending + data
        return self._read_head(data, seen)

    def ended(self) -> None:
        """Take the end of the connection. WireError when the answer is not complete."""
        if self._reader is not None:
            self._reader.ended()
            self._finish()
            return
        if self._tunnel is not None:
            raise WireError("connect", "the proxy closed the connection instead of opening a tunnel")
        told = " in the middle of the answer's header" if self._pending else " without an answer"
        raise WireError("protocol", _WITHOUT_TELLING + told)

    def _read_head(self, data: bytes, seen: int) -> Step:
        # A loop: informational answers come before the one that counts (RFC 9110, section 15.2).
        while True:
            found = end_of_head(data, seen)
            if self._informed + (len(data) if found is None else found[0]) > LONGEST:
                raise WireError("protocol", f"the answer's header is longer than {LONGEST // 1024} KiB")
            if found is None:
                self._pending = data
                if len(data) >= _ENOUGH_TO_TELL and not data.startswith(b"HTTP/1."):
                    raise not_http(data)
                return WAIT
            head = Head(data[: found[0]])
            data, seen = data[found[1] :], 0
            if head.code >= _FINAL or head.code == _SWITCHING:
                break
            self._informed += found[1]
        if self._tunnel is not None:
            return self._begin_tls(head, self._tunnel)
        return self._begin_body(head, data)

    def _begin_tls(self, head: Head, tunnel: Tunnel) -> Step:
        if head.code not in _TUNNELLED:
            raise WireError("connect", f"the proxy answered {head.code} instead of opening a tunnel")
        self._tunnel = None
        self._pending = b""
        return tunnel.tls

    def _begin_body(self, head: Head, data: bytes) -> Step:
        self.head = head
        self._pending = b""
        chunked = head.is_chunked()
        length = None if chunked else head.content_length()
        self.length = 0 if head.code in _NO_CONTENT else -1 if length is None else length
        if not self._has_body or head.code in _NO_CONTENT or head.code == _SWITCHING or length == 0:
            return DONE
        coding = self._coding or _coding(head)
        if length is not None and length <= len(data) and length <= self._limit and not coding:
            self.body = data[:length]
            return DONE
        self._sink = sink = Sink(self._limit, coding)
        if chunked:
            self._reader = Chunked(sink)
        else:
            self._reader = UntilClose(sink) if length is None else Sized(sink, length)
        return self._take(self._reader, data) if data else WAIT

    def _take(self, reader: Reader, data: bytes) -> Step:
        is_complete = reader.take(data)
        if is_complete or (self._sink is not None and self._sink.cut):
            self._finish()
            return DONE
        return WAIT

    def _finish(self) -> None:
        if self._sink is not None:
            self._sink.finish()
            self.body = bytes(self._sink.kept)
            self.cut = self._sink.cut


def _coding(head: Head) -> str:
    value = head.value(b"content-encoding")
    return "" if value is None else _CODINGS.get(value.lower(), "")
