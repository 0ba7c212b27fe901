"""A name server is asked as blackbox_exporter asks, and only the answer to our own question counts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import socket
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from dns import message
from hypothesis import given
from hypothesis import strategies as st
from servers.dns import NameServer, serving
from servers.tls import Authority, server_context

from exporter import probed
from exporter.clock import SystemClock
from exporter.probes import dns
from exporter.probes.dns import Options, RecordChecks, exchange
from exporter.probes.dns.messages import normal
from exporter.probing import Parts
from exporter.wire import Wire
from exporter.wire.tls import TlsOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from exporter.model import Reading

ZONE = {
    ("www.example.org.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("www.example.org.", "AAAA"): ["2001:db8::1"],
    ("alias.example.org.", "CNAME"): ["www.example.org."],
    ("example.org.", "MX"): ["10 mail.example.org."],
    ("example.org.", "NS"): ["ns1.example.org.", "ns2.example.org."],
    ("example.org.", "SOA"): ["ns1.example.org. admin.example.org. 2024010101 3600 600 86400 300"],
    ("example.org.", "TXT"): ['"v=spf1 -all"', '"Two" "words"'],
    ("example.org.", "CAA"): ['0 issue "ca.example.net"'],
    ("_sip._tcp.example.org.", "SRV"): ["10 5 5060 sip.example.org."],
    ("1.2.0.192.in-addr.arpa.", "PTR"): ["www.example.org."],
}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Give the connections of probes."""
    made = Wire()
    yield made
    await made.close()


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    """Give a running name server that knows the zone."""
    async with serving(NameServer(zone=dict(ZONE))) as running:
        yield running


@pytest.fixture
def ask(wire: Wire, server: NameServer) -> Callable[..., object]:
    """Give a function that asks the server."""

    async def asking(query: str = "www.example.org", *, timeout: float = 20.0, **options: object) -> Reading:
        chosen = {"server": f"127.0.0.1:{server.port}"} | options
        return await dns.probe(Options(query=query, **chosen), parts(wire), timeout)

    return asking


def parts(wire: Wire, *, allows: bool = True, steps: list[str] | None = None) -> Parts:
    told = [] if steps is None else steps
    return Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda _: allows, tell=told.append)


RECORDS = [
    pytest.param("www.example.org", "A", ("192.0.2.1", "192.0.2.2"), id="A"),
    pytest.param("WWW.example.org.", "A", ("192.0.2.2",), id="name in capitals with its last dot"),
    pytest.param("www.example.org", "AAAA", ("2001:DB8:0:0::1",), id="AAAA in another form"),
    pytest.param("alias.example.org", "CNAME", ("WWW.example.org",), id="CNAME without its last dot"),
    pytest.param("example.org", "MX", ("10 mail.example.org",), id="MX"),
    pytest.param("example.org", "NS", ("ns2.example.org.", "ns1.example.org"), id="NS in any order"),
    pytest.param("example.org", "SOA", ("ns1.example.org. admin.example.org 2024010101 3600 600 86400 300",), id="SOA"),
    pytest.param("example.org", "TXT", ("v=spf1 -all", '"Two" "words"'), id="TXT with and without quotation marks"),
    pytest.param("example.org", "CAA", ('0 issue "ca.example.net"',), id="CAA"),
    pytest.param("_sip._tcp.example.org", "SRV", ("10 5 5060 sip.example.org.",), id="SRV"),
    pytest.param("1.2.0.192.in-addr.arpa", "PTR", ("www.example.org.",), id="PTR"),
]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("query", "record", "answers"), RECORDS)
async def test_records_of_every_type_are_asked_for(
    ask: Callable[..., object], transport: str, query: str, record: str, answers: tuple[str, ...]
) -> None:
    """The expected answers are written as `dig +short` does."""
    reading = await ask(query, record=record, answers=answers, transport=transport)
    assert (reading.state, reading.cause) == ("up", "")
    assert reading.reason.startswith("NOERROR: there ")
    wrong = await ask(query, record=record, answers=(*answers, "192.0.2.99"), transport=transport)
    assert (wrong.state, wrong.cause) == ("down", "answer")
    assert "the answer '192.0.2.99' is missing: there " in wrong.reason


async def test_what_blackbox_exporter_shows_is_shown(ask: Callable[..., object], server: NameServer) -> None:
    """The count of each section, the serial, the phases and the address."""
    server.authority = ["example.org. NS ns1.example.org.", "example.org. NS ns2.example.org."]
    server.additional = ["ns1.example.org. A 192.0.2.53"]
    reading = await ask("example.org", record="SOA")
    shown = dns.samples(reading)
    assert {family.name: shown[family][()] for family in (dns.ANSWER, dns.AUTHORITY, dns.ADDITIONAL)} == {
        "probe_dns_answer_rrs": 1.0,
        "probe_dns_authority_rrs": 2.0,
        "probe_dns_additional_rrs": 1.0,
    }
    assert shown[dns.SERIAL] == {(): 2024010101.0}
    assert shown[dns.SUCCEEDED] == {(): 1.0}
    assert set(shown[dns.DURATION]) == {("resolve",), ("connect",), ("request",)}
    assert shown[dns.DURATION]["request",] > 0
    assert shown[probed.IP_PROTOCOL] == {(): 4.0}
    assert reading.duration == sum(reading.phases.values())
    assert dns.SERIAL not in dns.samples(await ask())


RCODES = [
    pytest.param("nowhere", None, ("NOERROR",), "the response code is NXDOMAIN, wanted NOERROR", id="NXDOMAIN"),
    pytest.param("nowhere", None, ("NOERROR", "NXDOMAIN"), "NXDOMAIN and no such record in ", id="NXDOMAIN is fine"),
    pytest.param("www", "SERVFAIL", ("NOERROR",), "the response code is SERVFAIL, wanted NOERROR", id="SERVFAIL"),
    pytest.param("www", "REFUSED", ("refused",), "REFUSED: there ", id="REFUSED is fine"),
    pytest.param("www", None, ("NXDOMAIN",), "the response code is NOERROR, wanted NXDOMAIN", id="NOERROR"),
]


@pytest.mark.parametrize(("query", "rcode", "valid", "reason"), RCODES)
async def test_the_response_code_is_judged(
    ask: Callable[..., object], server: NameServer, query: str, rcode: str | None, valid: tuple[str, ...], reason: str
) -> None:
    """A server that answered, however badly, has executed the query."""
    server.rcode = rcode
    reading = await ask(f"{query}.example.org", valid_rcodes=valid)
    assert reading.reason.startswith(reason)
    assert reading.state == ("down" if reason.startswith("the response code") else "up")
    assert dns.samples(reading)[dns.SUCCEEDED] == {(): 1.0}


CHECKS = [
    pytest.param({"fail_if_matches_regexp": (r"192\.0\.2\.2$",)}, "has a record that matches", id="matches"),
    pytest.param({"fail_if_matches_regexp": (r"\.9$",)}, None, id="matches none"),
    pytest.param({"fail_if_not_matches_regexp": (r"\.1$",)}, "has a record that does not match", id="not matches"),
    pytest.param({"fail_if_not_matches_regexp": ("192",)}, None, id="not matches: all do"),
    pytest.param({"fail_if_all_match_regexp": (r"\.1$",)}, "has a record that does not match", id="all: one does not"),
    pytest.param({"fail_if_all_match_regexp": (r"^www\.",)}, None, id="all: all do, which blackbox_exporter takes"),
    pytest.param({"fail_if_none_matches_regexp": (r"\.9$", r"\.8$")}, "has no record that matches", id="none"),
    pytest.param({"fail_if_none_matches_regexp": (r"\.9$", r"\.2$")}, None, id="none: one does"),
    pytest.param({"fail_if_not_matches_regexp": (r"^www\.example\.org\.\t300\tIN\tA\t192",)}, None, id="whole line"),
]


@pytest.mark.parametrize(("checks", "words"), CHECKS)
async def test_records_are_checked_as_blackbox_exporter_does(
    ask: Callable[..., object], checks: dict[str, object], words: str | None
) -> None:
    """Its patterns are written for the lines of its library, with tabs between the fields."""
    reading = await ask(validate_answer=RecordChecks(**checks))
    assert reading.state == ("up" if words is None else "down")
    assert words is None or f"the answer section {words}" in reading.reason


@pytest.mark.parametrize("section", ["authority", "additional"])
async def test_the_other_sections_are_checked_too(ask: Callable[..., object], server: NameServer, section: str) -> None:
    """An empty section fails what must match and passes what must not."""
    name = f"validate_{section}"
    wanted = RecordChecks(fail_if_none_matches_regexp=("ns1",))
    unwanted = RecordChecks(fail_if_matches_regexp=("ns1",), fail_if_all_match_regexp=("ns1",))
    empty = await ask(**{name: wanted})
    assert empty.reason == f"the {section} section has no record, and one must match"
    assert (await ask(**{name: RecordChecks(fail_if_not_matches_regexp=("ns1",))})).state == "down"
    assert (await ask(**{name: unwanted})).state == "up"
    setattr(server, section, ["example.org. NS ns1.example.org."])
    assert (await ask(**{name: wanted})).state == "up"
    assert (await ask(**{name: unwanted})).state == "down"


@pytest.mark.parametrize("mode", ["truncated", "cut"])
async def test_an_answer_that_was_cut_off_is_had_over_tcp(
    ask: Callable[..., object], server: NameServer, mode: str
) -> None:
    server.mode = mode
    reading = await ask(answers=("192.0.2.1",))
    assert reading.state == "up"
    assert server.transports == ["udp", "tcp"]


async def test_an_answer_too_long_for_a_datagram_is_whole(ask: Callable[..., object], server: NameServer) -> None:
    server.zone["many.example.org.", "A"] = [f"192.0.2.{number}" for number in range(200)]
    reading = await ask("many.example.org")
    assert dns.samples(reading)[dns.ANSWER] == {(): 200.0}
    assert server.transports == ["udp", "tcp"]
    assert len(reading.reason) < 200


STRAYS = ["wrong id", "wrong question", "garbage", "wrong source"]


@pytest.mark.parametrize("mode", STRAYS)
async def test_what_does_not_belong_to_the_question_is_passed_over(
    ask: Callable[..., object], server: NameServer, mode: str
) -> None:
    """Anybody can send to a port: only the asked server's answer to this very question counts."""
    server.mode = mode
    server.mends = True
    assert (await ask(answers=("192.0.2.1",))).state == "up"
    server.mends = False
    reading = await ask(timeout=0.3)
    assert (reading.state, reading.cause) == ("down", "timeout")
    strays = "" if mode == "wrong source" else ", only 1 that belonged to no question of ours"
    assert reading.reason == f"no answer from 127.0.0.1 port {server.port} within 0.3 s{strays}"
    assert dns.samples(reading)[dns.SUCCEEDED] == {(): 0.0}


@pytest.fixture
def flooder() -> Iterator[socket.socket]:
    """Give a socket that answers whatever a test has it answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        yield udp


async def test_a_flood_of_strays_leaves_the_others_their_turn(wire: Wire, flooder: socket.socket) -> None:
    """What lies ready on a socket is read without waiting: the loop must get its turns all the same."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    options = Options(server=f"127.0.0.1:{flooder.getsockname()[1]}", query="www.example.org")
    probing = asyncio.create_task(dns.probe(options, parts(wire), 20.0))
    asked, sender = await asyncio.get_running_loop().run_in_executor(None, flooder.recvfrom, 65535)
    for _ in range(100):
        flooder.sendto(b"\0\0" + asked[2:], sender)
    flooder.sendto(message.make_response(message.from_wire(asked)).to_wire(), sender)
    busy = asyncio.create_task(others())
    reading = await probing
    busy.cancel()
    assert reading.state == "up"
    assert turns > 100


async def test_a_server_that_sends_strays_on_end_is_left(
    wire: Wire, flooder: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs time to read: after so many it is no name server."""
    monkeypatch.setattr(exchange, "STRAYS", 50)
    options = Options(server=f"127.0.0.1:{flooder.getsockname()[1]}", query="www.example.org")
    probing = asyncio.create_task(dns.probe(options, parts(wire), 20.0))
    asked, sender = await asyncio.get_running_loop().run_in_executor(None, flooder.recvfrom, 65535)
    for _ in range(50):
        flooder.sendto(b"\0\0" + asked[2:], sender)
    reading = await probing
    assert (reading.state, reading.cause) == ("down", "protocol")
    assert reading.reason.endswith("sent 50 datagrams that belong to no question of ours")


async def test_over_tcp_another_message_is_passed_over_too(ask: Callable[..., object], server: NameServer) -> None:
    server.mode = "wrong id"
    server.mends = True
    assert (await ask(transport="tcp")).state == "up"


STREAMS = [
    pytest.param("closing", "protocol", "closed the connection before its answer was whole", id="half an answer"),
    pytest.param("endless", "protocol", "1 MiB came and no answer", id="endless"),
    pytest.param("wrong question", "protocol", "answered another question", id="another question"),
]


@pytest.mark.parametrize(("mode", "cause", "words"), STREAMS)
async def test_a_connection_that_goes_wrong_is_down(
    ask: Callable[..., object], server: NameServer, mode: str, cause: str, words: str
) -> None:
    server.mode = mode
    reading = await ask(transport="tcp")
    assert (reading.state, reading.cause) == ("down", cause)
    assert words in reading.reason


async def test_an_answer_byte_by_byte_is_read(ask: Callable[..., object], server: NameServer) -> None:
    server.mode = "dripping"
    assert (await ask(transport="tcp", answers=("192.0.2.1",))).state == "up"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_silent_server_is_left_at_the_deadline(
    ask: Callable[..., object], server: NameServer, transport: str
) -> None:
    """The other questions go on meanwhile: a late one is answered when its server speaks."""
    server.mode = "late"
    late = asyncio.create_task(ask(transport=transport))
    reading = await ask(transport=transport, timeout=0.3)
    assert (reading.state, reading.cause) == ("down", "timeout")
    assert not late.done()
    server.release.set()
    assert (await late).state == "up"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_nothing_that_listens_is_a_refusal(wire: Wire, transport: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    options = Options(server=f"127.0.0.1:{port}", query="example.org", transport=transport)
    reading = await dns.probe(options, parts(wire), 20.0)
    assert (reading.state, reading.cause) == ("down", "connect")
    assert "nothing listens there" in reading.reason


async def test_ids_and_ports_are_random(ask: Callable[..., object], server: NameServer) -> None:
    """Who cannot see the question cannot guess what its answer must hold."""
    for _ in range(20):
        await ask()
    assert len({asked.id for asked in server.asked}) > 15
    assert len({port for _, port in server.peers}) > 10


async def test_recursion_and_class_are_asked_for(ask: Callable[..., object], server: NameServer) -> None:
    assert (await ask()).state == "up"
    assert (await ask("version.bind", recursion=False, query_class="CH", valid_rcodes=("NXDOMAIN",))).state == "up"
    assert [bool(asked.flags & 0x100) for asked in server.asked] == [True, False]
    assert [asked.question[0].rdclass.name for asked in server.asked] == ["IN", "CH"]


async def test_the_source_address_is_used(ask: Callable[..., object], server: NameServer) -> None:
    for transport in ("udp", "tcp"):
        await ask(source_ip="127.0.0.9", transport=transport)
    assert [host for host, _ in server.peers] == ["127.0.0.9", "127.0.0.9"]
    for transport in ("udp", "tcp"):
        reading = await ask(source_ip="192.0.2.77", transport=transport)
        assert (reading.state, reading.cause) == ("unknown", "system")
        assert "source" in reading.reason


async def test_ipv6_and_names_of_servers(wire: Wire) -> None:
    """A name is looked up on the wire's own threads; the preferred protocol comes first."""
    async with serving(NameServer(zone=ZONE), host="::1") as server:
        options = Options(server=f"[::1]:{server.port}", query="www.example.org", ip_protocol="ip6")
        for transport in ("udp", "tcp"):
            reading = await dns.probe(dataclasses.replace(options, transport=transport), parts(wire), 20.0)
            assert reading.state == "up"
            assert dns.samples(reading)[probed.IP_PROTOCOL] == {(): 6.0}
    async with serving(NameServer(zone=ZONE)) as server:
        options = Options(server=f"localhost:{server.port}", query="www.example.org", ip_protocol="ip4")
        assert (await dns.probe(options, parts(wire), 20.0)).state == "up"


async def test_a_name_that_nobody_knows_or_looks_up_for_ever(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up hangs in a thread of the wire; the reading comes at its deadline."""
    release = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[object]:
        if host == "hangs.example":
            release.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        for host in ("unknown.example", "hangs.example"):
            reading = await dns.probe(Options(server=host, query="example.org"), parts(wire), 0.4)
            assert (reading.state, reading.cause) == ("down", "resolve")
            assert host in reading.reason
            assert dns.samples(reading)[probed.IP_PROTOCOL] == {(): 0.0}
    finally:
        release.set()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_address_that_is_not_allowed_is_never_asked(wire: Wire, server: NameServer, transport: str) -> None:
    options = Options(server=f"127.0.0.1:{server.port}", query="www.example.org", transport=transport)
    reading = await dns.probe(options, parts(wire, allows=False), 5.0)
    assert (reading.state, reading.cause) == ("down", "refused")
    assert server.asked == []


@contextlib.asynccontextmanager
async def _secure(folder: Path, days: float = 90.0) -> AsyncIterator[tuple[NameServer, Path]]:
    authority = Authority()
    trusted = folder / "authority.pem"
    trusted.write_bytes(authority.root.pem())
    async with serving(NameServer(zone=ZONE), context=server_context(authority.leaf(days=days), folder)) as server:
        yield server, trusted


async def test_dns_over_tls(wire: Wire, tmp_path: Path) -> None:
    """The certificate is checked, and its end is known."""
    async with _secure(tmp_path) as (server, trusted):
        options = Options(
            server=f"127.0.0.1:{server.tls_port}",
            query="www.example.org",
            dns_over_tls=True,
            tls_config=TlsOptions(ca_file=trusted),
        )
        reading = await dns.probe(options, parts(wire), 20.0)
        assert reading.state == "up"
        assert server.transports == ["tls"]
        assert reading.tls_expiry is not None
        assert dns.samples(reading)[probed.EARLIEST_EXPIRY] == {(): reading.tls_expiry}
        for changes in ({"tls_config": None}, {"tls_config": TlsOptions(ca_file=trusted, server_name="other.example")}):
            refused = await dns.probe(dataclasses.replace(options, **changes), parts(wire), 20.0)
            assert (refused.state, refused.cause) == ("down", "tls")


async def test_an_authority_that_went_away_is_our_own_trouble(wire: Wire, tmp_path: Path) -> None:
    missing = TlsOptions(ca_file=tmp_path / "missing.pem")
    options = Options(server="127.0.0.1:1", query="example.org", dns_over_tls=True, tls_config=missing)
    reading = await dns.probe(options, parts(wire), 5.0)
    assert (reading.state, reading.cause) == ("unknown", "config")
    assert "missing.pem" in reading.reason


async def test_steps_tell_what_is_done(wire: Wire, server: NameServer) -> None:
    steps: list[str] = []
    server.mode = "truncated"
    options = Options(server=f"127.0.0.1:{server.port}", query="www.example.org")
    await dns.probe(options, parts(wire, steps=steps), 20.0)
    assert steps[0] == "ask 127.0.0.1 for A www.example.org"
    assert "the answer was cut off: ask again over TCP" in steps
    assert steps[-1] == "it answered NOERROR: there are 192.0.2.1, 192.0.2.2"


async def test_cancelling_leaves_nothing_open(ask: Callable[..., object], server: NameServer) -> None:
    """A socket that was left would be a warning, which is an error here."""
    server.mode = "late"
    for transport in ("udp", "tcp"):
        asking = asyncio.create_task(ask(transport=transport))
        async with asyncio.timeout(10):
            while transport not in server.transports:  # noqa: ASYNC110 - the server's list gives no event
                await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_without_its_package_it_says_what_to_install(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """At check-config and, where that was not asked, when it runs."""
    find = importlib.util.find_spec
    monkeypatch.setattr("exporter.probes.dns.options.find_spec", lambda name: None if name == "dns" else find(name))
    options = Options(server="127.0.0.1", query="example.org")
    sentence = "DNS needs the package dnspython: install it with pip install 'watchbridge[dns]'"
    assert list(options.problems(SimpleNamespace())) == [((), sentence)]
    reading = await dns.probe(options, parts(wire), 5.0)
    assert (reading.state, reading.cause, reading.reason) == ("unknown", "config", sentence)
    assert dns.samples(reading) == {}


SERVERS = [
    pytest.param("192.0.2.1", "192.0.2.1:53", id="IPv4"),
    pytest.param("192.0.2.1:5353", "192.0.2.1:5353", id="IPv4 and port"),
    pytest.param("2001:db8::1", "[2001:db8::1]:53", id="IPv6"),
    pytest.param("[2001:db8::1]", "[2001:db8::1]:53", id="IPv6 in brackets"),
    pytest.param("[2001:db8::1]:5353", "[2001:db8::1]:5353", id="IPv6 and port"),
    pytest.param("ns.example", "ns.example:53", id="name"),
    pytest.param("ns.example:5353", "ns.example:5353", id="name and port"),
]


@pytest.mark.parametrize(("text", "address"), SERVERS)
def test_a_server_may_be_written_in_many_ways(text: str, address: str) -> None:
    options = Options(server=text, query="example.org")
    assert str(options.address) == address
    assert list(options.problems(SimpleNamespace())) == []
    assert dns.aimed(Options(server="192.0.2.9", query="example.org"), text).server == text


def test_over_tls_the_port_is_another() -> None:
    assert str(Options(server="192.0.2.1", query="example.org", dns_over_tls=True).address) == "192.0.2.1:853"


@pytest.mark.parametrize("target", ["", "a b", "host:0", "host:99999", "http://host", "[::1", "user@host"])
def test_a_target_that_is_no_server_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        dns.aimed(Options(server="192.0.2.9", query="example.org"), target)


PROBLEMS = [
    pytest.param({"server": "a b"}, ("server",), "is no address", id="server"),
    pytest.param({"query": "a..b"}, ("query",), "is no name", id="empty label"),
    pytest.param({"query": "a" * 64}, ("query",), "is no name", id="long label"),
    pytest.param({"record": "AXFR"}, ("record",), "asks for a whole zone", id="whole zone"),
    pytest.param({"record": "AB"}, ("record",), "there is no type of record 'AB'", id="record"),
    pytest.param({"query_class": "INN"}, ("query_class",), "there is no class 'INN'", id="class"),
    pytest.param({"valid_rcodes": ("NOERROR", "NONE")}, ("valid_rcodes", 1), "no response code 'NONE'", id="rcode"),
    pytest.param({"source_ip": "host"}, ("source_ip",), "is no IP address", id="source"),
    pytest.param({"tls_config": TlsOptions()}, ("tls_config",), "set dns_over_tls", id="TLS without TLS"),
]


@pytest.mark.parametrize(("changes", "path", "words"), PROBLEMS)
def test_what_cannot_be_asked_is_a_problem(changes: dict[str, object], path: tuple[str | int, ...], words: str) -> None:
    [(found, told)] = Options(**({"server": "192.0.2.1", "query": "example.org"} | changes)).problems(SimpleNamespace())
    assert found == path
    assert words in told


def test_a_pattern_that_is_none_is_a_problem() -> None:
    checks = RecordChecks(fail_if_matches_regexp=("fine", "("))
    [(path, told)] = checks.problems(SimpleNamespace())
    assert path == ("fail_if_matches_regexp", 1)
    assert "'('" in told


def test_the_target_is_the_question() -> None:
    assert (
        dns.target(Options(server="192.0.2.1:53", query="example.org", record="MX")) == "MX example.org at 192.0.2.1:53"
    )


@given(st.text(max_size=60))
def test_comparing_answers_is_stable(text: str) -> None:
    """What was made comparable stays what it is, so both sides always end in the same form."""
    assert normal(normal(text)) == normal(text) or '"' in text
    assert normal(text.upper()) == normal(text.upper().casefold())
