"""HTTP probes from end to end: real requests to real servers that answer well, badly, or not at all."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from servers import badhttp
from servers.badhttp import HOST, answer, gzipped
from servers.tls import Authority, blocking, quiet, self_signed, server_context
from servers.tls import serving as serving_tls

from exporter import __version__, probed
from exporter.clock import SystemClock
from exporter.config.options import Secret, Size
from exporter.exposition import checked
from exporter.probes import http
from exporter.probes.http import facts
from exporter.probes.http.options import BasicAuth, HeaderCheck, Options
from exporter.wire import Wire
from exporter.wire.tls import TlsOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from servers.badhttp import BadHttp

    from exporter.model import Family, Reading, Samples

LONG = 10.0
SHORT = 0.3
SECRETS = ("hunter2", "aHVudGVyMg", "t0k3n")


@dataclass
class Parts:
    wire: Wire
    steps: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()
    databases: dict[str, Any] = field(default_factory=dict)
    clock: SystemClock = field(default_factory=SystemClock)
    hears: bool = True

    def allows(self, address: str) -> bool:
        self.asked.append(address)
        return address not in self.forbidden

    def explain(self, step: str) -> None:
        self.steps.append(step)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    wire = Wire()
    yield Parts(wire)
    await wire.close()


@pytest.fixture
async def bad() -> AsyncIterator[BadHttp]:
    async with badhttp.serving() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> TlsOptions:
    path = tmp_path / "root.pem"
    path.write_bytes(authority.root.pem())
    return TlsOptions(ca_file=path)


async def read(parts: Parts, url: str, timeout: float = LONG, **keywords: Any) -> Reading:
    return await http.probe(Options(url=url, **keywords), parts, timeout)


def value(samples: Samples, family: Family) -> float:
    (number,) = samples[family].values()
    return number


@pytest.mark.parametrize(
    ("path", "expected", "words"),
    [
        pytest.param("/ok", ("up", "", 200), "200 OK in", id="up"),
        pytest.param("/chunks", ("up", "", 200), "200 OK in", id="chunks"),
        pytest.param("/no-length", ("up", "", 200), "200 OK in", id="HTTP/1.0"),
        pytest.param("/drip", ("up", "", 200), "200 OK in", id="dripping"),
        pytest.param("/drip-chunks", ("up", "", 200), "200 OK in", id="dripping chunks"),
        pytest.param("/cookies", ("up", "", 200), "200 OK in", id="a thousand cookies"),
        pytest.param("/long", ("up", "", 200), "200 OK in", id="a long body"),
        pytest.param("/bomb", ("up", "", 200), "200 OK in", id="a gzip bomb"),
        pytest.param("/endless-body", ("up", "", 200), "200 OK in", id="an endless body"),
        pytest.param("/endless-chunks", ("up", "", 200), "200 OK in", id="endless chunks"),
        pytest.param("/status/204", ("up", "", 204), "204 No Content in", id="204"),
        pytest.param("/healthy", ("up", "", 200), "the body says healthy", id="a healthy body"),
        pytest.param("/unhealthy", ("down", "health", 200), "200 OK; the body says", id="200 and unhealthy"),
        pytest.param("/unhealthy-part", ("down", "health", 200), "down: db", id="200 and an unhealthy part"),
        pytest.param("/unavailable-but-ok", ("down", "status", 503), "503 Service Unavailable", id="503 and ok"),
        pytest.param("/status/301", ("degraded", "status", 301), "301 Moved Permanently", id="a redirect"),
        pytest.param("/status/404", ("degraded", "status", 404), "404 Not Found", id="404"),
        pytest.param("/status/429", ("degraded", "status", 429), "429 Too Many Requests", id="429"),
        pytest.param("/status/500", ("down", "status", 500), "500 Internal Server Error", id="500"),
        pytest.param("/html", ("down", "status", 500), "500 Internal Server Error", id="500 and a phrase of HTML"),
        pytest.param("/status/799", ("down", "status", 799), "799", id="a code without words"),
        pytest.param("/http09", ("down", "protocol", None), "does not answer with HTTP", id="HTTP/0.9"),
        pytest.param("/http2", ("down", "protocol", None), "another version", id="HTTP/2"),
        pytest.param("/garbage", ("down", "protocol", None), "does not answer with HTTP", id="garbage"),
        pytest.param("/ssh", ("down", "protocol", None), "does not answer with HTTP", id="SSH"),
        pytest.param("/no-status", ("down", "protocol", None), "no status code", id="no status"),
        pytest.param("/closed", ("down", "protocol", None), "without an answer", id="closed at once"),
        pytest.param("/cut-head", ("down", "protocol", None), "middle of the answer's header", id="half a header"),
        pytest.param("/cut-body", ("down", "protocol", 200), "10 of 100 bytes", id="half a body"),
        pytest.param("/half-closed", ("down", "protocol", 200), "10 of 100 bytes", id="half closed"),
        pytest.param("/cut-chunks", ("down", "protocol", 200), "last chunk is missing", id="no last chunk"),
        pytest.param("/bad-chunks", ("down", "protocol", 200), "chunks are malformed", id="bad chunks"),
        pytest.param("/long-chunk", ("down", "protocol", 200), "chunks are malformed", id="a chunk too long"),
        pytest.param("/two-lengths", ("down", "protocol", 200), "contradict", id="two lengths"),
        pytest.param("/not-gzip", ("down", "protocol", 200), "not compressed with gzip", id="no gzip"),
        pytest.param("/cut-gzip", ("down", "protocol", 200), "gzip compression", id="half a gzip file"),
        pytest.param("/big-head", ("down", "protocol", None), "longer than 64 KiB", id="a huge header"),
        pytest.param("/endless-head", ("down", "protocol", None), "longer than 64 KiB", id="an endless header"),
        pytest.param("/endless-line", ("down", "protocol", None), "longer than 64 KiB", id="an endless header line"),
        pytest.param("/endless-continue", ("down", "protocol", None), "longer than 64 KiB", id="endlessly 100"),
        pytest.param("/endless-extensions", ("down", "protocol", 200), "more framing", id="endless extensions"),
        pytest.param("/endless-trailers", ("down", "protocol", 200), "more framing", id="endless trailers"),
        pytest.param("/endless-gzip", ("down", "protocol", 200), "1000 members", id="endless empty gzip"),
    ],
)
async def test_an_answer_has_a_state_and_a_reason(parts, bad, path, expected, words):
    """Whatever the server does, the reading says what it was, with a cause of few words."""
    reading = await read(parts, bad.url(path))
    assert (reading.state, reading.cause, reading.status_code) == expected
    assert words in reading.reason
    assert "<" not in reading.reason
    assert reading.phases.keys() <= set(facts.PHASES)
    assert reading.duration == pytest.approx(sum(reading.phases.values()))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/silent", None, id="silent"),
        pytest.param("/waiting", None, id="slow"),
        pytest.param("/trickle", 200, id="a body that trickles on"),
    ],
)
async def test_a_deadline_ends_what_does_not_end(parts, bad, path, code):
    """A server that does not finish is down when the time is up, and what came until then is kept."""
    reading = await read(parts, bad.url(path), SHORT)
    assert (reading.state, reading.cause, reading.status_code) == ("down", "timeout", code)
    assert f"{SHORT:g} s" in reading.reason


@pytest.mark.parametrize("path", ["/reset", "/reset-body"])
async def test_a_reset_is_down(parts, bad, path):
    """RST takes the answer away, wherever it comes."""
    reading = await read(parts, bad.url(path))
    assert (reading.state, reading.cause) == ("down", "connect")
    assert "reset" in reading.reason


async def test_nobody_there_is_down(parts):
    """A refused connection is down with the address in words."""
    async with badhttp.serving() as gone:
        port = gone.port
    reading = await read(parts, f"http://{HOST}:{port}/")
    assert (reading.state, reading.cause, reading.status_code) == ("down", "connect", None)
    assert str(port) in reading.reason
    shown = http.samples(reading)
    assert value(shown, facts.STATUS_CODE) == value(shown, facts.VERSION) == value(shown, facts.SSL) == 0


async def test_a_slow_answer_waits_for_the_server(parts, bad):
    """What the server takes is the phase of processing."""
    task = asyncio.create_task(read(parts, bad.url("/waiting")))
    await bad.taken.wait()
    bad.released.set()
    reading = await task
    assert reading.state == "up"
    assert {"connect", "processing", "transfer"} <= reading.phases.keys()


@pytest.mark.parametrize(
    ("path", "keywords", "expected", "words"),
    [
        pytest.param("/status/404", {"expected_status_code": 404}, ("up", ""), "404 Not Found in", id="expected 404"),
        pytest.param("/ok", {"expected_status_code": 404}, ("degraded", "status"), "not 404", id="200, not 404"),
        pytest.param("/status/503", {"expected_status_code": 404}, ("down", "status"), "not 404", id="503, not 404"),
        pytest.param("/status/404", {"valid_status_codes": ("2xx", 404)}, ("up", ""), "404", id="404 is valid"),
        pytest.param("/status/503", {"valid_status_codes": ("500-599",)}, ("up", ""), "503", id="503 is valid"),
        pytest.param("/status/404", {"valid_status_codes": ("2xx",)}, ("down", "status"), "none of", id="404 is not"),
        pytest.param("/ok", {"valid_status_codes": (404,)}, ("down", "status"), "none of", id="200 is not"),
        pytest.param("/ok", {"valid_http_versions": ("HTTP/1.1", "HTTP/2.0")}, ("up", ""), "200", id="HTTP/1.1"),
        pytest.param("/no-length", {"valid_http_versions": ("HTTP/1.1",)}, ("down", "protocol"), "1.0", id="HTTP/1.0"),
        pytest.param("/ok", {"require_tls": False}, ("up", ""), "200", id="no TLS is wanted"),
        pytest.param("/ok", {"require_tls": True}, ("down", "tls"), "without TLS", id="TLS is wanted"),
        pytest.param("/ok", {"body_matches": ("all", "f.ne$")}, ("up", ""), "200", id="both match"),
        pytest.param("/ok", {"body_matches": ("all", "bad")}, ("down", "body"), "not match 'bad'", id="one does not"),
        pytest.param("/ok", {"body_not_matches": ("bad", "ok")}, ("up", ""), "200", id="none matches"),
        pytest.param(
            "/ok", {"body_not_matches": ("bad", "fine")}, ("down", "body"), "matches 'fine'", id="one matches"
        ),
        pytest.param("/chunks", {"body_matches": ("^all fine$",)}, ("up", ""), "200", id="the body of chunks"),
        pytest.param("/gzip", {"body_matches": ("^all fine$",)}, ("up", ""), "200", id="the body unfolded"),
        pytest.param("/long", {"body_matches": ("y",)}, ("down", "body"), "1048576 bytes", id="what was read"),
        pytest.param("/long", {"body_size_limit": Size(5)}, ("down", "body"), "longer than 5 bytes", id="too long"),
        pytest.param("/bomb", {"body_size_limit": Size(9999)}, ("down", "body"), "longer", id="a bomb, limited"),
        pytest.param("/ok", {"body_size_limit": Size(8)}, ("up", ""), "200", id="just long enough"),
        pytest.param("/gzip", {"compression": "gzip"}, ("up", ""), "200", id="gzip, as asked"),
        pytest.param(
            "/ok", {"compression": "gzip"}, ("down", "protocol"), "not compressed", id="no gzip, though asked"
        ),
        pytest.param("/ok", {"compression": "identity"}, ("up", ""), "200", id="identity"),
        pytest.param("/unhealthy", {"health": False}, ("up", ""), "200 OK in", id="the body is not judged"),
        pytest.param("/unhealthy", {"valid_status_codes": ("2xx",)}, ("down", "health"), "unhealthy", id="it is"),
        pytest.param("/unhealthy", {"method": "HEAD"}, ("up", ""), "200", id="HEAD has no body"),
        pytest.param(
            "/ok", {"method": "HEAD", "body_matches": ("x",)}, ("down", "body"), "not match", id="nor a match"
        ),
    ],
)
async def test_options_change_the_verdict(parts, bad, path, keywords, expected, words):
    """Each expectation both ways."""
    reading = await read(parts, bad.url(path), **keywords)
    assert (reading.state, reading.cause) == expected
    assert words in reading.reason


@pytest.mark.parametrize(
    ("check", "matches", "does_not"),
    [
        pytest.param(HeaderCheck(header="content-TYPE", regexp="^text/"), True, False, id="the value matches"),
        pytest.param(HeaderCheck(header="Content-Type", regexp="json"), False, True, id="it does not"),
        pytest.param(HeaderCheck(header="X-Two", regexp="second"), True, False, id="one of two matches"),
        pytest.param(HeaderCheck(header="X-None", regexp="x"), False, False, id="missing"),
        pytest.param(HeaderCheck(header="X-None", regexp="x", allow_missing=True), True, True, id="may be missing"),
    ],
)
async def test_headers_are_held_against_expressions(parts, bad, check, matches, does_not):
    """As with blackbox_exporter, a missing header is a failure both ways."""
    bad.extra["/h"] = answer(b"", "Content-Type: text/plain", "X-Two: first", "X-Two: second")
    for keywords, is_up in (({"header_matches": (check,)}, matches), ({"header_not_matches": (check,)}, does_not)):
        reading = await read(parts, bad.url("/h"), **keywords)
        assert (reading.state == "up") is is_up, reading.reason
        assert value(http.samples(reading), probed.FAILED_DUE_TO_REGEX) == (0 if is_up else 1)
        if not is_up:
            assert reading.cause == "answer"
            assert check.header in reading.reason


async def test_an_expression_that_takes_too_long_holds_nobody_up(parts, bad):
    """RE2 is linear, in the pattern too: what it cannot do in time says nothing of the service."""
    options = http.Options(url=bad.url("/long"), body_matches=("(x?){1000}y",), body_size_limit=Size(40_000))
    reading = await http.probe(options, parts, 0.3)
    assert (reading.state, reading.cause, reading.status_code) == ("unknown", "config", 200)
    assert "could not be looked for in 40000 bytes in time" in reading.reason


async def test_expressions_are_not_asked_of_an_error_page(parts, bad):
    """They were written for the page itself: the code is the reason, and no expression is to blame."""
    reading = await read(parts, bad.url("/status/500"), body_matches=("fine",))
    assert reading.cause == "status"
    assert value(http.samples(reading), probed.FAILED_DUE_TO_REGEX) == 0


async def test_a_request_is_one_line_of_truth(parts, bad):
    """What the server gets is what was configured."""
    await read(
        parts,
        bad.url("/ok?q=ä#part"),
        method="POST",
        body="a=ü",
        headers={"Host": "other.example", "X-A": "b"},
        basic_auth=BasicAuth(username="user", password=Secret("hunter2")),
    )
    head, _, body = bad.requests[0].partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "POST /ok?q=%C3%A4 HTTP/1.1",
        "Host: other.example",
        f"User-Agent: Watchbridge/{__version__}",
        "Accept: */*",
        "Authorization: Basic dXNlcjpodW50ZXIy",
        "X-A: b",
        "Content-Length: 4",
        "Connection: close",
    ]
    assert body == "a=ü".encode()


async def test_a_body_comes_from_a_file_as_it_is_now(parts, bad, tmp_path):
    """The file is read at each run."""
    path = tmp_path / "body.json"
    options = Options(url=bad.url("/ok"), method="POST", body_file=path)
    for content in (b"one", b"two\xff"):
        path.write_bytes(content)
        assert (await http.probe(options, parts, LONG)).state == "up"
    assert [request.partition(b"\r\n\r\n")[2] for request in bad.requests] == [b"one", b"two\xff"]


@pytest.mark.parametrize("kind", ["missing", "pipe", "huge"])
async def test_a_body_that_cannot_be_read_says_nothing_of_the_service(parts, bad, tmp_path, kind):
    """Nothing is sent, and the state is unknown."""
    path = tmp_path / "body"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2 * badhttp.MIB)
    reading = await read(parts, bad.url("/ok"), method="POST", body_file=path)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "body_file" in reading.reason
    assert bad.requests == []


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({"url": "http://user:hunter2@h/"}, id="a URL with a password"),
        pytest.param({"url": "nothing"}, id="no URL"),
        pytest.param({"url": "http://h/", "bearer_token": Secret("hunter2\r\nX: y")}, id="a token of two lines"),
        pytest.param({"url": "http://h/", "headers": {"A": "hunter2\nB: c"}}, id="a header of two lines"),
        pytest.param({"url": "http://h/", "method": "GET / HTTP/1.1\r\n"}, id="a method of two lines"),
    ],
)
async def test_options_that_cannot_be_probed_are_unknown(parts, keywords):
    """Options are checked when they are loaded; what was not is no exception either."""
    reading = await http.probe(Options(**keywords), parts, LONG)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "hunter2" not in reading.reason


class TestRedirects:
    async def test_they_are_not_followed_by_default(self, parts, bad):
        """Decision 4: a redirect is degraded."""
        reading = await read(parts, bad.url("/redirect/0"))
        assert (reading.state, reading.status_code, bad.connections) == ("degraded", 302, 1)

    @pytest.mark.parametrize(("path", "count"), [("/redirect/0", 1), ("/redirect/9", 10)])
    async def test_they_are_followed_when_asked(self, parts, bad, path, count):
        """Up to ten; durations and phases are those of all of them."""
        reading = await read(parts, bad.url(path), follow_redirects=True)
        assert (reading.state, reading.status_code) == ("up", 200)
        assert value(http.samples(reading), facts.REDIRECTS) == count
        assert bad.connections == count + 1
        assert reading.duration == pytest.approx(sum(reading.phases.values()))

    async def test_the_eleventh_is_not(self, parts, bad):
        """As with blackbox_exporter."""
        reading = await read(parts, bad.url("/redirect/10"), follow_redirects=True)
        assert (reading.state, reading.cause, reading.status_code) == ("down", "protocol", 302)
        assert "more than 10 redirects" in reading.reason
        assert bad.connections == 11

    async def test_a_loop_is_named(self, parts, bad):
        """It ends when it closes, not after ten."""
        reading = await read(parts, bad.url("/loop/a"), follow_redirects=True)
        assert (reading.state, reading.cause) == ("down", "protocol")
        assert re.search(r"in a loop: \S+/loop/a → \S+/loop/b → \S+/loop/a", reading.reason)
        assert bad.connections == 2

    async def test_one_that_leads_nowhere_is_an_answer(self, parts, bad):
        """Without Location there is nothing to follow."""
        reading = await read(parts, bad.url("/moved-nowhere"), follow_redirects=True)
        assert (reading.state, reading.status_code) == ("degraded", 302)

    @pytest.mark.parametrize(
        ("location", "words"),
        [
            pytest.param("file:///etc/passwd", "neither http nor https", id="a file"),
            pytest.param("gopher://127.0.0.1/", "neither http nor https", id="gopher"),
            pytest.param("unix:/run/docker.sock", "neither http nor https", id="a socket"),
            pytest.param("http://[::1/", "cannot be read", id="no URL"),
            pytest.param("http://h/\0", "control characters", id="NUL"),
        ],
    )
    async def test_one_to_anything_else_is_refused(self, parts, bad, location, words):
        """B10: a server cannot send us to what is no HTTP."""
        bad.extra["/to"] = answer(b"", f"Location: {location}", status="302 Found")
        reading = await read(parts, bad.url("/to"), follow_redirects=True)
        assert (reading.state, reading.cause) == ("down", "protocol")
        assert words in reading.reason
        assert bad.connections == 1

    @pytest.mark.parametrize(
        "host",
        ["169.254.169.254", "[::ffff:169.254.169.254]", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376"],
    )
    async def test_one_to_a_forbidden_address_is_refused(self, parts, bad, host):
        """B10: the guard is asked for each hop, about what would be connected to."""
        parts.forbidden = frozenset({"169.254.169.254", "::ffff:169.254.169.254"})
        bad.extra["/to"] = answer(b"", f"Location: http://{host}/latest/meta-data/", status="302 Found")
        reading = await read(parts, bad.url("/to"), follow_redirects=True)
        assert (reading.state, reading.cause) == ("down", "refused")
        assert "after 1 redirect" in reading.reason
        assert parts.asked[0] == HOST
        assert {address.removeprefix("::ffff:") for address in parts.asked[1:]} == {"169.254.169.254"}

    async def test_credentials_stay_at_home(self, parts, bad):
        """Another port is another host: it gets neither password nor header."""
        async with badhttp.serving() as other:
            bad.extra["/to"] = answer(b"", f"Location: {other.url('/ok')}", status="302 Found")
            reading = await read(
                parts,
                bad.url("/to"),
                follow_redirects=True,
                bearer_token=Secret("t0k3n"),
                headers={"Cookie": "c=hunter2", "X-Api-Key": "k3y"},
            )
        assert reading.state == "up"
        assert b"t0k3n" in bad.requests[0]
        for secret in (b"t0k3n", b"hunter2", b"k3y", b"Authorization"):
            assert secret not in other.requests[0]

    async def test_the_deadline_is_that_of_all(self, parts, bad):
        """A redirect to a silent server does not begin the time anew."""
        bad.extra["/to"] = answer(b"", "Location: /silent", status="302 Found")
        reading = await read(parts, bad.url("/to"), SHORT, follow_redirects=True)
        assert (reading.state, reading.cause) == ("down", "timeout")
        within = re.search(r"within ([0-9.]+) s", reading.reason)
        assert within is not None
        assert float(within[1]) < SHORT
        assert "after 1 redirect" in reading.reason

    async def test_it_leads_from_http_to_https(self, parts, bad, authority, trusted, tmp_path):
        """What is shown of TLS is that of the last hop."""
        context = server_context(authority.leaf(), tmp_path)
        async with badhttp.serving(context) as secure:
            bad.extra["/to"] = answer(b"", f"Location: {secure.url('/ok')}", status="301 Moved")
            reading = await read(parts, bad.url("/to"), follow_redirects=True, tls=trusted, require_tls=True)
        assert reading.state == "up"
        assert value(http.samples(reading), facts.SSL) == 1


class TestTls:
    async def test_a_trusted_server_is_up(self, parts, authority, trusted, tmp_path):
        """Expiry, version, cipher and the certificate are shown in blackbox_exporter's names."""
        leaf = authority.leaf()
        async with badhttp.serving(server_context(leaf, tmp_path)) as secure:
            reading = await read(parts, secure.url("/ok"), tls=trusted)
        assert reading.state == "up", reading.reason
        assert reading.tls_expiry == leaf.ends
        assert "tls" in reading.phases
        shown = http.samples(reading)
        assert value(shown, facts.SSL) == 1
        assert value(shown, probed.EARLIEST_EXPIRY) == leaf.ends
        assert list(shown[probed.TLS_VERSION]) == [("TLS 1.3",)]
        ((fingerprint, subject, issuer, names, _serial),) = shown[probed.LAST_CHAIN_INFO]
        assert re.fullmatch("[0-9a-f]{64}", fingerprint)
        assert (subject, issuer, names) == ("CN=server.example", "CN=Test Root", "localhost")

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            pytest.param("expired", "expired", id="expired"),
            pytest.param("self-signed", "self-signed", id="self-signed"),
            pytest.param("wrong name", "made out to", id="a wrong name"),
            pytest.param("unknown", "authority", id="an unknown authority"),
        ],
    )
    async def test_a_certificate_that_is_not_right_is_down(self, parts, authority, trusted, tmp_path, kind, words):
        """In words that say what is wrong with it; unless it is not to be looked at."""
        certified = {
            "expired": lambda: authority.leaf(days=-1),
            "self-signed": self_signed,
            "wrong name": lambda: authority.leaf(names=["other.example"]),
            "unknown": lambda: Authority("Another Root").leaf(),
        }[kind]()
        with blocking(server_context(certified, tmp_path), badhttp.RAW["/ok"]) as port:
            reading = await read(parts, f"https://{HOST}:{port}/", tls=trusted)
            assert (reading.state, reading.cause, reading.status_code) == ("down", "tls", None)
            assert words in reading.reason
            reading = await read(parts, f"https://{HOST}:{port}/", tls=TlsOptions(insecure_skip_verify=True))
            assert reading.state == "up", reading.reason
            assert reading.tls_expiry == certified.ends

    async def test_the_name_may_be_another(self, parts, authority, trusted, tmp_path):
        """The header Host, or the configured name, is what the certificate must have."""
        context = server_context(authority.leaf(names=["other.example"]), tmp_path)
        async with badhttp.serving(context) as secure:
            assert (await read(parts, secure.url("/ok"), tls=trusted, headers={"Host": "other.example"})).state == "up"
            named = TlsOptions(ca_file=trusted.ca_file, server_name="other.example")
            assert (await read(parts, secure.url("/ok"), tls=named)).state == "up"
            assert (await read(parts, secure.url("/ok"), tls=trusted)).cause == "tls"

    async def test_tls_where_none_is_wanted(self, parts, authority, trusted, tmp_path):
        """blackbox_exporter's fail_if_ssl."""
        async with badhttp.serving(server_context(authority.leaf(), tmp_path)) as secure:
            reading = await read(parts, secure.url("/ok"), tls=trusted, require_tls=False)
        assert (reading.state, reading.cause) == ("down", "tls")

    async def test_a_handshake_that_stalls_is_down_at_the_deadline(self, parts, trusted):
        """F15: TLS that is taken and never answered."""
        async with serving_tls(quiet) as port:
            reading = await read(parts, f"https://{HOST}:{port}/", SHORT, tls=trusted)
        assert (reading.state, reading.cause) == ("down", "timeout")

    async def test_an_authority_that_is_missing_is_our_mistake(self, parts, bad, tmp_path):
        """The service may well be up."""
        reading = await read(parts, f"https://{HOST}:1/", tls=TlsOptions(ca_file=tmp_path / "none.pem"))
        assert (reading.state, reading.cause) == ("unknown", "config")


class TestProxy:
    async def test_http_goes_by_its_whole_url(self, parts, bad):
        """The proxy gets the request, and the host itself is not looked up."""
        bad.extra["http://web.example/ok"] = answer(b"from the proxy")
        reading = await read(parts, "http://web.example/ok?q=1", proxy=bad.url("/"), body_matches=("from the proxy",))
        assert (reading.state, set(parts.asked)) == ("up", {HOST})
        assert bad.requests[0].startswith(b"GET http://web.example/ok?q=1 HTTP/1.1\r\nHost: web.example\r\n")

    async def test_https_goes_through_a_tunnel(self, parts, bad, authority, trusted, tmp_path):
        """The proxy sees a CONNECT and no credential; TLS is with the target."""
        async with badhttp.serving(server_context(authority.leaf(), tmp_path)) as secure:
            reading = await read(
                parts, secure.url("/ok"), proxy=bad.url("/"), tls=trusted, bearer_token=Secret("t0k3n")
            )
        assert reading.state == "up", reading.reason
        assert value(http.samples(reading), facts.SSL) == 1
        assert bad.requests[0].startswith(f"CONNECT {HOST}:{secure.port} HTTP/1.1\r\n".encode())
        assert b"t0k3n" not in bad.requests[0]
        assert b"t0k3n" in secure.requests[0]

    async def test_a_refusal_is_the_proxy_s(self, parts, bad):
        """The state is down, and the reason names the proxy."""
        reading = await read(parts, "https://web.example/", proxy=bad.url("/"))
        assert (reading.state, reading.cause, reading.status_code) == ("down", "connect", None)
        assert "proxy answered 403" in reading.reason

    @pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0xa9fea9fe", "2852039166", "169.254.43518"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_it_is_not_asked_for_a_forbidden_address(self, parts, bad, scheme, host):
        """B10: what we may not connect to, nobody may for us."""
        parts.forbidden = frozenset({"169.254.169.254", "fe80::1"})
        reading = await read(parts, f"{scheme}://{host}/", proxy=bad.url("/"))
        assert (reading.state, reading.cause) == ("down", "refused")
        assert bad.connections == 0

    async def test_the_environment_is_not_asked(self, parts, bad, monkeypatch):
        """A variable that is there for other programs does not send probes elsewhere."""
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert (await read(parts, bad.url("/ok"))).state == "up"


async def test_the_guard_is_asked(parts, bad):
    """A forbidden address is not connected to."""
    parts.forbidden = frozenset({HOST})
    reading = await read(parts, bad.url("/ok"))
    assert (reading.state, reading.cause) == ("down", "refused")
    assert bad.connections == 0


async def test_samples_have_blackbox_s_names(parts, bad):
    """Values of a plain answer, and families that are well formed."""
    bad.extra["/x"] = answer(
        b"all fine", "Last-Modified: Thu, 26 Nov 2026 10:00:00 GMT", "X-Response-Time: 145ms", status="200 OK"
    )
    reading = await read(parts, bad.url("/x"))
    shown = http.samples(reading)
    assert {family.name: value(shown, family) for family in shown if not family.labels} == {
        "probe_http_status_code": 200,
        "probe_http_content_length": 8,
        "probe_http_uncompressed_body_length": 8,
        "probe_http_redirects": 0,
        "probe_http_ssl": 0,
        "probe_http_version": 1.1,
        "probe_http_last_modified_timestamp_seconds": 1795687200,
        "probe_failed_due_to_regex": 0,
        "probe_dns_lookup_time_seconds": 0,
        "probe_ip_protocol": 4,
        "probe_ip_addr_hash": 3668918509,
    }
    assert {labels[0] for labels in shown[facts.DURATION]} == set(facts.PHASES)
    assert shown.keys() <= set(http.FAMILIES)
    assert facts.response_seconds(reading.facts.response_time) == pytest.approx(0.145)
    assert "the service says that it took 145 ms" in parts.steps
    for family in http.FAMILIES:
        checked(family)


@pytest.mark.parametrize(
    ("path", "length", "unfolded"),
    [("/chunks", -1, 8), ("/gzip", len(gzipped(b"all fine")), 8), ("/status/204", 0, 0), ("/cut-body", 100, 10)],
)
async def test_lengths_are_those_of_blackbox(parts, bad, path, length, unfolded):
    """-1 where none was announced; the body as it was unfolded."""
    shown = http.samples(await read(parts, bad.url(path)))
    assert (value(shown, facts.CONTENT_LENGTH), value(shown, facts.BODY_LENGTH)) == (length, unfolded)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("145ms", 0.145),
        ("145 ms", 0.145),
        ("0.2s", 0.2),
        ("7", 0.007),
        ("1500us", 0.0015),
        ("MS", None),
        ("", None),
        ("-1ms", None),
        ("1e5s", None),
        ("9" * 50, None),
    ],
)
def test_response_times_are_read(text, seconds):
    """S4.57's header, in the forms that servers use; anything else counts for nothing."""
    assert facts.response_seconds(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("text", ["", "yesterday", "Thu, 99 Nov 2026 10:00:00 GMT", "Thu, 26 Nov 9999999 10:00:00 GMT"])
async def test_a_date_that_is_none_is_absent(parts, bad, text):
    """A timestamp that is not known is not exposed."""
    bad.extra["/x"] = answer(b"", f"Last-Modified: {text}")
    assert facts.LAST_MODIFIED not in http.samples(await read(parts, bad.url("/x")))


async def test_a_run_is_explained(parts, bad):
    """Where it went, what came, and each check, without a credential or a query."""
    await read(
        parts,
        bad.url("/unhealthy?token=t0k3n"),
        basic_auth=BasicAuth(username="user", password=Secret("hunter2")),
        body_matches=("status",),
        body_not_matches=("fatal",),
    )
    told = "\n".join(parts.steps)
    for words in (f"GET http://{HOST}:{bad.port}/unhealthy", "connected", "200 OK", "matches 'status'", "unhealthy"):
        assert words in told
    for secret in SECRETS:
        assert secret not in told


@pytest.mark.parametrize("path", ["/ok", "/closed", "/ssh", "/redirect/1", "/loop/a", "/silent", "/cut-body"])
async def test_no_reason_holds_a_credential(parts, bad, path):
    """Whatever happens to the request that carries them."""
    reading = await read(
        parts,
        bad.url(f"{path}?token=t0k3n"),
        SHORT,
        follow_redirects=True,
        basic_auth=BasicAuth(username="user", password=Secret("hunter2")),
    )
    told = repr(reading) + "\n".join(parts.steps)
    for secret in SECRETS:
        assert secret not in told


async def test_no_expression_hangs(parts, bad):
    """B17: a pattern that takes a backtracking engine years, over a mebibyte."""
    bad.extra["/x"] = answer(b"a" * (badhttp.MIB - 1) + b"!")
    reading = await read(parts, bad.url("/x"), body_matches=("(a+)+$",))
    assert (reading.state, reading.cause) == ("down", "body")


async def test_many_are_asked_at_once(parts, bad):
    """Hung servers do not hold up the others: 200 answers while 100 are waited for."""
    hung = [asyncio.create_task(read(parts, bad.url("/waiting"))) for _ in range(100)]
    fine = await asyncio.gather(*(read(parts, bad.url("/ok")) for _ in range(200)))
    assert {reading.state for reading in fine} == {"up"}
    assert not any(task.done() for task in hung)
    bad.released.set()
    assert {reading.state for reading in await asyncio.gather(*hung)} == {"up"}
