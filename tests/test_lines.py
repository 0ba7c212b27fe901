"""Lines that a peer sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import lines
from exporter.lines import Lines, quoted
from exporter.wire.call import WireError


def test_line_ends() -> None:
    """LF and CR LF end lines; a CR elsewhere does not, and what has not ended is the tail."""
    found = Lines()
    found.feed(b"one\r\ntwo\n\nth\rree\r\nfour\r")
    assert [found.line() for _ in range(5)] == [b"one", b"two", b"", b"th\rree", None]
    assert found.tail() == b"four"


@given(st.lists(st.binary(max_size=8), max_size=8), st.data())
def test_any_cut(texts: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into pieces, the lines are the same."""
    whole = b"".join(text.replace(b"\n", b"").rstrip(b"\r") + b"\r\n" for text in texts)
    found, got = Lines(), []
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, len(whole) - at))
        found.feed(whole[at : at + size])
        at += size
        while (line := found.line()) is not None:
            got.append(line)
    assert got == [text.replace(b"\n", b"").rstrip(b"\r") for text in texts]
    assert found.tail() == b""


def test_counted_bytes() -> None:
    """Bytes are taken by number, and lines go on behind them."""
    found = Lines()
    found.feed(b"\x01\x02")
    assert found.take(3) is None
    found.feed(b"\x03rest\n")
    assert found.take(3) == b"\x01\x02\x03"
    assert found.line() == b"rest"
    found.feed(b"more")
    assert found.clear() == 4
    assert found.tail() == b""


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        pytest.param([b"x" * (lines.LONGEST + 1)], "a line longer than 64 KiB", id="a line without end"),
        pytest.param([b"x" * (lines.LONGEST + 1) + b"\n"], "a line longer than 64 KiB", id="a long line"),
        pytest.param([b"\n" * (lines.COUNT + 1)], "more than 10,000 lines", id="empty lines"),
        pytest.param([b"x" * 60_000 + b"\n"] * 18, "more than 1 MiB", id="much"),
    ],
)
def test_bounds(pieces: list[bytes], words: str) -> None:
    """Too long a line, too many of them and too much are each refused in words."""

    def read() -> None:
        found = Lines()
        for piece in pieces:
            found.feed(piece)
            while found.line() is not None:
                pass

    with pytest.raises(WireError, match=words) as caught:
        read()
    assert caught.value.cause == "protocol"


@pytest.mark.parametrize(
    ("data", "sent", "shown"),
    [
        pytest.param(b"220 mail", (), "'220 mail'", id="plain"),
        pytest.param(b"\x1b[31m\x00\xff", (), "'\ufffd[31m\ufffd\ufffd'", id="controls and no UTF-8"),
        pytest.param(b"x" * 200, (), f"'{'x' * 79}…'", id="long"),
        pytest.param("\u202eevil".encode(), (), "'\ufffdevil'", id="text direction"),
        pytest.param(b"-ERR 'hunter22'", ("AUTH hunter22",), "'-ERR '<sent>''", id="an echoed password"),
        pytest.param(b"250 OK no", ("NO",), "'250 OK no'", id="a short word"),
    ],
)
def test_quoted(data: bytes, sent: tuple[str, ...], shown: str) -> None:
    """A quotation is short, printable, and repeats nothing of what was sent."""
    assert quoted(data, sent) == shown


@given(st.binary(max_size=2000))
def test_any_quotation(data: bytes) -> None:
    """No bytes make a quotation that is long or cannot be printed."""
    shown = quoted(data)
    assert len(shown) <= lines.QUOTED + 2
    assert shown.isprintable()
