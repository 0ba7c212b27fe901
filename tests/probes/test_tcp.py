"""TCP probes: the dialogue as bytes, and whole runs against real servers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.tls import HOST, Authority, blocking, gone, quiet, reset, self_signed, server_context, serving

from exporter import probed
from exporter.clock import SystemClock
from exporter.exposition import checked
from exporter.probes import tcp
from exporter.probes.tcp import ExpectLabel, Options, QueryResponse
from exporter.probes.tcp.dialogue import Dialogue
from exporter.wire import DONE, WAIT, Send, StartTls, Wire, WireError
from exporter.wire.tls import TlsOptions, client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from exporter.model import Reading

SSH = (
    QueryResponse(
        expect=r"^SSH-2.0-([^ -]+)(?: (.*))?$",
        labels=(ExpectLabel(name="ssh_version", value="${1}"), ExpectLabel(name="ssh_comments", value="$2")),
    ),
)
"""The module `ssh_banner_extract` of blackbox_exporter's example."""
IRC = (
    QueryResponse(send="NICK prober"),
    QueryResponse(send="USER prober prober prober :prober"),
    QueryResponse(expect="PING :([^ ]+)", send="PONG ${1}"),
    QueryResponse(expect="^:[^ ]+ 001"),
)
"""The module `irc_banner` of the same."""
SMTP = (
    QueryResponse(expect="^220 ([^ ]+) ESMTP (.+)$"),
    QueryResponse(send="EHLO prober\r"),
    QueryResponse(expect="^250-STARTTLS"),
    QueryResponse(send="STARTTLS\r"),
    QueryResponse(expect="^220"),
    QueryResponse(starttls=True),
    QueryResponse(send="EHLO prober\r"),
    QueryResponse(expect="^250-AUTH"),
    QueryResponse(send="QUIT\r"),
)
"""The module `smtp_starttls` of the same, with CR before each LF."""
LONG = 10.0
SHORT = 0.3


@dataclass
class Parts:
    wire: Wire
    steps: list[str] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()
    databases: dict[str, Any] = field(default_factory=dict)
    clock: SystemClock = field(default_factory=SystemClock)

    def allows(self, address: str) -> bool:
        return address not in self.forbidden

    def explain(self, step: str) -> None:
        self.steps.append(step)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    wire = Wire()
    yield Parts(wire)
    await wire.close()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> TlsOptions:
    return TlsOptions(ca_file=authority.root.written(tmp_path, "root")[0])


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return server_context(authority.leaf(), tmp_path)


def options(port: int, *steps: QueryResponse, **more: Any) -> Options:
    return Options(address=f"{HOST}:{port}", query_response=steps, **more)


def labels_of(reading: Reading) -> dict[str, str]:
    """Return the labels of `probe_expect_info`."""
    family, values = next((f, v) for f, v in tcp.samples(reading).items() if f.name == "probe_expect_info")
    return dict(zip(family.labels, next(iter(values)), strict=True))


def metrics_of(reading: Reading) -> dict[str, float]:
    """Return the values of families without labels, by name."""
    return {family.name: values[()] for family, values in tcp.samples(reading).items() if not family.labels}


# The dialogue, without any network.


def dialogue(*steps: QueryResponse) -> Dialogue:
    return Dialogue(
        steps, lambda: StartTls(client_context(TlsOptions(insecure_skip_verify=True)), None), lambda _: None
    )


@given(st.data())
def test_any_cut_gives_the_same_groups(data: st.DataObject) -> None:
    """However a banner is cut into pieces, its groups are whole."""
    banner = b"hello\r\nSSH-2.0-OpenSSH_9.6p1 Ubuntu 3\r\n"
    machine = dialogue(*SSH)
    step, at = machine.opened(), 0
    while at < len(banner):
        assert step is WAIT
        size = data.draw(st.integers(1, len(banner) - at))
        step = machine.received(banner[at : at + size])
        at += size
    assert step is DONE
    assert machine.labels == {"ssh_version": "OpenSSH_9.6p1", "ssh_comments": "Ubuntu 3"}


@pytest.mark.parametrize(
    ("send", "pattern", "line", "sent"),
    [
        pytest.param("PONG ${1}", "PING :(.*)", b"PING :x1", b"PONG x1\n", id="braces"),
        pytest.param("PONG $1", "PING :(.*)", b"PING :x1", b"PONG x1\n", id="no braces"),
        pytest.param("$name!", "(?P<name>a+)", b"baab", b"aa!\n", id="name"),
        pytest.param("$0", "a+", b"baab", b"aa\n", id="all of it"),
        pytest.param("$$1 ${", "(a)", b"a", b"$1 ${\n", id="a dollar"),
        pytest.param("<$2>", "(a)|(b)", b"a", b"<>\n", id="a group that took no part"),
        pytest.param("<$1x>", "(a)", b"a", b"<>\n", id="an unknown name is empty, as in Go"),
        pytest.param("<$9>", "(a)", b"a", b"<>\n", id="an unknown number is empty, as in Go"),
        pytest.param("$1", r"(\C*)", b"\xff\xfe", b"\xff\xfe\n", id="bytes that are no UTF-8"),
    ],
)
def test_groups_in_send(send: str, pattern: str, line: bytes, sent: bytes) -> None:
    """What is sent takes the groups of the line, as Go's Expand does."""
    machine = dialogue(QueryResponse(expect=pattern, send=send), QueryResponse(expect="never"))
    machine.opened()
    assert machine.received(line + b"\r\n") == Send(sent)


def test_send_without_expect_is_verbatim() -> None:
    """A dollar has no meaning where no line was awaited, and steps that only send go out together."""
    machine = dialogue(QueryResponse(send="price $1"), QueryResponse(send="$$"), QueryResponse(expect="x"))
    assert machine.opened() == Send(b"price $1\n$$\n")


def test_prompt_without_line_end() -> None:
    """A prompt that ends no line is found; what comes in one piece behind a line is kept for the next step."""
    machine = dialogue(
        QueryResponse(expect="login: $", send="me"), QueryResponse(expect="word"), QueryResponse(expect="x")
    )
    assert machine.opened() is WAIT
    assert machine.received(b"motd\r\nlog") is WAIT
    assert machine.received(b"in: ") == Send(b"me\n")
    assert machine.received(b"password\nx") is DONE


def test_line_before_tls_is_whole() -> None:
    """TLS begins only when the line that agreed to it has ended, and what came in clear behind it is dropped."""
    machine = dialogue(QueryResponse(expect="^220"), QueryResponse(starttls=True), QueryResponse(expect="^secret"))
    machine.opened()
    assert machine.received(b"220 go") is WAIT
    assert isinstance(machine.received(b" ahead\r\nsecret in clear\r\n"), StartTls)
    assert machine.opened() is WAIT
    assert machine.received(b"secret\r\n") is DONE


def test_expected_bytes() -> None:
    """Counted bytes are taken as they are, cut anywhere, and lines go on behind them."""
    machine = dialogue(QueryResponse(expect_bytes="\x00ü\n"), QueryResponse(expect="^then$"))
    machine.opened()
    assert machine.received(b"\x00\xc3") is WAIT
    assert machine.received(b"\xbc\nthen\n") is DONE


def test_other_bytes() -> None:
    """Other bytes than expected are told, and counted as blackbox_exporter does."""
    machine = dialogue(QueryResponse(expect_bytes="+PONG"))
    machine.opened()
    with pytest.raises(WireError, match=r"waited for '\+PONG' and got '-ERR ") as caught:
        machine.received(b"-ERR no")
    assert caught.value.cause == "answer"
    assert machine.failed_due_to_bytes


def test_an_unfinished_line_is_searched_a_bounded_number_of_times() -> None:
    """A peer that drips one line cannot make us search it again and again; the line's end is still seen."""
    machine = dialogue(QueryResponse(expect="^x+y?z$"))
    machine.opened()
    for _ in range(300):
        assert machine.received(b"x") is WAIT
    assert machine.received(b"z") is WAIT
    assert machine.received(b"\n") is DONE


@pytest.mark.parametrize(
    ("steps", "came", "cause", "words"),
    [
        pytest.param([QueryResponse(expect="^220")], b"", "protocol", "nothing has come", id="nothing"),
        pytest.param([QueryResponse(expect="^220")], b"554 no\r\n", "answer", "'554 no'", id="other line"),
        pytest.param([QueryResponse(expect="^220")], b"554", "answer", "'554'", id="other unfinished line"),
        pytest.param([QueryResponse(expect_bytes="abc")], b"ab", "protocol", "3 bytes", id="too few bytes"),
        pytest.param(
            [QueryResponse(expect="^220"), QueryResponse(starttls=True)], b"22", "answer", "'22'", id="before TLS"
        ),
        pytest.param(
            [QueryResponse(expect="^2"), QueryResponse(expect="^3")], b"2\r\n", "protocol", "step 2 of 2", id="second"
        ),
    ],
)
def test_ended_early(steps: list[QueryResponse], came: bytes, cause: str, words: str) -> None:
    """A peer that ends before the last step is told with what was awaited and what came instead."""
    machine = dialogue(*steps)
    machine.opened()
    if came:
        machine.received(came)
    with pytest.raises(WireError, match=words) as caught:
        machine.ended()
    assert caught.value.cause == cause
    assert machine.failed_due_to_regex == (steps[machine.at].expect is not None)


def test_ended_with_the_last_line_unfinished() -> None:
    """A last line that the peer's end cuts short counts, and what is left to send is not needed then."""
    machine = dialogue(QueryResponse(expect="^(bye)$", send="got ${1}"), QueryResponse(send="QUIT"))
    machine.opened()
    assert machine.received(b"bye") is WAIT
    machine.ended()
    assert machine.is_done
    assert not machine.failed_due_to_regex


def test_ended_where_tls_was_to_begin() -> None:
    """A peer that agrees to TLS and leaves, in the middle of a line even, is told so."""
    machine = dialogue(QueryResponse(expect="^220"), QueryResponse(starttls=True))
    machine.opened()
    assert machine.received(b"220 go") is WAIT
    with pytest.raises(WireError, match="when TLS was to begin"):
        machine.ended()


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes(pieces: list[bytes]) -> None:
    """Whatever comes, the machine answers with a step or a WireError."""
    machine = dialogue(
        QueryResponse(expect="(a+)", send="$1"), QueryResponse(expect_bytes="b"), QueryResponse(expect="c")
    )
    machine.opened()
    with contextlib.suppress(WireError):
        for piece in pieces:
            if machine.received(piece) is DONE:
                return
        machine.ended()


# Whole runs.


async def greeting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what OpenSSH does."""
    writer.write(b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.14\r\n")


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the same byte by byte."""
    for byte in b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.14\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a banner, close our side, and go on reading."""
    writer.write(b"SSH-2.0-half closed")
    writer.write_eof()
    await quiet(reader, writer)


async def redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer PING as Redis does."""
    while line := await reader.readline():
        word = line.strip()
        writer.write(b"+PONG\r\n" if word == b"PING" else b"-ERR unknown command '" + word + b"'\r\n")


async def irc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Welcome only who answers the PING."""
    await reader.readline()
    await reader.readline()
    writer.write(b":irc.example NOTICE * :looking up\r\nPING :4711\r\n")
    if await reader.readline() == b"PONG 4711\n":
        writer.write(b":irc.example 001 prober :Welcome\r\n")


async def endless_lines(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send lines without end."""
    while True:
        writer.write(b"noise\r\n" * 500)
        await writer.drain()


async def endless_line(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a line without end."""
    while True:
        writer.write(b"noise" * 500)
        await writer.drain()


class Mail:
    """An SMTP server that offers STARTTLS, and AUTH only in TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP Test\r\n")
        offers = b"250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n"
        while line := await reader.readline():
            if line == b"EHLO prober\r\n":
                writer.write(offers)
            elif line == b"STARTTLS\r\n":
                writer.write(b"220 2.0.0 go ahead\r\n")
                await writer.start_tls(self.context)
                offers = b"250-mail.example\r\n250-AUTH PLAIN\r\n250 HELP\r\n"
            else:
                writer.write(b"221 bye\r\n")
                return


async def test_connected(parts: Parts) -> None:
    """Without a dialogue an open connection is enough, and a server that says nothing is up."""
    async with serving(quiet) as port:
        reading = await tcp.probe(options(port), parts, LONG)
    assert (reading.state, reading.cause, reading.success) == ("up", "", True)
    assert reading.reason.startswith("connected in ")
    assert reading.tls_expiry is None
    assert metrics_of(reading)["probe_ip_protocol"] == 4
    assert metrics_of(reading)["probe_failed_due_to_regex"] == 0


async def test_refused(parts: Parts) -> None:
    """A port where nothing listens is down for its connection."""
    async with serving(quiet) as port:
        pass
    reading = await tcp.probe(options(port, *SSH), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "connect")
    assert metrics_of(reading)["probe_failed_due_to_regex"] == 0


async def test_not_allowed(parts: Parts) -> None:
    """An address that the guard forbids is not connected to."""
    parts.forbidden = frozenset({HOST})
    async with serving(quiet) as port:
        reading = await tcp.probe(options(port), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "refused")


@pytest.mark.parametrize("server", [greeting, dripping], ids=["at once", "byte by byte"])
async def test_banner(parts: Parts, server: Any) -> None:
    """A banner is read, and its groups become labels, however slowly it comes."""
    async with serving(server) as port:
        reading = await tcp.probe(options(port, *SSH), parts, LONG)
    assert reading.state == "up", reading.reason
    assert "answered as expected" in reading.reason
    assert labels_of(reading) == {"ssh_version": "OpenSSH_9.6p1", "ssh_comments": "Ubuntu-3ubuntu13.14"}


async def test_half_closed(parts: Parts) -> None:
    """A last line without an end counts when the peer has closed its side."""
    async with serving(half_closed) as port:
        reading = await tcp.probe(options(port, *SSH), parts, LONG)
    assert reading.state == "up", reading.reason
    assert labels_of(reading)["ssh_comments"] == "closed"


@pytest.mark.parametrize(
    ("server", "steps"),
    [
        pytest.param(redis, (QueryResponse(send="PING\r"), QueryResponse(expect=r"^\+PONG$")), id="redis"),
        pytest.param(
            redis, (QueryResponse(send="PING\r"), QueryResponse(expect_bytes="+PONG\r\n")), id="redis by bytes"
        ),
        pytest.param(irc, IRC, id="irc"),
    ],
)
async def test_dialogues(parts: Parts, server: Any, steps: tuple[QueryResponse, ...]) -> None:
    """A question is sent and its answer awaited."""
    async with serving(server) as port:
        reading = await tcp.probe(options(port, *steps), parts, LONG)
    assert reading.state == "up", reading.reason
    assert f"all {len(steps)} steps" in reading.reason


async def test_what_is_sent_last_needs_no_answer(parts: Parts) -> None:
    """A probe whose last step sends is up though the peer stays silent, and the peer gets all of it."""
    got = asyncio.get_running_loop().create_future()

    async def collector(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())

    async with serving(collector) as port:
        reading = await tcp.probe(options(port, QueryResponse(send="<13>test")), parts, SHORT)
        assert reading.state == "up", reading.reason
        async with asyncio.timeout(LONG):
            assert await got == b"<13>test\n"


@pytest.mark.parametrize(
    ("server", "cause", "words", "failed"),
    [
        pytest.param(quiet, "timeout", "nothing has come", 0, id="silent"),
        pytest.param(gone, "protocol", "the peer ended the connection", 1, id="closed at once"),
        pytest.param(reset, "connect", "reset", 0, id="reset"),
        pytest.param(endless_lines, "protocol", "more than 10,000 lines", 0, id="endless lines"),
        pytest.param(endless_line, "protocol", "a line longer than 64 KiB", 0, id="endless line"),
        pytest.param(greeting, "answer", "'SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.14'", 1, id="other banner"),
    ],
)
async def test_no_answer(parts: Parts, server: Any, cause: str, words: str, failed: int) -> None:
    """Each way of not answering has its cause and its words."""
    async with serving(server) as port:
        timeout = SHORT if server is quiet else LONG
        reading = await tcp.probe(options(port, QueryResponse(expect="^220 ready$")), parts, timeout)
    assert (reading.state, reading.cause) == ("down", cause), reading.reason
    assert words in reading.reason
    assert len(reading.reason) < 300
    assert metrics_of(reading)["probe_failed_due_to_regex"] == failed


async def test_wrong_answer_on_an_open_connection(parts: Parts) -> None:
    """A peer that answers something else and then waits has answered; its echo of what was sent is not shown."""
    steps = (QueryResponse(send="AUTH hunter22"), QueryResponse(expect=r"^\+OK"))
    async with serving(redis) as port:
        reading = await tcp.probe(options(port, *steps), parts, SHORT)
    assert (reading.state, reading.cause) == ("down", "answer")
    assert "step 2 of 2 waits for a line matching" in reading.reason
    assert "-ERR unknown command" in reading.reason
    assert "hunter22" not in " ".join([reading.reason, *parts.steps, repr(reading)])


async def test_tls_from_the_first_byte(parts: Parts, secure: ssl.SSLContext, trusted: TlsOptions) -> None:
    """TLS is spoken at once, the dialogue goes on inside it, and the certificate's end is known."""
    async with serving(redis, secure) as port:
        steps = (QueryResponse(send="PING"), QueryResponse(expect="PONG"))
        reading = await tcp.probe(options(port, *steps, tls=True, tls_config=trusted), parts, LONG)
    assert reading.state == "up", reading.reason
    assert "TLS 1.3" in reading.reason
    assert reading.tls_expiry == metrics_of(reading)["probe_ssl_earliest_cert_expiry"]
    assert tcp.samples(reading)[probed.TLS_VERSION] == {("TLS 1.3",): 1.0}


async def test_starttls(parts: Parts, secure: ssl.SSLContext, trusted: TlsOptions) -> None:
    """TLS begins in the middle of a dialogue, which then goes on."""
    async with serving(Mail(secure)) as port:
        reading = await tcp.probe(options(port, *SMTP, tls_config=trusted), parts, LONG)
    assert reading.state == "up", reading.reason
    assert reading.tls_expiry is not None


async def test_starttls_with_a_certificate_that_is_not_trusted(
    parts: Parts, tmp_path: Path, trusted: TlsOptions
) -> None:
    """A certificate that nobody vouches for ends the probe; with verification off it goes on."""
    context = server_context(self_signed(), tmp_path)
    async with serving(Mail(context)) as port:
        bad = await tcp.probe(options(port, *SMTP, tls_config=trusted), parts, LONG)
        lax = await tcp.probe(options(port, *SMTP, tls_config=TlsOptions(insecure_skip_verify=True)), parts, LONG)
    assert (bad.state, bad.cause) == ("down", "tls")
    assert "self-signed" in bad.reason
    assert lax.state == "up", lax.reason


async def test_no_tls_there(parts: Parts, trusted: TlsOptions) -> None:
    """A server that does not speak TLS is told as such."""
    async with serving(greeting) as port:
        reading = await tcp.probe(options(port, tls=True, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "tls")


async def test_a_client_certificate(parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions) -> None:
    """A server that wants a certificate of ours gets it, and refuses us without."""
    context = server_context(authority.leaf(), tmp_path, clients_of=trusted.ca_file)
    mine, key = authority.leaf(subject="probe", names=()).written(tmp_path, "client")
    steps = (QueryResponse(send="PING"), QueryResponse(expect="PONG"))
    with_it = TlsOptions(ca_file=trusted.ca_file, cert_file=mine, key_file=key)
    with blocking(context, b"+PONG\r\n") as port:
        let_in = await tcp.probe(options(port, *steps, tls=True, tls_config=with_it), parts, LONG)
        refused = await tcp.probe(options(port, *steps, tls=True, tls_config=trusted), parts, LONG)
    assert let_in.state == "up", let_in.reason
    assert (refused.state, refused.cause) == ("down", "tls"), refused.reason
    assert "client certificate" in refused.reason


async def test_a_missing_file_says_nothing_of_the_service(parts: Parts, tmp_path: Path) -> None:
    """A probe that lacks a file of its own is unknown, not down."""
    lost = TlsOptions(ca_file=tmp_path / "lost.pem")
    reading = await tcp.probe(options(1, tls=True, tls_config=lost), parts, LONG)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "lost.pem" in reading.reason
    assert tcp.samples(reading) == {}


async def test_explained(parts: Parts) -> None:
    """Each step is explained in a sentence, without what is sent."""
    async with serving(irc) as port:
        await tcp.probe(options(port, *IRC), parts, LONG)
    told = "\n".join(parts.steps)
    assert f"connected to {HOST}" in told
    assert "received the line 'PING :4711'" in told
    assert "NICK" not in told


# What the configuration says.


def problems(of: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return list(of.problems(None))


@pytest.mark.parametrize(
    ("step", "path", "words"),
    [
        pytest.param(QueryResponse(), (), "does nothing", id="empty"),
        pytest.param(QueryResponse(send=""), (), "does nothing", id="empty send"),
        pytest.param(QueryResponse(expect="("), ("expect",), "no regular expression", id="bad pattern"),
        pytest.param(QueryResponse(expect="(?=x)"), ("expect",), "RE2", id="look-ahead"),
        pytest.param(QueryResponse(expect="a", send="$1"), ("send",), "no group '1'", id="no such group"),
        pytest.param(QueryResponse(expect="(a)", send="$1x"), ("send",), "write ${1}", id="letters behind a number"),
        pytest.param(QueryResponse(expect="(a)", send="US$ $USD"), ("send",), "written as $$", id="a dollar"),
        pytest.param(
            QueryResponse(expect="a", labels=(ExpectLabel(name="x", value="$n"),)),
            ("labels", 0, "value"),
            "no group 'n'",
            id="label",
        ),
        pytest.param(
            QueryResponse(send="a", labels=(ExpectLabel(name="x", value="y"),)), ("labels",), "expect", id="no expect"
        ),
    ],
)
def test_problems_of_a_step(step: QueryResponse, path: tuple[str | int, ...], words: str) -> None:
    """A step that cannot work is told with its key and a sentence."""
    (found,) = problems(step)
    assert found[0] == path
    assert words in found[1]


@pytest.mark.parametrize("steps", [SSH, IRC, SMTP], ids=["ssh", "irc", "smtp"])
def test_no_problems(steps: Sequence[QueryResponse]) -> None:
    """The examples of blackbox_exporter are fine."""
    assert not problems(options(22, *steps))
    assert not [problem for step in steps for problem in problems(step)]


@pytest.mark.parametrize(
    ("keys", "path", "words"),
    [
        pytest.param({"address": "db.example"}, ("address",), "has no port", id="no port"),
        pytest.param({"source_ip": "eth0"}, ("source_ip",), "no IP address", id="source"),
        pytest.param({"tls_config": TlsOptions()}, ("tls_config",), "never begun", id="tls never begun"),
        pytest.param(
            {"tls": True, "query_response": (QueryResponse(starttls=True),)},
            ("query_response", 0, "starttls"),
            "begun already",
            id="tls twice",
        ),
        pytest.param(
            {"query_response": (*SSH, *SSH)}, ("query_response", 1, "labels"), "only one step", id="labels twice"
        ),
    ],
)
def test_problems(keys: dict[str, Any], path: tuple[str | int, ...], words: str) -> None:
    """Options that contradict themselves are told with their key and a sentence."""
    (found,) = problems(Options(**({"address": "db.example:1"} | keys)))
    assert found[0] == path
    assert words in found[1]


def test_aimed() -> None:
    """A target from outside becomes the address; without a port it is refused in a sentence."""
    before = options(1, *SSH)
    assert tcp.aimed(before, "[::1]:22").address == "[::1]:22"
    assert tcp.aimed(before, "[::1]:22").query_response == before.query_response
    with pytest.raises(ValueError, match="has no port"):
        tcp.aimed(before, "db.example")
    assert tcp.target(before) == "127.0.0.1:1"


def test_families() -> None:
    """Every family can be exposed, that of the configured labels too."""
    for family in (*tcp.FAMILIES, tcp.expect_info(("a", "b"))):
        checked(family)
    assert tcp.expect_info(("a",)) is tcp.expect_info(("a",))


async def test_our_own_trouble_says_nothing_of_the_service() -> None:
    """A program that cannot open connections any more has not seen the service: it is unknown, not down."""
    wire = Wire()
    await wire.close()
    reading = await tcp.probe(Options(address=f"{HOST}:1"), Parts(wire), LONG)
    assert (reading.state, reading.cause) == ("unknown", "system")


def test_a_pattern_of_many_states_is_not_searched_without_end() -> None:
    """All connections share a thread: a peer that sends long lines must not have it follow a thousand states."""
    dialogue = Dialogue((QueryResponse(expect="(x?){1000}y"),), lambda: pytest.fail("no TLS"), lambda _: None)
    assert dialogue.opened() is WAIT
    with pytest.raises(WireError, match="fewer repetitions") as raised:
        dialogue.received(b"x" * 60_000 + b"\n")
    assert raised.value.cause == "config"
    plain = Dialogue((QueryResponse(expect="signed in"),), lambda: pytest.fail("no TLS"), lambda _: None)
    assert plain.opened() is WAIT
    for _ in range(15):
        assert plain.received(b"x" * 60_000 + b"\n") is WAIT
