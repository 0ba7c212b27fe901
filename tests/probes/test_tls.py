"""TLS probes: what is said before TLS as bytes, and whole runs against every certificate."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import postgresql as postgresql_server
from servers.tls import DAY, HOST, Authority, blocking, quiet, reset, self_signed, server_context, serving

from exporter import probed
from exporter.clock import SystemClock
from exporter.config.options import Duration
from exporter.exposition import checked
from exporter.probes import tls
from exporter.probes.tls import Options
from exporter.probes.tls.starttls import AtOnce, conversation
from exporter.wire import DONE, WAIT, Send, StartTls, Wire, WireError
from exporter.wire.tls import TlsOptions, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from servers.postgresql import PostgreSQL

LONG = 10.0
SHORT = 0.3


@dataclass
class Parts:
    wire: Wire
    steps: list[str] = field(default_factory=list)
    forbidden: frozenset[str] = frozenset()
    databases: dict[str, Any] = field(default_factory=dict)
    clock: Any = field(default_factory=SystemClock)

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


LAX = TlsOptions(insecure_skip_verify=True)


def options(port: int, **more: Any) -> Options:
    return Options(address=f"{HOST}:{port}", **more)


# What is said before TLS, without any network.


def begin() -> StartTls:
    return StartTls(client_context(LAX), HOST)


DIALOGUES = [
    pytest.param(
        "smtp",
        [
            (b"220-mail.example\r\n220 ESMTP\r\n", b"EHLO localhost\r\n"),
            (b"250-mail.example\r\n250-starttls\r\n250 HELP\r\n", b"STARTTLS\r\n"),
            (b"220 2.0.0 ready\r\n", None),
        ],
        id="smtp",
    ),
    pytest.param(
        "imap",
        [
            (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", b"a1 STARTTLS\r\n"),
            (b"* CAPABILITY IMAP4rev1\r\na1 ok begin\r\n", None),
        ],
        id="imap",
    ),
    pytest.param("pop3", [(b"+OK ready\r\n", b"STLS\r\n"), (b"+OK begin\r\n", None)], id="pop3"),
    pytest.param(
        "ftp",
        [
            (b"120 soon\r\n220-Welcome\r\nwhatever - text\r\n220 ready\r\n", b"AUTH TLS\r\n"),
            (b"234 begin\r\n", None),
        ],
        id="ftp",
    ),
]


@pytest.mark.parametrize(("protocol", "exchange"), DIALOGUES)
@given(data=st.data())
def test_before_tls(protocol: Any, exchange: list[tuple[bytes, bytes | None]], data: st.DataObject) -> None:
    """Each protocol is spoken as its standard has it, however the answers are cut into pieces."""
    talk = conversation(protocol, begin(), lambda _: None)
    step = talk.opened()
    for came, sent in exchange:
        at = 0
        while at < len(came):
            assert step is WAIT or isinstance(step, Send)
            size = data.draw(st.integers(1, len(came) - at))
            step = talk.received(came[at : at + size])
            at += size
        assert (step == Send(sent)) if sent else isinstance(step, StartTls)
    assert talk.opened() is DONE
    talk.ended()


def test_before_tls_of_postgresql() -> None:
    """PostgreSQL is asked by its SSLRequest and agrees with one byte."""
    talk = conversation("postgresql", begin(), lambda _: None)
    assert talk.opened() == Send(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
    assert isinstance(talk.received(b"S"), StartTls)
    assert talk.opened() is DONE
    talk.ended()


@pytest.mark.parametrize(
    ("protocol", "pieces", "words", "cause"),
    [
        pytest.param("smtp", [b"554 go away\r\n"], "'554 go away'", "answer", id="smtp refuses"),
        pytest.param("smtp", [b"220 a\r\n", b"250 a\r\n"], "does not offer STARTTLS", "answer", id="smtp without"),
        pytest.param(
            "smtp", [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"454 no\r\n"], "'454 no'", "answer", id="smtp cannot"
        ),
        pytest.param("smtp", [b"SSH-2.0-OpenSSH\r\n"], "'SSH-2.0-OpenSSH'", "answer", id="not smtp"),
        pytest.param("smtp", [b"220-a\r\n" * 20_000], "more than 10,000 lines", "protocol", id="endless greeting"),
        pytest.param("imap", [b"* BYE\r\n"], "'\\* BYE'", "answer", id="imap refuses"),
        pytest.param("imap", [b"* OK\r\n", b"a1 NO\r\n"], "OK to STARTTLS", "answer", id="imap without"),
        pytest.param("imap", [b"* OK\r\n", b"* BYE\r\n"], "OK to STARTTLS", "answer", id="imap leaves"),
        pytest.param("pop3", [b"-ERR\r\n"], "greeting", "answer", id="pop3 refuses"),
        pytest.param("pop3", [b"+OK\r\n", b"-ERR no\r\n"], "'-ERR no'", "answer", id="pop3 without"),
        pytest.param("pop3", [b"+OK\r\n", b"+OK\r\n+OK more\r\n"], "more in clear", "protocol", id="stuffed"),
        pytest.param("ftp", [b"220 a\r\n", b"502 no\r\n"], "'502 no'", "answer", id="ftp without"),
        pytest.param("postgresql", [b"N"], "ssl = on", "answer", id="postgresql without"),
        pytest.param("postgresql", [b"E\0\0"], "'E", "answer", id="postgresql error"),
        pytest.param("postgresql", [b"SX"], "more in clear", "protocol", id="postgresql stuffed"),
    ],
)
def test_no_tls_agreed(protocol: Any, pieces: list[bytes], words: str, cause: str) -> None:
    """A server that does not agree is told with what it said; what it sends in clear behind is never taken for TLS."""
    talk = conversation(protocol, begin(), lambda _: None)
    talk.opened()

    def hear() -> None:
        for piece in pieces:
            talk.received(piece)

    with pytest.raises(WireError, match=words) as caught:
        hear()
    assert caught.value.cause == cause


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3", "ftp", "postgresql"])
@given(pieces=st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes(protocol: Any, pieces: list[bytes]) -> None:
    """Whatever comes, the answer is a step or a WireError; and who leaves before TLS is told so."""
    talk = conversation(protocol, begin(), lambda _: None)
    talk.opened()
    with contextlib.suppress(WireError):
        for piece in pieces:
            if isinstance(talk.received(piece), StartTls):
                return
        with pytest.raises(WireError, match="ended the connection"):
            talk.ended()


def test_nothing_before_tls() -> None:
    """Without STARTTLS there is nothing to say."""
    talk = conversation(None, begin(), lambda _: None)
    assert isinstance(talk, AtOnce)
    assert talk.opened() is DONE
    assert talk.received(b"anything") is DONE
    talk.ended()


# Whole runs: certificates.


async def test_valid(parts: Parts, secure: ssl.SSLContext, trusted: TlsOptions) -> None:
    """A good certificate is up; the reason names subject, issuer and the days that are left."""
    async with serving(quiet, secure) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("up", ""), reading.reason
    assert "CN=server.example" in reading.reason
    assert "issued by CN=Test Root" in reading.reason
    assert "ends in 90 days" in reading.reason
    found = tls.samples(reading)
    assert found[probed.EARLIEST_EXPIRY] == {(): reading.tls_expiry}
    assert found[probed.TLS_VERSION] == {("TLS 1.3",): 1.0}
    assert set(found) <= set(tls.FAMILIES)


@pytest.mark.parametrize(
    ("days", "within", "state"),
    [
        pytest.param(13.9, 14.0, "degraded", id="within"),
        pytest.param(14.1, 14.0, "up", id="not within"),
        pytest.param(0.5, 0.0, "up", id="switched off"),
        pytest.param(59.0, 60.0, "degraded", id="long notice"),
    ],
)
async def test_ends_soon(
    parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions, *, days: float, within: float, state: str
) -> None:
    """A certificate that ends within the time is degraded for its value; 0 switches that off."""
    leaf = authority.leaf(days=days)
    async with serving(quiet, server_context(leaf, tmp_path)) as port:
        limit = Duration(within * DAY)
        reading = await tls.probe(options(port, tls_config=trusted, expires_within=limit), parts, LONG)
    assert (reading.state, reading.cause) == (state, "value" if state == "degraded" else ""), reading.reason
    assert reading.success
    assert reading.tls_expiry == leaf.ends
    assert "ends in" in reading.reason


async def test_intermediate_ends_earlier(
    parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions
) -> None:
    """The earliest end of the chain counts, and the reason says whose it is."""
    middle = authority.intermediate(days=3.1)
    leaf = authority.leaf(days=200.1, issuer=middle)
    async with serving(quiet, server_context(leaf, tmp_path)) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("degraded", "value"), reading.reason
    assert reading.tls_expiry == middle.ends
    assert "ends in 200 days" in reading.reason
    assert "that of CN=Test Intermediate, sent with it, ends in 3 days" in reading.reason


async def test_expired_certificate_that_is_not_needed(
    parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions
) -> None:
    """An expired certificate that is sent beside a good chain is degraded: clients go on working."""
    leaf = authority.leaf()
    stray = authority.intermediate(days=-5.0, name="Old Cross-sign")
    certified = type(leaf)(leaf.certificate, leaf.key, (stray.certificate,))
    async with serving(quiet, server_context(certified, tmp_path)) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("degraded", "value"), reading.reason
    assert "not needed" in reading.reason
    assert "CN=Old Cross-sign" in reading.reason


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda a: a.leaf(days=-3.1), ["has expired", "expired 3 days ago", "CN=server.example"], id="expired"
        ),
        pytest.param(lambda _: self_signed(), ["self-signed", "issued by CN=alone.example"], id="self-signed"),
        pytest.param(lambda a: a.leaf(names=["other.example"]), ["not made out to '127.0.0.1'"], id="wrong name"),
        pytest.param(
            lambda _: Authority("Stranger").leaf(), ["authority", "issued by CN=Stranger"], id="unknown authority"
        ),
        pytest.param(
            lambda a: a.leaf(issuer=a.intermediate(days=-1.6)), ["has expired", "ends in 90 days"], id="expired chain"
        ),
    ],
)
async def test_not_trusted(
    parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions, make: Callable[..., Any], words: list[str]
) -> None:
    """A certificate that fails verification is down; the reason and the expiry still say which it was."""
    certified = make(authority)
    async with serving(quiet, server_context(certified, tmp_path)) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "tls"), reading.reason
    for word in words:
        assert word in reading.reason
    ends = [certified.ends, *(each.not_valid_after_utc.timestamp() for each in certified.chain)]
    assert reading.tls_expiry == min(ends)
    assert tls.samples(reading)[probed.EARLIEST_EXPIRY] == {(): min(ends)}


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [
        pytest.param(90.0, "up", "ends in 90 days", id="good"),
        pytest.param(5.0, "degraded", "ends in 5 days", id="soon"),
        pytest.param(-0.5, "down", "expired 12 hours ago", id="expired"),
    ],
)
async def test_without_verification(parts: Parts, tmp_path: Path, days: float, state: str, words: str) -> None:
    """With verification off only the end counts: an expired certificate is down all the same."""
    async with serving(quiet, server_context(self_signed(days), tmp_path)) as port:
        reading = await tls.probe(options(port, tls_config=LAX), parts, LONG)
    assert reading.state == state, reading.reason
    assert reading.cause == {"up": "", "degraded": "value", "down": "tls"}[state]
    assert words in reading.reason


@pytest.mark.parametrize("key", ["server_name", "tls_config"])
async def test_server_name(parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions, key: str) -> None:
    """The name that is asked for may be another than the host."""
    context = server_context(authority.leaf(names=["www.example"]), tmp_path)
    keys: dict[str, Any] = {"server_name": "www.example", "tls_config": trusted}
    if key == "tls_config":
        keys = {"tls_config": TlsOptions(ca_file=trusted.ca_file, server_name="www.example")}
    async with serving(quiet, context) as port:
        reading = await tls.probe(options(port, **keys), parts, LONG)
    assert reading.state == "up", reading.reason


async def test_client_certificate(parts: Parts, authority: Authority, tmp_path: Path, trusted: TlsOptions) -> None:
    """A server that wants a certificate of ours lets us in with it, and is down without."""
    # TLS 1.3 ends the client's handshake before the server has looked at its certificate.
    newest = ssl.TLSVersion.TLSv1_2
    context = server_context(authority.leaf(), tmp_path, clients_of=trusted.ca_file, newest=newest)
    mine, key = authority.leaf(subject="probe", names=()).written(tmp_path, "client")
    with blocking(context, b"") as port:
        with_it = TlsOptions(ca_file=trusted.ca_file, cert_file=mine, key_file=key)
        let_in = await tls.probe(options(port, tls_config=with_it), parts, LONG)
        refused = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert let_in.state == "up", let_in.reason
    assert "TLS 1.2" in let_in.reason
    assert (refused.state, refused.cause) == ("down", "tls")
    assert "client certificate" in refused.reason


# Whole runs: servers.


async def gone_when_greeted(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Close once the handshake has begun; what is not read would make a RST of it."""
    await reader.read(65536)


async def reset_when_greeted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send RST once the handshake has begun."""
    await reader.read(1)
    await reset(reader, writer)


@pytest.mark.parametrize(
    ("server", "cause", "words"),
    [
        pytest.param(quiet, "timeout", "setting up TLS", id="silent"),
        pytest.param(gone_when_greeted, "tls", "closed", id="closed"),
        pytest.param(reset_when_greeted, "connect", "reset", id="reset"),
    ],
)
async def test_no_handshake(parts: Parts, trusted: TlsOptions, server: Any, cause: str, words: str) -> None:
    """A server that does not shake hands is down, and it is said how."""
    async with serving(server) as port:
        timeout = SHORT if server is quiet else LONG
        reading = await tls.probe(options(port, tls_config=trusted), parts, timeout)
    assert (reading.state, reading.cause) == ("down", cause), reading.reason
    assert words in reading.reason
    assert reading.tls_expiry is None


async def test_plain_text(parts: Parts, trusted: TlsOptions) -> None:
    """A port that speaks no TLS is told as such."""

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")

    async with serving(plain) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "tls")
    assert "does not speak TLS" in reading.reason


async def test_not_allowed(parts: Parts, secure: ssl.SSLContext, trusted: TlsOptions) -> None:
    """An address that the guard forbids is not connected to."""
    parts.forbidden = frozenset({HOST})
    async with serving(quiet, secure) as port:
        reading = await tls.probe(options(port, tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "refused")


class Scripted:
    """A server that says lines and wants lines, then begins TLS."""

    def __init__(self, context: ssl.SSLContext, script: list[tuple[bytes, bytes | None]]) -> None:
        self.context = context
        self.script = script
        self.heard: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said, wanted in self.script:
            writer.write(said)
            if wanted is not None:
                self.heard.append(await reader.readexactly(len(wanted)))
        await writer.start_tls(self.context)
        await quiet(reader, writer)


@pytest.mark.parametrize(("protocol", "script"), DIALOGUES)
async def test_starttls(
    parts: Parts, secure: ssl.SSLContext, trusted: TlsOptions, protocol: Any, script: list[tuple[bytes, bytes | None]]
) -> None:
    """Behind STARTTLS the certificate is judged as elsewhere."""
    server = Scripted(secure, script)
    async with serving(server) as port:
        reading = await tls.probe(options(port, starttls=protocol, tls_config=trusted), parts, LONG)
    assert reading.state == "up", reading.reason
    assert server.heard == [wanted for _, wanted in script if wanted]
    assert "CN=server.example" in reading.reason
    assert any("the server said" in step for step in parts.steps)


async def test_starttls_not_trusted(parts: Parts, tmp_path: Path, trusted: TlsOptions) -> None:
    """A bad certificate behind STARTTLS is described as well."""
    script = [(b"+OK\r\n", b"STLS\r\n"), (b"+OK\r\n", None)]
    async with serving(Scripted(server_context(self_signed(), tmp_path), script)) as port:
        reading = await tls.probe(options(port, starttls="pop3", tls_config=trusted), parts, LONG)
    assert (reading.state, reading.cause) == ("down", "tls")
    assert "CN=alone.example" in reading.reason


async def test_postgresql(
    parts: Parts,
    own_postgres: Callable[[], PostgreSQL],
    authority: Authority,
    tmp_path: Path,
    trusted: TlsOptions,
) -> None:
    """A real PostgreSQL is down without TLS, and up when its certificate is good."""
    server = own_postgres()
    plain = await tls.probe(options(server.port, starttls="postgresql", tls_config=trusted), parts, LONG)
    assert (plain.state, plain.cause) == ("down", "answer"), plain.reason
    assert "ssl = on" in plain.reason
    for path in authority.leaf().written(tmp_path, "postgres"):
        shutil.copy(path, server.data / f"server{path.suffix}")
        if (user := postgresql_server.owner()) is not None:
            shutil.chown(server.data / f"server{path.suffix}", user)
        (server.data / f"server{path.suffix}").chmod(0o600)
    server.execute("ALTER SYSTEM SET ssl_cert_file = 'server.pem'")
    server.execute("ALTER SYSTEM SET ssl_key_file = 'server.key'")
    server.execute("ALTER SYSTEM SET ssl = on")
    server.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(LONG):
        # The postmaster takes the new settings when the signal reaches it.
        while (secure := await _look(parts, server.port, trusted)).cause == "answer":  # noqa: ASYNC110 -- sets no event
            await asyncio.sleep(0.02)
    assert secure.state == "up", secure.reason


async def _look(parts: Parts, port: int, trusted: TlsOptions) -> Any:
    return await tls.probe(options(port, starttls="postgresql", tls_config=trusted), parts, LONG)


async def test_a_missing_file_says_nothing_of_the_service(parts: Parts, tmp_path: Path) -> None:
    """A probe that lacks a file of its own is unknown, not down."""
    lost = TlsOptions(ca_file=tmp_path / "lost.pem")
    reading = await tls.probe(options(1, tls_config=lost), parts, LONG)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "lost.pem" in reading.reason
    assert tls.samples(reading) == {}


# What the configuration says.


@pytest.mark.parametrize(
    ("keys", "path", "words"),
    [
        pytest.param({"address": "www.example"}, ("address",), "has no port", id="no port"),
        pytest.param(
            {"server_name": "a", "tls_config": TlsOptions(server_name="b")},
            ("server_name",),
            "keep one",
            id="two names",
        ),
    ],
)
def test_problems(keys: dict[str, Any], path: tuple[str, ...], words: str) -> None:
    """Options that contradict themselves are told with their key and a sentence."""
    (found,) = Options(**({"address": "www.example:443"} | keys)).problems(None)
    assert found[0] == path
    assert words in found[1]


def test_no_problems() -> None:
    """The plain case has none."""
    assert not list(Options(address="[2001:db8::1]:443").problems(None))


def test_aimed() -> None:
    """A target from outside becomes the address; without a port it is refused in a sentence."""
    before = options(1, starttls="smtp")
    assert tls.aimed(before, "mail.example:25") == Options(address="mail.example:25", starttls="smtp")
    with pytest.raises(ValueError, match="has no port"):
        tls.aimed(before, "mail.example")
    assert tls.target(before) == "127.0.0.1:1"


def test_families() -> None:
    """Every family can be exposed."""
    for family in tls.FAMILIES:
        checked(family)


async def test_our_own_trouble_says_nothing_of_the_service() -> None:
    """A program that cannot open connections any more has not seen the service: it is unknown, not down."""
    wire = Wire()
    await wire.close()
    reading = await tls.probe(Options(address=f"{HOST}:1"), Parts(wire), LONG)
    assert (reading.state, reading.cause) == ("unknown", "system")
