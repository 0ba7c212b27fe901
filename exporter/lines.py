"""Lines that a peer sends: cut from what comes, bounded, and quoted so that they can be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.wire.call import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 64 * 1024
"""Bytes of one line, as in blackbox_exporter (`bufio.MaxScanTokenSize`)."""
MOST: Final = 1024 * 1024
"""Bytes that are taken from one connection."""
COUNT: Final = 10_000
"""Lines that are taken from one connection: each costs a search, and an empty one is a single byte."""
QUOTED: Final = 80
"""Characters of a quotation."""
_HIDDEN: Final = 4


class Lines:
    """What has come and was not yet taken. Lines end in LF or CR LF, which are not part of them.

    WireError (cause "protocol") when a bound is passed.
    """

    __slots__ = ("_buffer", "_count", "_searched", "_total")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._total = 0
        self._count = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._total += len(data)
        if self._total > MOST:
            raise WireError("protocol", f"more than {MOST >> 20} MiB came and the conversation was not over")
        self._buffer += data

    def line(self) -> bytes | None:
        """Return the next whole line and forget it; None when there is none yet."""
        end = self._buffer.find(b"\n", self._searched)
        if max(end, len(self._buffer) if end < 0 else 0) > LONGEST:
            raise WireError("protocol", f"a line longer than {LONGEST >> 10} KiB came")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        self._count += 1
        if self._count > COUNT:
            raise WireError("protocol", f"more than {COUNT:,} lines came and the conversation was not over")
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return found.removesuffix(b"\r")

    def tail(self) -> bytes:
        """Return what came after the last whole line, without a CR at its end; `line` has to have said None."""
        return bytes(self._buffer).removesuffix(b"\r")

    def take(self, count: int) -> bytes | None:
        """Return exactly so many bytes and forget them; None while there are fewer."""
        if len(self._buffer) < count:
            return None
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._searched = 0
        return found

    def clear(self) -> int:
        """Forget all that came, and return how many bytes that was."""
        size = len(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return size


def quoted(data: bytes, sent: Iterable[str] = ()) -> str:
    """Return bytes as a text to show: at most 80 characters, all printable, in quotation marks.

    Words of `sent` that the peer echoes are left out: what is sent may hold a password.
    """
    text = data[: 8 * QUOTED].decode(errors="replace")
    words = {word for each in sent for word in each.split() if len(word) >= _HIDDEN}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "<sent>")
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return f"'{text if len(text) <= QUOTED else text[: QUOTED - 1] + '…'}'"
