"""The head of an answer: status line and header. Bytes in, facts out."""

from __future__ import annotations

from typing import Final

from exporter.wire.call import WireError

LONGEST: Final = 64 * 1024
"""Bytes of the longest header block that is read; servers and browsers stop between 8 and 256 KiB."""

_MOST_DIGITS: Final = 18
# RFC 8446, section 5.1.
_TLS_ALERT: Final = b"\x15"
_TLS_HANDSHAKE: Final = b"\x16"


class Head:
    """Status line and header fields of an answer. `version` is 1.0 or 1.1, `code` the status code."""

    __slots__ = ("_lower", "_raw", "code", "version")

    def __init__(self, block: bytes) -> None:
        """Read a block that begins with the status line and ends with the line end of its last field.

        WireError says why it is no head of an answer.
        """
        if b"\n " in block or b"\n\t" in block:
            block = _unfolded(block)
        if block[:7] != b"HTTP/1." or block[7:9] not in {b"1 ", b"0 "}:
            raise not_http(block)
        digits = block[9:12]
        if not digits.isdigit() or digits < b"100" or block[12:13] not in {b" ", b"\r", b"\n"}:
            raise WireError(
                "protocol", "the answer's status line has no status code of three digits: it is no HTTP server"
            )
        self.version = "1.1" if block[7:8] == b"1" else "1.0"
        self.code = int(digits)
        self._raw = block
        # One pass for all look-ups: field names are told apart without capitals (RFC 9110, section 5.1).
        self._lower = block.lower()

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self._raw)

    def value(self, name: bytes) -> bytes | None:
        """Return the first value of a field, its name in small letters; None without such a field."""
        at = self._lower.find(b"\n" + name + b":")
        return None if at < 0 else self._value(at + len(name) + 2)

    def values(self, name: bytes) -> list[bytes]:
        """Return all values of a field, its name in small letters, in the order in which they came."""
        key, found = b"\n" + name + b":", []
        at = self._lower.find(key)
        while at >= 0:
            begin = at + len(key)
            found.append(self._value(begin))
            at = self._lower.find(key, begin - 1)
        return found

    def text(self, name: bytes) -> str:
        """Return the first value of a field as text, empty without such a field."""
        value = self.value(name)
        return "" if value is None else value.decode("latin-1")

    def _value(self, begin: int) -> bytes:
        return self._raw[begin : self._raw.find(b"\n", begin)].strip(b" \t\r")

    def content_length(self) -> int | None:
        """Return the announced length of the body in bytes; None without one.

        WireError when it is no number, or when several contradict each other (RFC 9112, section 6.3).
        """
        values = self.values(b"content-length")
        if not values:
            return None
        if len(values) > 1 or b"," in values[0]:
            values = list({part.strip(b" \t") for value in values for part in value.split(b",")})
        if len(values) > 1:
            raise WireError("protocol", "the answer announces several lengths of its body that contradict each other")
        if not values[0].isdigit() or len(values[0]) > _MOST_DIGITS:
            raise WireError("protocol", "the answer announces a length of its body that is no number")
        return int(values[0])

    def is_chunked(self) -> bool:
        """Return whether the body comes in chunks. WireError for a transfer encoding that is not known."""
        values = self.values(b"transfer-encoding")
        if not values:
            return False
        words = [word for word in (w.strip(b" \t").lower() for w in b",".join(values).split(b",")) if word]
        if words in ([b"identity"], []):
            return False
        if words != [b"chunked"]:
            raise WireError(
                "protocol", "the answer has a transfer encoding other than chunked, which was not asked for"
            )
        return True


def not_http(data: bytes) -> WireError:
    """Return why these bytes begin no answer. They are not repeated: some servers send back what they were sent."""
    if data[:1] in {_TLS_ALERT, _TLS_HANDSHAKE}:
        return WireError("protocol", "the server speaks TLS on this port: write https in the URL")
    if data.startswith(b"HTTP/"):
        return WireError("protocol", "the server answers with another version than HTTP/1.0 or HTTP/1.1")
    return WireError("protocol", "the server does not answer with HTTP: check that the port is that of an HTTP server")


def end_of_head(data: bytes | bytearray, start: int = 0) -> tuple[int, int] | None:
    r"""Return where the last field's line ends and where the body begins; None while the head is not complete.

    Lines may end in LF alone (RFC 9112, section 2.2): the blank line is then \n\n or \n\r\n.
    """
    first = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, first if first >= 0 else len(data))
    if bare >= 0:
        return bare + 1, bare + 2
    return None if first < 0 else (first + 1, first + 3)


def _unfolded(block: bytes) -> bytes:
    """Return the block with continued lines joined (obs-fold, RFC 9112, section 5.2)."""
    lines = block.split(b"\n")
    joined = [lines[0].rstrip(b"\r")]
    for line in lines[1:]:
        # A status line is not continued: that would hide the first field.
        if line[:1] in {b" ", b"\t"} and len(joined) > 1:
            joined[-1] += b" " + line.strip(b" \t\r")
        else:
            joined.append(line.rstrip(b"\r"))
    return b"\n".join(joined)
