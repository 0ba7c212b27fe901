"""Calls over TLS: what a handshake shows, and every way in which it fails, in words."""

from __future__ import annotations

import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from servers.talks import HOST, REQUEST, Talk, call_to, pong, taken_by_nobody
from servers.tls import Authority, blocking, gone, quiet, reset, self_signed, server_context, serving

from exporter.wire import StartTls, Step, WireError, certificates
from exporter.wire.certificates import NO_CHAIN
from exporter.wire.tls import TlsOptions, client_context

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from exporter.wire import Outcome, Wire

LONG = 20.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca_file(authority: Authority, tmp_path: Path) -> Path:
    return authority.root.written(tmp_path, "root")[0]


@pytest.fixture
def trusting(ca_file: Path) -> ssl.SSLContext:
    return client_context(TlsOptions(ca_file=ca_file))


def said(outcome: Outcome) -> tuple[str, str]:
    assert outcome.error is not None
    return outcome.error.cause, outcome.error.reason


async def test_a_handshake_shows_version_cipher_and_certificates(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """Times are the certificates' own; the earliest of what was presented, the end of the chain that was verified."""
    intermediate = authority.intermediate(days=20)
    leaf = authority.leaf(days=50, issuer=intermediate)
    async with serving(pong, server_context(leaf, tmp_path)) as port:
        talk = Talk()
        outcome = await wire.call(call_to(port, context=trusting), talk, LONG)
    assert (talk.came, outcome.error) == (b"pong\n", None)
    assert list(outcome.phases) == ["connect", "tls", "processing", "transfer"]
    facts = outcome.tls
    assert facts is not None
    assert (facts.version, facts.cipher[:4]) == ("TLS 1.3", "TLS_")
    assert facts.earliest_expiry == intermediate.ends
    assert facts.last_chain_expiry == intermediate.ends
    assert facts.certificates == tuple(
        one.certificate.public_bytes(certificates_encoding()) for one in (leaf, intermediate)
    )


def certificates_encoding() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


async def test_without_verification_there_is_no_verified_chain(wire: Wire, tmp_path: Path) -> None:
    """Any certificate is taken, its end is told, and the chain's end is what blackbox_exporter shows for none."""
    alone = self_signed(days=-3)
    async with serving(pong, server_context(alone, tmp_path)) as port:
        context = client_context(TlsOptions(insecure_skip_verify=True))
        outcome = await wire.call(call_to(port, context=context), Talk(), LONG)
    assert outcome.error is None
    assert outcome.tls is not None
    assert (outcome.tls.earliest_expiry, outcome.tls.last_chain_expiry) == (alone.ends, NO_CHAIN)


async def test_the_leaf_is_told_where_python_shows_no_chain(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the binding's own methods only the server's certificate is known."""
    leaf = authority.leaf(days=50, issuer=authority.intermediate(days=20))
    monkeypatch.setattr(certificates, "_chain", lambda _tls, _method: [])
    async with serving(pong, server_context(leaf, tmp_path)) as port:
        outcome = await wire.call(call_to(port, context=trusting), Talk(), LONG)
    assert outcome.tls is not None
    assert (outcome.tls.earliest_expiry, outcome.tls.last_chain_expiry) == (leaf.ends, leaf.ends)
    assert len(outcome.tls.certificates) == 1


@pytest.mark.parametrize(
    ("leaf", "more", "reason"),
    [
        pytest.param({"days": -1}, {}, "the certificate, or one that it depends on, has expired", id="expired"),
        pytest.param({"days": 4001}, {}, "the certificate is not valid yet: compare the clocks", id="not valid yet"),
        pytest.param(
            {"names": ["other.example"]}, {}, "the certificate is not made out to '127.0.0.1'", id="wrong address"
        ),
        pytest.param(
            {"names": ["other.example"]},
            {"server_name": "right.example"},
            "the certificate is not made out to 'right.example'",
            id="wrong name",
        ),
    ],
)
async def test_a_bad_certificate_is_refused_in_words(  # noqa: PLR0917 - fixtures and a table
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path, leaf: Any, more: Any, reason: str
) -> None:
    """The request is never sent, and the phases end with tls."""
    async with serving(quiet, server_context(authority.leaf(**leaf), tmp_path)) as port:
        talk = Talk()
        outcome = await wire.call(call_to(port, context=trusting, **more), talk, LONG)
    assert said(outcome) == ("tls", reason)
    assert not talk.is_open.is_set()
    assert list(outcome.phases) == ["connect", "tls"]


async def test_a_server_name_of_the_call_is_asked_for(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """The certificate is right for the name although the address is another."""
    context = server_context(authority.leaf(names=["other.example"]), tmp_path)
    asked = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    async with serving(pong, context) as port:
        outcome = await wire.call(call_to(port, context=trusting, server_name="other.example"), Talk(), LONG)
    assert (outcome.error, asked) == (None, ["other.example"])


@pytest.mark.parametrize("name", [".bad", "a" * 64 + ".example"])
async def test_a_name_that_tls_cannot_ask_for_is_an_answer(wire: Wire, trusting: ssl.SSLContext, name: str) -> None:
    """It is said, and nothing raises."""
    with taken_by_nobody() as port:
        outcome = await wire.call(call_to(port, context=trusting, server_name=name), Talk(), LONG)
    assert said(outcome) == ("tls", f"TLS cannot ask for a server of the name {name!r}")


async def test_a_self_signed_certificate_is_refused(wire: Wire, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """The sentence says how to accept it."""
    async with serving(quiet, server_context(self_signed(), tmp_path)) as port:
        outcome = await wire.call(call_to(port, context=trusting), Talk(), LONG)
    assert said(outcome) == ("tls", "the certificate is self-signed: name it in ca_file if it is right")


async def test_an_unknown_authority_is_refused(wire: Wire, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """The sentence names the option that makes it known."""
    async with serving(quiet, server_context(Authority("Foreign").leaf(), tmp_path)) as port:
        outcome = await wire.call(call_to(port, context=trusting), Talk(), LONG)
    assert said(outcome) == (
        "tls", "the certificate is from an authority that is not known here: name that in ca_file",
    )  # fmt: skip


async def _greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP ready\r\n")
    await reader.read()


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.read()


async def _asks_then_goes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


@pytest.mark.parametrize(
    ("handler", "cause", "reason"),
    [
        pytest.param(_greets, "tls", "the peer does not speak TLS on this port", id="a banner"),
        pytest.param(_http, "tls", "the peer does not speak TLS on this port", id="plain HTTP"),
        pytest.param(gone, "tls", "the peer closed the connection during the TLS handshake", id="closed"),
        pytest.param(_asks_then_goes, "connect", "the peer reset the connection while setting up TLS", id="unread"),
        pytest.param(reset, "connect", "the peer reset the connection while setting up TLS", id="reset"),
    ],
)
async def test_a_peer_without_tls_is_told_in_words(
    wire: Wire, trusting: ssl.SSLContext, handler: Any, cause: str, reason: str
) -> None:
    """Whatever is on the port instead."""
    async with serving(handler) as port:
        outcome = await wire.call(call_to(port, context=trusting), Talk(), LONG)
    assert outcome.tls is None
    if handler in {gone, reset, _asks_then_goes}:
        # The kernel may send RST for what was not read, or tell of the end first.
        assert outcome.error is not None
        assert outcome.error.cause in {"tls", "connect"}
        assert "connection" in outcome.error.reason
    else:
        assert said(outcome) == (cause, reason)


async def test_a_stalled_handshake_times_out_in_its_phase(wire: Wire, trusting: ssl.SSLContext) -> None:
    """The connection is taken, the handshake never answered."""
    async with serving(quiet) as port:
        outcome = await wire.call(call_to(port, context=trusting), Talk(), 0.2)
    assert said(outcome) == ("timeout", "no answer within 0.2 s while setting up TLS")
    assert list(outcome.phases) == ["connect", "tls"]


async def test_no_version_in_common_is_said(wire: Wire, authority: Authority, ca_file: Path, tmp_path: Path) -> None:
    """We want a newer version than the server has, and the other way round."""
    newer = client_context(TlsOptions(ca_file=ca_file, min_version="TLS13"))
    with blocking(server_context(authority.leaf(), tmp_path, newest=ssl.TLSVersion.TLSv1_2), b"pong\n") as port:
        outcome = await wire.call(call_to(port, context=newer), Talk(), LONG)
    assert said(outcome) == ("tls", "the peer and we share no version of TLS")
    only_new = server_context(authority.leaf(), tmp_path)
    only_new.minimum_version = ssl.TLSVersion.TLSv1_3
    older = client_context(TlsOptions(ca_file=ca_file, max_version="TLS12"))
    with blocking(only_new, b"pong\n") as port:
        outcome = await wire.call(call_to(port, context=older), Talk(), LONG)
    assert said(outcome) == ("tls", "the peer and we share no version of TLS")


@pytest.mark.parametrize(("version", "word"), [("TLS10", "TLS 1.0"), ("TLS11", "TLS 1.1"), ("TLS12", "TLS 1.2")])
async def test_an_old_version_is_spoken_when_it_is_named(
    wire: Wire, authority: Authority, ca_file: Path, tmp_path: Path, version: Any, word: str
) -> None:
    """Old appliances can be watched, and the facts name the version as blackbox_exporter does."""
    server = server_context(authority.leaf(), tmp_path)
    server.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = ssl.TLSVersion.TLSv1
    context = client_context(TlsOptions(ca_file=ca_file, min_version=version, max_version=version))
    with blocking(server, b"pong\n") as port:
        outcome = await wire.call(call_to(port, context=context), Talk(), LONG)
    assert outcome.error is None
    assert outcome.tls is not None
    assert outcome.tls.version == word


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["right", "foreign", "none"])
async def test_a_client_certificate_is_shown(
    wire: Wire, authority: Authority, ca_file: Path, tmp_path: Path, newest: ssl.TLSVersion, shown: str
) -> None:
    """Who has the right one is let in; who has none, or another's, is told so in words."""
    issuer = {"right": authority, "foreign": Authority("Foreign")}.get(shown)
    cert, key = issuer.leaf(subject="client").written(tmp_path, "client") if issuer else (None, None)
    context = client_context(TlsOptions(ca_file=ca_file, cert_file=cert, key_file=key))
    server = server_context(authority.leaf(), tmp_path, clients_of=ca_file, newest=newest)
    with blocking(server, b"pong\n") as port:
        outcome = await wire.call(call_to(port, context=context), Talk(), LONG)
    if shown == "right":
        assert outcome.error is None
    else:
        cause, reason = said(outcome)
        assert cause == "tls"
        assert "client certificate" in reason


class Upgrade:
    """Says STARTTLS, waits for the word, begins TLS and then holds another conversation."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None, inner: Talk) -> None:
        self.context = context
        self.server_name = server_name
        self.inner = inner
        self.is_secure = False

    def opened(self) -> Step:
        if self.is_secure:
            return self.inner.opened()
        self.is_secure = True
        from exporter.wire import Send

        return Send(b"STARTTLS\n")

    def received(self, data: bytes) -> Step:
        if data == b"go\n":
            return StartTls(self.context, self.server_name)
        return self.inner.received(data)

    def ended(self) -> None:
        raise WireError("protocol", "too early")


@pytest.mark.parametrize("server_name", [None, "localhost"])
async def test_tls_begins_on_an_open_connection(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path, server_name: str | None
) -> None:
    """STARTTLS: the facts are there, and the phases are those of both halves."""
    server = server_context(authority.leaf(), tmp_path)

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.start_tls(server)
        assert await reader.readline() == REQUEST
        writer.write(b"pong\n")

    async with serving(upgrade) as port:
        talk = Talk()
        outcome = await wire.call(call_to(port), Upgrade(trusting, server_name, talk), LONG)
    assert (outcome.error, talk.came) == (None, b"pong\n")
    assert outcome.tls is not None
    assert set(outcome.phases) == {"connect", "processing", "transfer", "tls"}


async def test_tls_cannot_begin_twice(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """A conversation that asks for it ends with an error."""

    class Twice(Talk):
        def opened(self) -> Step:
            return StartTls(trusting, None)

    async with serving(quiet, server_context(authority.leaf(), tmp_path)) as port:
        outcome = await wire.call(call_to(port, context=trusting), Twice(), LONG)
    assert said(outcome) == ("unexpected", "TLS was to begin twice on one connection")


async def test_long_bodies_go_both_ways_through_tls(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """Many records, more than the buffers hold, arrive in order."""
    size = 5_000_000

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(size))

    request = b"".join(b"%07d\n" % number for number in range(size // 8))
    async with serving(echo, server_context(authority.leaf(), tmp_path)) as port:
        talk = Talk(request, until=None)
        outcome = await wire.call(call_to(port, context=trusting), talk, LONG)
    assert outcome.error is None
    assert talk.came == request


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "FIN alone"])
async def test_the_end_of_tls_is_the_end(
    wire: Wire,
    authority: Authority,
    trusting: ssl.SSLContext,
    tmp_path: Path,
    polite: bool,  # noqa: FBT001 - a table
) -> None:
    """Many servers close without the closing alert: the conversation judges whether enough came."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"pong")
        await writer.drain()
        if not polite:
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await reader.read()

    async with serving(answer, server_context(authority.leaf(), tmp_path)) as port:
        talk = Talk(until=None)
        outcome = await wire.call(call_to(port, context=trusting), talk, LONG)
    assert (outcome.error, talk.came) == (None, b"pong")


async def test_each_call_is_a_full_handshake(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """Sessions are not kept: a certificate that was changed is seen at the next call."""
    for days in (30, 40):
        leaf = authority.leaf(days=days)
        async with serving(pong, server_context(leaf, tmp_path)) as port:
            for _ in range(3):
                outcome = await wire.call(call_to(port, context=trusting), Talk(), LONG)
                assert outcome.tls is not None
                assert outcome.tls.earliest_expiry == leaf.ends


async def test_the_address_is_the_name_when_none_is_given(
    wire: Wire, authority: Authority, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """An address stands in the certificate as such, and is checked."""
    async with serving(pong, server_context(authority.leaf(names=[HOST]), tmp_path)) as port:
        assert (await wire.call(call_to(port, context=trusting), Talk(), LONG)).error is None
        outcome = await wire.call(call_to(port, "localhost", context=trusting), Talk(), LONG)
    assert said(outcome)[0] == "tls"
