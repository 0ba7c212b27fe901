"""An echo request counts as answered by its own reply alone, and what the system does not allow is said as such."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import probed
from exporter.clock import SystemClock
from exporter.model import Reading
from exporter.probes import icmp
from exporter.probes.icmp import Options, sockets
from exporter.probes.icmp.packets import Echo, checksum, without_header
from exporter.probing import Parts
from exporter.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TESTS = Path(__file__).parents[1]

ALONE = """
import asyncio, json, sys
from exporter.clock import SystemClock
from exporter.probes import icmp
from exporter.probing import Parts
from exporter.wire import Wire
from servers import namespace

asked = json.loads(sys.argv[1])

async def main():
    wire = Wire()
    parts = Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda _: True)
    reading = await icmp.probe(icmp.Options(**asked["options"]), parts, asked["timeout"])
    await wire.close()
    shown = {family.name: list(values.values())[0] for family, values in icmp.samples(reading).items()}
    return {"state": reading.state, "cause": reading.cause, "reason": reading.reason, "shown": shown}

try:
    namespace.enter(**asked["network"])
    if asked["plain"]:
        namespace.drop_capabilities()
except namespace.NoNamespaceError as error:
    print(json.dumps({"impossible": str(error)}))
else:
    print(json.dumps(asyncio.run(main())))
"""
"""Probes in a network of its own, where the rights and the settings are what a test wants."""

ALL = "0 2147483647"
NONE = "1 0"


def alone(
    options: dict[str, object], *, plain: bool = False, timeout: float = 20.0, **network: object
) -> dict[str, object]:
    """Run a probe in a network of its own, without capabilities where `plain`; return what was read."""
    asked = json.dumps({"options": options, "plain": plain, "timeout": timeout, "network": network})
    environment = {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(
        [sys.executable, "-c", ALONE, asked], env=environment, capture_output=True, timeout=60, check=True
    )
    told: dict[str, object] = json.loads(run.stdout)
    if "impossible" in told:
        pytest.skip(f"this user may not have a network of its own here: {told['impossible']}")
    return told


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no network namespaces")


@on_linux
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("plain", "group_range"),
    [pytest.param(False, NONE, id="raw socket"), pytest.param(True, ALL, id="unprivileged socket")],
)
def test_a_host_that_answers_is_up(address: str, *, plain: bool, group_range: str) -> None:
    """By either socket, over either protocol; the hop limit of the reply is known."""
    read = alone({"address": address, "ttl": 9}, plain=plain, ping_group_range=group_range)
    assert (read["state"], read["cause"]) == ("up", "")
    assert str(read["reason"]).startswith(f"{address} answered in ")
    assert read["shown"]["probe_icmp_reply_hop_limit"] == 64.0
    assert read["shown"]["probe_ip_protocol"] == (6.0 if ":" in address else 4.0)


@on_linux
def test_a_missing_right_says_nothing_of_the_host() -> None:
    """Both ways to get the right are named."""
    read = alone({"address": "127.0.0.1"}, plain=True, ping_group_range=NONE)
    assert (read["state"], read["cause"]) == ("unknown", "system")
    assert "CAP_NET_RAW" in str(read["reason"])
    assert "net.ipv4.ping_group_range" in str(read["reason"])


FAILURES = [
    pytest.param(
        {"address": "127.0.0.1"}, {"icmp_echo_ignore_all": "1"}, "timeout", "no reply from 127.0.0.1", id="silent"
    ),
    pytest.param({"address": "192.0.2.1"}, {}, "connect", "192.0.2.1 cannot be reached", id="no route"),
    pytest.param(
        {"address": "127.0.0.1", "payload_size": 3000, "dont_fragment": True},
        {"mtu": 1500},
        "value",
        "make payload_size less",
        id="too long unsplit",
    ),
]


@on_linux
@pytest.mark.parametrize(("options", "network", "cause", "words"), FAILURES)
@pytest.mark.parametrize("plain", [False, True], ids=["raw socket", "unprivileged socket"])
def test_a_host_that_does_not_answer_is_down(
    options: dict[str, object], network: dict[str, object], cause: str, words: str, *, plain: bool
) -> None:
    read = alone(options, plain=plain, timeout=0.4, ping_group_range=ALL if plain else NONE, **network)
    assert (read["state"], read["cause"]) == ("down", cause)
    assert words in str(read["reason"])
    assert "probe_icmp_reply_hop_limit" not in read["shown"]


@on_linux
@pytest.mark.parametrize("plain", [False, True], ids=["raw socket", "unprivileged socket"])
@pytest.mark.parametrize("size", [0, 1, 65507])
def test_any_size_is_sent_and_compared(size: int, *, plain: bool) -> None:
    read = alone({"address": "127.0.0.1", "payload_size": size}, plain=plain, ping_group_range=ALL if plain else NONE)
    assert read["state"] == "up"


@on_linux
def test_the_source_address_is_this_hosts() -> None:
    read = alone({"address": "127.0.0.1", "source_ip": "127.0.0.9"}, ping_group_range=NONE)
    assert read["state"] == "up"
    other = alone({"address": "127.0.0.1", "source_ip": "192.0.2.1"}, ping_group_range=NONE)
    assert (other["state"], other["cause"]) == ("unknown", "system")
    assert "source_ip 192.0.2.1" in str(other["reason"])


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """Give the connections of probes."""
    made = Wire()
    yield made
    await made.close()


def parts(wire: Wire, *, allows: bool = True, steps: list[str] | None = None) -> Parts:
    told = [] if steps is None else steps
    return Parts(wire=wire, databases={}, clock=SystemClock(), permits=lambda _: allows, tell=told.append)


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Give the other end of the probe's socket, in UDP, so that any message can come from there without rights."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(10)

        def opened(*_: object) -> socket.socket:
            ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ours.settimeout(0)
            ours.connect(other.getsockname())
            return ours

        monkeypatch.setattr(sockets, "opened", opened)
        yield other


def _reply(request: bytes, **changes: int) -> bytes:
    """Return the reply to a request, with fields of its header changed."""
    kind, code, total, number, sequence = struct.unpack_from("!BBHHH", request)
    header = {"kind": 0, "code": code, "total": total, "number": number, "sequence": sequence} | changes
    assert kind == 8
    return struct.pack("!BBHHH", *header.values()) + request[8:]


STRAYS: list[object] = [
    pytest.param(lambda request: request, id="the request itself"),
    pytest.param(lambda request: _reply(request, sequence=struct.unpack_from("!H", request, 6)[0] ^ 1), id="sequence"),
    pytest.param(lambda request: _reply(request, kind=3), id="unreachable"),
    pytest.param(lambda request: _reply(request, code=1), id="code"),
    pytest.param(lambda request: _reply(request)[:-1] + b"\x01", id="payload"),
    pytest.param(lambda request: _reply(request)[:-1], id="cut off"),
    pytest.param(lambda request: b"", id="nothing"),
    pytest.param(lambda request: b"\0" * 7, id="short"),
]


@pytest.mark.parametrize("stray", STRAYS)
async def test_what_is_not_the_reply_is_passed_over(
    wire: Wire, peer: socket.socket, stray: Callable[[bytes], bytes]
) -> None:
    """Then the reply comes and counts; without it the deadline does."""
    loop = asyncio.get_running_loop()
    for mends in (True, False):
        probing = asyncio.create_task(icmp.probe(Options(address="127.0.0.1"), parts(wire), 20.0 if mends else 0.3))
        request, sender = await loop.run_in_executor(None, peer.recvfrom, 65535)
        peer.sendto(stray(request), sender)
        if mends:
            peer.sendto(_reply(request), sender)
        reading = await probing
        assert reading.state == ("up" if mends else "down")
        assert reading.cause == ("" if mends else "timeout")
    assert reading.reason == "no reply from 127.0.0.1 within 0.3 s"


async def test_a_flood_of_strays_leaves_the_others_their_turn(wire: Wire, peer: socket.socket) -> None:
    """What lies ready on a socket is read without waiting: the loop must get its turns all the same."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    probing = asyncio.create_task(icmp.probe(Options(address="127.0.0.1"), parts(wire), 20.0))
    request, sender = await asyncio.get_running_loop().run_in_executor(None, peer.recvfrom, 65535)
    for _ in range(100):
        peer.sendto(request, sender)
    peer.sendto(_reply(request), sender)
    busy = asyncio.create_task(others())
    reading = await probing
    busy.cancel()
    assert reading.state == "up"
    assert turns > 100


async def test_cancelling_closes_the_socket(wire: Wire, peer: socket.socket) -> None:
    """One that was left would be a warning, which is an error here."""
    probing = asyncio.create_task(icmp.probe(Options(address="127.0.0.1"), parts(wire), 20.0))
    await asyncio.get_running_loop().run_in_executor(None, peer.recvfrom, 65535)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing


async def test_each_request_is_another(wire: Wire, peer: socket.socket) -> None:
    """Two programs on one host, or two probes of one program, never take each other's replies."""
    requests = set()
    for _ in range(20):
        probing = asyncio.create_task(icmp.probe(Options(address="127.0.0.1", payload_size=0), parts(wire), 20.0))
        request, sender = await asyncio.get_running_loop().run_in_executor(None, peer.recvfrom, 65535)
        peer.sendto(_reply(request), sender)
        assert (await probing).state == "up"
        requests.add(request)
    assert len(requests) == 20


async def test_an_address_that_is_not_allowed_is_never_sent_to(wire: Wire, peer: socket.socket) -> None:
    reading = await icmp.probe(Options(address="127.0.0.1"), parts(wire, allows=False), 5.0)
    assert (reading.state, reading.cause) == ("down", "refused")
    peer.settimeout(0)
    with pytest.raises(BlockingIOError):
        peer.recvfrom(1)


async def test_a_name_that_is_not_known_is_down(wire: Wire) -> None:
    reading = await icmp.probe(Options(address="no-such-host.invalid"), parts(wire), 20.0)
    assert (reading.state, reading.cause) == ("down", "resolve")
    assert icmp.samples(reading)[probed.IP_PROTOCOL] == {(): 0.0}
    assert set(icmp.samples(reading)[icmp.DURATION].values()) == {0.0}


async def test_windows_has_none(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    reading = await icmp.probe(Options(address="127.0.0.1"), parts(wire), 1.0)
    assert (reading.state, reading.cause) == ("unknown", "system")
    assert icmp.samples(reading) == {}


def _slow_checksum(data: bytes) -> int:
    """Return the checksum by RFC 1071's own words: the complement of the one's complement sum of 16-bit words."""
    total = 0
    for index in range(0, len(data), 2):
        total += (data[index] << 8) + (data[index + 1] if index + 1 < len(data) else 0)
        if total > 0xFFFF:
            total -= 0xFFFF
    return total ^ 0xFFFF


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_internet(data: bytes) -> None:
    """And with it in its place, the sum of the whole is none."""
    assert checksum(data) == _slow_checksum(data)
    even = data + b"\0" * (len(data) % 2)
    assert checksum(even + struct.pack("!H", checksum(even))) == 0


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes from the network is either the reply or not."""
    message, _ = without_header(data)
    echo = Echo.made(socket.AF_INET, 20, is_raw=True)
    assert not echo.is_answered_by(message) or message[8:] == echo.payload


def test_options_of_a_packet_are_no_part_of_the_message() -> None:
    """An IPv4 header may be longer than 20 bytes."""
    header = bytes([0x46]) + b"\0" * 7 + bytes([61]) + b"\0" * 15
    assert without_header(header + b"message") == (b"message", 61)
    assert without_header(b"\x00\x01") == (b"\x00\x01", None)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "db.example", "localhost"])
def test_a_host_is_a_target(host: str) -> None:
    options = icmp.aimed(Options(address="127.0.0.1", payload_size=8), host)
    assert (icmp.target(options), options.payload_size) == (host, 8)
    assert list(options.problems(SimpleNamespace())) == []


@pytest.mark.parametrize("host", ["", "a b", "db.example:80", "http://db.example", "[::1]", "a/b", "x@y", "a\n"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host: write a name or an address"):
        icmp.aimed(Options(address="127.0.0.1"), host)
    [(path, told)] = Options(address=host).problems(SimpleNamespace())
    assert path == ("address",)
    assert "is no host" in told


def test_a_source_that_is_no_address_is_a_problem() -> None:
    [(path, told)] = Options(address="127.0.0.1", source_ip="eth0").problems(SimpleNamespace())
    assert path == ("source_ip",)
    assert "is no IP address" in told


def test_a_reading_of_another_kind_has_no_samples() -> None:
    assert icmp.samples(Reading("down", "late", 1.0, "timeout")) == {}
