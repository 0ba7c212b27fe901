"""The body of an answer: framed by length, chunks or the end of the connection, decompressed, never above a limit."""

from __future__ import annotations

import zlib
from typing import Final, Protocol

from exporter.wire.call import WireError

LIMIT: Final = 1024 * 1024
"""Bytes of a body that are read where the configuration says nothing."""

_LONGEST_LINE: Final = 4096
_SPARE: Final = 64 * 1024
# A chunk of one byte has five bytes around it; more than this is there to keep us busy.
_MOST_OVERHEAD: Final = 16
_MOST_DIGITS: Final = 15
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_GZIP: Final = b"\x1f\x8b"
_GZIP_BITS: Final = 31
# Bytes at the beginning that tell deflate's two forms apart.
_TELLING: Final = 2
# One of bgzip, which makes the most of them, holds 64 KiB; each costs some microseconds, however empty.
_MOST_MEMBERS: Final = 1000


class Sink:
    """Takes the bytes of a body, decompresses them, and keeps `limit` of them.

    Attributes:
        kept: the decompressed bytes so far, never more than the limit.
        cut: whether there was more: then nothing further need be read.

    """

    __slots__ = ("_coding", "_decoder", "_limit", "_members", "_raw", "_rest", "cut", "kept")

    def __init__(self, limit: int, coding: str) -> None:
        """`coding` is gzip, deflate or the empty text."""
        self.kept = bytearray()
        self.cut = False
        self._limit = limit
        self._coding = coding
        self._decoder: zlib._Decompress | None = None
        self._raw = 0
        self._members = 1
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Take the next bytes. WireError when they are not compressed as they should be."""
        if self.cut or not data:
            return
        if self._coding:
            self._raw += len(data)
            self._inflate(self._rest + data)
            # Compressed bytes that hardly unfold to anything would else be read without end.
            self.cut = self.cut or self._raw > self._limit + _SPARE
        else:
            self._keep(data)

    def finish(self) -> None:
        """Take the end of the body. WireError when its compression is not at its end."""
        has_ended = self._decoder.eof if self._decoder is not None else not self._rest
        if not has_ended and not self.cut:
            raise WireError("protocol", f"the body ends before its {self._coding} compression does")

    def _keep(self, data: bytes) -> None:
        room = self._limit - len(self.kept)
        self.kept += data if len(data) <= room else data[:room]
        self.cut = len(data) > room

    def _inflate(self, data: bytes) -> None:
        self._rest = b""
        if self._decoder is None:
            if len(data) < _TELLING:
                self._rest = data
                return
            self._decoder = zlib.decompressobj(self._bits(data))
        try:
            while data and not self.cut:
                if self._decoder.eof and not self._is_next_member(data):
                    return
                self._keep(self._decoder.decompress(data, self._limit - len(self.kept) + 1))
                data = self._decoder.unused_data or self._decoder.unconsumed_tail
        except zlib.error:
            raise WireError("protocol", f"the body is not compressed with {self._coding}, or is damaged") from None

    def _is_next_member(self, data: bytes) -> bool:
        """Begin the next member, if there is one: a gzip file is a series of them (RFC 1952, section 2.2)."""
        if self._coding == "gzip" and data == _GZIP[:1]:
            self._rest = data
        elif self._coding == "gzip" and data.startswith(_GZIP):
            self._members += 1
            if self._members > _MOST_MEMBERS:
                raise WireError("protocol", f"the body is gzip of more than {_MOST_MEMBERS} members: it would not end")
            self._decoder = zlib.decompressobj(_GZIP_BITS)
            return True
        return False

    def _bits(self, data: bytes) -> int:
        if self._coding == "gzip":
            return _GZIP_BITS
        # deflate means zlib's format (RFC 9110, section 8.4.1.2), but many servers send the bare one.
        has_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


class Reader(Protocol):
    """Finds the end of a body; `take` returns whether it was reached."""

    def take(self, data: bytes) -> bool:
        """Take the next bytes. WireError when they are framed wrongly."""
        ...

    def ended(self) -> None:
        """Take the end of the connection. WireError when the body is not at its end."""
        ...


class Sized:
    """A body of an announced length."""

    __slots__ = ("_left", "_length", "_sink")

    def __init__(self, sink: Sink, length: int) -> None:
        self._sink = sink
        self._left = self._length = length

    def take(self, data: bytes) -> bool:
        """Take the next bytes; those after the end are ignored."""
        self._sink.take(data if len(data) <= self._left else data[: self._left])
        self._left -= min(self._left, len(data))
        return not self._left

    def ended(self) -> None:
        """Refuse the end: bytes are missing."""
        got = self._length - self._left
        raise WireError("protocol", f"the body is cut off: {got} of {self._length} bytes came")


class UntilClose:
    """A body that ends with the connection."""

    __slots__ = ("_sink",)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def take(self, data: bytes) -> bool:
        """Take the next bytes."""
        self._sink.take(data)
        return False

    def ended(self) -> None:
        """Accept the end."""


class Chunked:
    """A body in chunks (RFC 9112, section 7.1); extensions and trailers are passed over."""

    __slots__ = ("_buffer", "_bytes", "_left", "_overhead", "_sink", "_state")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._left = 0
        self._bytes = 0
        self._overhead = 0
        self._state = "size"

    def take(self, data: bytes) -> bool:
        """Take the next bytes; those after the end are ignored."""
        data = self._buffer + data if self._buffer else data
        at = 0
        while at < len(data) and not self._sink.cut:
            if self._state == "data":
                at = self._take_data(data, at)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                break
            self._take_line(data[at:end].rstrip(b"\r"), end + 1 - at)
            at = end + 1
            if self._state == "end":
                return True
        if self._sink.cut:
            return False
        self._buffer = data[at:]
        if len(self._buffer) > _LONGEST_LINE:
            raise WireError("protocol", "the body's chunks are malformed: a line of their framing does not end")
        return False

    def ended(self) -> None:
        """Refuse the end: the last chunk is missing."""
        raise WireError("protocol", f"the body is cut off: its last chunk is missing after {self._bytes} bytes")

    def _take_data(self, data: bytes, at: int) -> int:
        end = min(at + self._left, len(data))
        self._sink.take(data[at:end])
        self._left -= end - at
        self._bytes += end - at
        if not self._left:
            self._state = "gap"
        return end

    def _take_line(self, line: bytes, length: int) -> None:
        self._overhead += length
        if self._overhead > _SPARE + _MOST_OVERHEAD * self._bytes:
            raise WireError("protocol", "the body's chunks are malformed: far more framing than content")
        if self._state == "gap":
            if line:
                raise WireError("protocol", "the body's chunks are malformed: one is longer than it says")
            self._state = "size"
        elif self._state == "trailer":
            self._state = "trailer" if line else "end"
        else:
            self._left = _size(line)
            self._state = "data" if self._left else "trailer"


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not digits or len(digits) > _MOST_DIGITS or not _HEX.issuperset(digits):
        raise WireError("protocol", "the body's chunks are malformed: one begins with no length")
    return int(digits, 16)
