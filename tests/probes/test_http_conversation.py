"""The conversation of an HTTP probe as a machine: bytes in, steps out, however the bytes are cut."""

from __future__ import annotations

import ssl
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.badhttp import RAW, answer, chunked, gzipped

from exporter.probes.http.body import LIMIT
from exporter.probes.http.conversation import Exchange, Tunnel
from exporter.wire import DONE, WAIT, Send, StartTls, WireError

REQUEST = Send(b"GET / HTTP/1.1\r\n\r\n")
OK = b"HTTP/1.1 200 OK\r\n"


def exchange(**keywords) -> Exchange:
    return Exchange(REQUEST, **({"limit": LIMIT} | keywords))


def fed(data: bytes, *, piece: int = 1 << 20, **keywords) -> Exchange:
    """Return an exchange that was given these bytes in pieces and then, if it still waited, the end."""
    made = exchange(**keywords)
    for at in range(0, len(data), piece):
        if made.received(data[at : at + piece]) is DONE:
            return made
    made.ended()
    return made


def zlibbed(data: bytes, *, bits: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, bits)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("piece", [1 << 20, 7, 1], ids=["at once", "in sevens", "byte by byte"])
@pytest.mark.parametrize(
    ("raw", "code", "length", "body"),
    [
        pytest.param(answer(b"all fine"), 200, 8, b"all fine", id="a length"),
        pytest.param(answer(b""), 200, 0, b"", id="length 0"),
        pytest.param(answer(b"all fine and more", length=8), 200, 8, b"all fine", id="bytes after the end"),
        pytest.param(OK + b"\r\nall fine", 200, -1, b"all fine", id="until the end of the connection"),
        pytest.param(OK + b"\r\n", 200, -1, b"", id="an empty body until the end"),
        pytest.param(RAW["/no-length"], 200, -1, b"all fine", id="HTTP/1.0"),
        pytest.param(RAW["/chunks"], 200, -1, b"all fine", id="chunks"),
        pytest.param(chunked(b"all fine") + b"0\r\nX-T: t\r\n\r\nrest", 200, -1, b"all fine", id="a trailer"),
        pytest.param(
            OK + b"transfer-ENCODING: Chunked\r\n\r\n00008;a=b;c\nall fine\n0\n\n", 200, -1, b"all fine", id="bare LF"
        ),
        pytest.param(b"HTTP/1.1 200 OK\ncontent-length:8\n\nall fine", 200, 8, b"all fine", id="a head of bare LF"),
        pytest.param(b"HTTP/1.1 200 OK\nA: b\r\n\r\nx\n\ny", 200, -1, b"x\n\ny", id="a blank line in the body"),
        pytest.param(
            b"HTTP/1.1 200 OK\nA: b\n\nx\r\n\r\ny", 200, -1, b"x\r\n\r\ny", id="the other blank line in the body"
        ),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, 0, b"", id="no reason phrase"),
        pytest.param(b"HTTP/1.1 299 \xff\xfe\r\nContent-Length: 0\r\n\r\n", 299, 0, b"", id="a phrase of any bytes"),
        pytest.param(b"HTTP/1.1 204 Empty\r\n\r\n", 204, 0, b"", id="204 has no body"),
        pytest.param(b"HTTP/1.1 304 Same\r\nContent-Length: 50\r\n\r\n", 304, 0, b"", id="304 has no body"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"ok"), 200, 2, b"ok", id="100 comes first"),
        pytest.param(
            b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Busy\r\n\r\n" + answer(b"ok"),
            200,
            2,
            b"ok",
            id="103, 102",
        ),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n\x81\x05hello", 101, -1, b"", id="101 is an answer"),
        pytest.param(
            OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, 5, b"hello", id="twice the same length"
        ),
        pytest.param(OK + b"Content-Length: 5, 5\r\n\r\nhello", 200, 5, b"hello", id="the same length in one line"),
        pytest.param(
            OK + b"X: Content-Length: 9\r\nContent-Length: 5\r\n\r\nhello", 200, 5, b"hello", id="a name in a value"
        ),
        pytest.param(
            OK + b"X: a\r\n Content-Length: 9\r\nContent-Length:\r\n\t5\r\n\r\nhello", 200, 5, b"hello", id="folded"
        ),
        pytest.param(
            OK + b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            -1,
            b"hello",
            id="chunks rule over a length",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 200, 5, b"hello", id="identity"
        ),
        pytest.param(RAW["/gzip"], 200, len(gzipped(b"all fine")), b"all fine", id="gzip"),
        pytest.param(
            answer(gzipped(b"all ") + gzipped(b"fine"), "Content-Encoding: x-gzip"),
            200,
            len(gzipped(b"all ") + gzipped(b"fine")),
            b"all fine",
            id="gzip of two members",
        ),
        pytest.param(
            answer(gzipped(b"x") + b"\0\0", "Content-Encoding: gzip"),
            200,
            len(gzipped(b"x")) + 2,
            b"x",
            id="padded gzip",
        ),
        pytest.param(
            answer(zlibbed(b"ok", bits=15), "Content-Encoding: deflate"),
            200,
            len(zlibbed(b"ok", bits=15)),
            b"ok",
            id="deflate",
        ),
        pytest.param(answer(b"", "Content-Encoding: gzip"), 200, 0, b"", id="nothing, compressed"),
        pytest.param(answer(b"br?", "Content-Encoding: br"), 200, 3, b"br?", id="a coding that is not known stays"),
        pytest.param(RAW["/cookies"], 200, 8, b"all fine", id="a thousand cookies"),
    ],
)
def test_an_answer_is_read(raw, code, length, body, piece):
    """The same answer comes of the same bytes, however they were cut on their way."""
    made = fed(raw, piece=piece)
    assert made.head is not None
    assert (made.head.code, made.length, made.body, made.cut) == (code, length, body, False)
    assert made.body_length == len(body)


@pytest.mark.parametrize("piece", [1 << 20, 1], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"", "without an answer", id="nothing"),
        pytest.param(b"HTTP", "in the middle of the answer's header", id="four letters"),
        pytest.param(RAW["/cut-head"], "in the middle of the answer's header", id="half a head"),
        pytest.param(RAW["/cut-body"], "10 of 100 bytes", id="half a body"),
        pytest.param(RAW["/cut-chunks"], "last chunk is missing after 10 bytes", id="no last chunk"),
        pytest.param(chunked(b"hello")[:-4], "missing after 3 bytes", id="half a chunk"),
        pytest.param(chunked(b"x") + b"0\r\n", "last chunk is missing", id="no end of the trailer"),
        pytest.param(RAW["/cut-gzip"], "before its gzip compression", id="half a gzip file"),
        pytest.param(answer(b"x", "Content-Encoding: deflate"), "before its deflate", id="one byte of deflate"),
        pytest.param(RAW["/not-gzip"], "not compressed with gzip", id="no gzip file"),
        pytest.param(
            answer(gzipped(b"x" * 99)[:-5] + b"\0\0\0\0\0", "Content-Encoding: gzip"), "damaged", id="a bad sum"
        ),
        pytest.param(RAW["/no-status"], "no status code", id="no status code"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", "no status code", id="two digits"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", "no status code", id="four digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", "no status code", id="below 100"),
        pytest.param("HTTP/1.1 ²²² OK\r\n\r\n".encode(), "no status code", id="digits of another kind"),
        pytest.param(RAW["/http09"], "does not answer with HTTP", id="HTTP/0.9"),
        pytest.param(RAW["/http2"], "another version", id="HTTP/2"),
        pytest.param(b"HTTP/1.2 200 OK\r\n\r\n", "another version", id="HTTP/1.2"),
        pytest.param(b"HTTP/1.1\t200 OK\r\n\r\n", "another version", id="no space"),
        pytest.param(RAW["/garbage"], "does not answer with HTTP", id="any bytes"),
        pytest.param(RAW["/ssh"], "does not answer with HTTP", id="SSH"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS", id="a TLS alert"),
        pytest.param(b"\n\n\n\n\n\n\n\n", "does not answer with HTTP", id="blank lines"),
        pytest.param(RAW["/two-lengths"], "contradict", id="two lengths"),
        pytest.param(OK + b"Content-Length: 5, 6\r\n\r\nhello", "contradict", id="two lengths in a line"),
        pytest.param(OK + b"Content-Length: -5\r\n\r\nhello", "no number", id="a negative length"),
        pytest.param(OK + b"Content-Length: 0x5\r\n\r\nhello", "no number", id="a hexadecimal length"),
        pytest.param(OK + b"Content-Length:\r\n\r\nhello", "no number", id="an empty length"),
        pytest.param(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "no number", id="a length of 5000 digits"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "other than chunked", id="another encoding"),
        pytest.param(RAW["/bad-chunks"], "no length", id="a chunk without a length"),
        pytest.param(chunked() + b"-1\r\n", "no length", id="a chunk of -1 bytes"),
        pytest.param(chunked() + b"0x5\r\nhello\r\n", "no length", id="a prefix"),
        pytest.param(chunked() + b"1_0\r\n", "no length", id="an underscore"),
        pytest.param(chunked() + b"\r\n", "no length", id="an empty line"),
        pytest.param(chunked() + b"f" * 16 + b"\r\n", "no length", id="an enormous chunk"),
        pytest.param(RAW["/long-chunk"], "longer than it says", id="a chunk longer than it says"),
        pytest.param(chunked() + b"5" + b";" * 5000, "does not end", id="a size line without end"),
        pytest.param(
            chunked() + (b"1;" + b"e" * 900 + b"\r\nx\r\n") * 100, "more framing than content", id="extensions"
        ),
        pytest.param(chunked() + b"0\r\n" + b"T: t\r\n" * 20_000, "more framing than content", id="endless trailers"),
        pytest.param(OK + b"X: x\r\n" * 20_000, "longer than 64 KiB", id="many fields"),
        pytest.param(OK + b"X: " + b"x" * 70_000, "longer than 64 KiB", id="a line without end"),
        pytest.param(RAW["/big-head"], "longer than 64 KiB", id="a long line that ends"),
        pytest.param(b"HTTP/1.1 100 C\r\n\r\n" * 5000, "longer than 64 KiB", id="informational answers without end"),
        pytest.param(
            OK + b"Content-Encoding: gzip\r\n\r\n" + gzipped(b"") * 1001,
            "more than 1000 members",
            id="empty gzip members",
        ),
    ],
)
def test_a_bad_answer_is_a_failure_in_words(raw, words, piece):
    """Each is an error of the protocol; nothing else is ever raised."""
    with pytest.raises(WireError) as caught:
        fed(raw, piece=piece)
    assert words in caught.value.reason
    assert caught.value.cause == "protocol"


def test_what_came_is_not_repeated():
    """A server that sends back what it was sent cannot bring a password into a reason."""
    with pytest.raises(WireError) as caught:
        fed(b"GET /?token=hunter2 HTTP/1.1\r\nAuthorization: Basic aHVudGVyMg==\r\n\r\n")
    assert "hunter2" not in caught.value.reason
    assert "aHVudGVyMg" not in caught.value.reason


def test_head_has_no_body():
    """The announced length is that of a body that is not sent."""
    made = exchange(has_body=False)
    assert made.received(OK + b"Content-Length: 500\r\n\r\n") is DONE
    assert (made.length, made.body) == (500, b"")


@pytest.mark.parametrize("piece", [1 << 20, 4096, 1], ids=["at once", "in pages", "byte by byte"])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(answer(b"0123456789" * 2), id="a length"),
        pytest.param(OK + b"\r\n" + b"0123456789" * 2, id="until the end"),
        pytest.param(chunked(b"01234", b"56789", b"0123456789"), id="chunks"),
        pytest.param(answer(gzipped(b"0123456789" * 2), "Content-Encoding: gzip"), id="gzip"),
    ],
)
def test_no_more_than_the_limit_is_kept(raw, piece):
    """Of a longer body the beginning is kept, and it is known that there was more."""
    made = fed(raw, piece=piece, limit=12)
    assert (made.body, made.cut) == (b"012345678901", True)


@pytest.mark.parametrize("raw", [answer(b"x" * 12), OK + b"\r\n" + b"x" * 12, chunked(b"x" * 12) + b"0\r\n\r\n"])
def test_a_body_of_just_the_limit_is_whole(raw):
    """The limit itself is allowed."""
    made = fed(raw, limit=12)
    assert (made.body, made.cut) == (b"x" * 12, False)


def test_reading_ends_at_the_limit():
    """What is too long is read no further, whatever length it announced."""
    made = exchange(limit=1000)
    assert made.received(OK + b"Content-Length: 999999999\r\n\r\n" + b"x" * 500) is WAIT
    assert made.received(b"x" * 500) is WAIT
    assert made.received(b"x") is DONE


def test_a_gzip_bomb_costs_nothing():
    """A gibibyte in a mebibyte is unfolded up to the limit and not one byte more."""
    raw = RAW["/bomb"]
    tracemalloc.start()
    try:
        made = fed(raw, piece=65536)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.cut
    assert len(made.body) == LIMIT
    assert peak < 8 * LIMIT


def test_compressed_bytes_that_unfold_to_nothing_end():
    """Empty blocks of deflate could be sent without end."""
    compressor = zlib.compressobj(0, zlib.DEFLATED, -15)
    empty = compressor.flush(zlib.Z_FULL_FLUSH) * 1000
    made = exchange(coding="deflate", limit=1000)
    made.received(OK + b"\r\n")
    steps = [made.received(empty) for _ in range(50)]
    assert DONE in steps
    assert made.cut


@pytest.mark.parametrize(
    ("coding", "body", "seen"),
    [
        pytest.param("gzip", gzipped(b"ok"), b"ok", id="gzip"),
        pytest.param("deflate", zlibbed(b"ok", bits=15), b"ok", id="deflate as zlib"),
        pytest.param("deflate", zlibbed(b"ok", bits=-15), b"ok", id="deflate as it is"),
        pytest.param("gzip", b"", b"", id="nothing"),
        pytest.param("gzip", b"plain", None, id="plain text instead of gzip"),
        pytest.param("deflate", b"\xff\xff plain", None, id="plain text instead of deflate"),
    ],
)
def test_an_asked_for_compression_must_be_there(coding, body, seen):
    """As with blackbox_exporter, the header of the answer is not asked."""
    if seen is None:
        with pytest.raises(WireError, match=f"not compressed with {coding}"):
            fed(answer(body), coding=coding)
    else:
        assert fed(answer(body), coding=coding).body == seen


def test_the_head_is_there_as_soon_as_it_came():
    """A body that never ends does not hide the status code."""
    made = exchange()
    assert made.received(answer(b"half", length=100)) is WAIT
    assert made.head is not None
    assert (made.head.code, made.body_length) == (200, 4)


def test_fields_are_found_by_name():
    """Capitals do not matter, space around values is dropped, all values are there in order."""
    head = fed(OK + b"A: 1\r\nSet-Cookie:  x \r\naa: 2\r\nSET-COOKIE: y\r\nContent-Length: 0\r\n\r\n").head
    assert head is not None
    assert head.values(b"set-cookie") == [b"x", b"y"]
    assert head.value(b"a") == b"1"
    assert head.value(b"cookie") is None
    assert head.text(b"aa") == "2"
    assert head.text(b"none") == ""


class TestTunnel:
    """Through a proxy: CONNECT, its answer, TLS, and only then the request."""

    CONNECT = Send(b"CONNECT web.example:443 HTTP/1.1\r\n\r\n")

    def made(self) -> tuple[Exchange, StartTls]:
        tls = StartTls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "web.example")
        return exchange(tunnel=Tunnel(self.CONNECT, tls)), tls

    @pytest.mark.parametrize("piece", [1 << 20, 1], ids=["at once", "byte by byte"])
    def test_tls_begins_when_the_proxy_agrees(self, piece):
        """The request, with its credentials, is never shown to the proxy."""
        made, tls = self.made()
        assert made.opened() is self.CONNECT
        raw = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 Connection established\r\nX: y\r\n\r\n"
        steps = [made.received(raw[at : at + piece]) for at in range(0, len(raw), piece)]
        assert steps[-1] is tls
        assert made.opened() is REQUEST
        assert made.received(answer(b"ok")) is DONE
        assert made.body == b"ok"

    @pytest.mark.parametrize("code", [b"407 Auth", b"403 No", b"502 Bad", b"302 Found"])
    def test_a_refusal_names_the_code(self, code):
        """What the proxy says is not taken for the target's answer."""
        made, _ = self.made()
        made.opened()
        with pytest.raises(WireError, match=f"proxy answered {code[:3].decode()}") as caught:
            made.received(b"HTTP/1.1 " + code + b"\r\nContent-Length: 0\r\n\r\n")
        assert caught.value.cause == "connect"
        assert made.head is None

    def test_a_proxy_that_closes_is_named(self):
        """The target is not blamed."""
        made, _ = self.made()
        made.opened()
        with pytest.raises(WireError, match="the proxy closed"):
            made.ended()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(1, 20), max_size=20), st.sampled_from(["", "gzip", "deflate"]))
def test_any_bytes_are_an_answer_or_a_wire_error(data, cuts, coding):
    """Whatever comes, in whatever pieces, nothing else is raised."""
    made = exchange(coding=coding, limit=64)
    heads = (b"", OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"Content-Length: 100\r\n\r\n")
    for head in heads:
        made = exchange(coding=coding, limit=64)
        rest = head + data
        try:
            for cut in [*cuts, len(rest)]:
                piece, rest = rest[:cut], rest[cut:]
                if piece and made.received(piece) is DONE:
                    break
            else:
                made.ended()
        except WireError:
            pass
        assert made.body_length <= 64


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 40), st.booleans())
def test_chunks_give_back_what_was_cut_into_them(chunks, piece, compressed):
    """The body is the same for every way to cut it into chunks, and these into pieces."""
    whole = b"".join(chunks)
    sent = [gzipped(whole)] if compressed else chunks
    made = fed(chunked(*sent) + b"0\r\n\r\n", piece=piece, coding="gzip" if compressed else "")
    assert made.body == whole
