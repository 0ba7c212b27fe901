"""Calls over plain TCP: what each peer does to them, and in which words they say so."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from servers.programs import free_port
from servers.talks import HOST, Broken, Talk, black_hole, call_to, pong, taken_by_nobody
from servers.tls import reset, serving

from exporter.wire import Wire, WireError, dialing

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.wire import Outcome

LONG = 20.0
SHORT = 0.2


def said(outcome: Outcome) -> tuple[str, str]:
    """Return cause and reason of an error."""
    assert outcome.error is not None
    return outcome.error.cause, outcome.error.reason


async def test_an_answer_is_read_and_each_phase_is_timed(wire: Wire) -> None:
    """A good exchange has no error, its peer's address, and durations whose sum is the whole."""
    async with serving(pong) as port:
        talk = Talk()
        outcome = await wire.call(call_to(port), talk, LONG)
    assert (talk.came, outcome.error, outcome.address, outcome.tls) == (b"pong\n", None, HOST, None)
    assert list(outcome.phases) == ["connect", "processing", "transfer"]
    assert outcome.duration == pytest.approx(sum(outcome.phases.values()))
    assert all(seconds >= 0 for seconds in outcome.phases.values())


async def test_the_wire_serves_many_calls_one_after_the_other_and_at_once(wire: Wire) -> None:
    """Each call gets its own answer, on a connection of its own."""
    seen = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.write(await reader.readline())

    async with serving(echo) as port:
        for _ in range(3):
            talks = [Talk(b"%d\n" % number) for number in range(50)]
            outcomes = await asyncio.gather(*(wire.call(call_to(port), talk, LONG) for talk in talks))
            assert [outcome.error for outcome in outcomes] == [None] * 50
            assert [talk.came for talk in talks] == [b"%d\n" % number for number in range(50)]
    assert seen == 150


async def test_a_refused_connection_says_so(wire: Wire) -> None:
    """Nobody listens: the cause is connect, and the sentence names address and port."""
    port = free_port()
    cause, reason = said(await wire.call(call_to(port), Talk(), LONG))
    assert (cause, reason) == (
        "connect", f"{HOST} port {port} refused the connection: nothing listens there, or a firewall rejects it",
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse when the queue is full")
async def test_a_black_hole_times_out_while_connecting(wire: Wire) -> None:
    """Packets are dropped: the reason says in which phase the time was over, and only that phase was begun."""
    with black_hole() as port:
        outcome = await wire.call(call_to(port), Talk(), SHORT)
    assert said(outcome) == ("timeout", f"no answer within 0.2 s while connecting to {HOST} port {port}")
    assert list(outcome.phases) == ["connect"]


async def test_a_peer_that_never_answers_times_out_while_it_is_awaited(wire: Wire) -> None:
    """The connection is made, the request is sent, nothing comes."""
    with taken_by_nobody() as port:
        outcome = await wire.call(call_to(port), Talk(), SHORT)
    assert said(outcome) == ("timeout", "no answer within 0.2 s while waiting for the first byte")
    assert list(outcome.phases) == ["connect", "processing"]
    assert outcome.duration >= SHORT


async def test_a_dripping_answer_is_handed_on_at_once_and_ends_at_the_deadline(wire: Wire) -> None:
    """Every byte that comes is seen, but does not put the deadline off."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as port:
        talk = Talk()
        cause, reason = said(await wire.call(call_to(port), talk, 0.5))
    assert (cause, reason) == ("timeout", "no answer within 0.5 s while receiving the rest")
    assert talk.pieces > 1


async def test_an_endless_answer_ends_at_the_deadline_and_holds_nobody_up(wire: Wire) -> None:
    """A peer that sends without a pause does not keep the thread to itself: another call is answered meanwhile."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    class Count(Talk):
        def received(self, data: bytes):
            self.loop.call_soon_threadsafe(self.has_answer.set)
            self.pieces += len(data)
            return super().received(b"")

    async with serving(flood) as flooded, serving(pong) as port:
        talk = Count(until=b"never")
        endless = asyncio.create_task(wire.call(call_to(flooded), talk, 1.0))
        await talk.has_answer.wait()
        good = await wire.call(call_to(port), Talk(), LONG)
        assert not endless.done()
        assert good.error is None
        assert said(await endless)[0] == "timeout"
    assert talk.pieces > 65536


@pytest.mark.parametrize(
    ("until", "error"),
    [
        pytest.param(None, None, id="an end that was wanted"),
        pytest.param(b"\n", WireError("protocol", "the answer ended after 3 bytes"), id="an end that came too early"),
    ],
)
async def test_the_conversation_judges_the_end(wire: Wire, until: bytes | None, error: WireError | None) -> None:
    """A peer that closes its side, also one that goes on listening, ends the call as the conversation says."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"one")
        writer.write_eof()
        await reader.read()

    async with serving(half) as port:
        talk = Talk(until=until)
        outcome = await wire.call(call_to(port), talk, LONG)
    assert talk.came == b"one"
    assert (outcome.error and said(outcome)) == (error and (error.cause, error.reason))


async def test_a_reset_is_told_apart_from_an_end(wire: Wire) -> None:
    """RST is an error of the connection, whatever the conversation wanted."""

    async def ask_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await reset(reader, writer)

    async with serving(ask_then_reset) as port:
        outcome = await wire.call(call_to(port), Talk(until=None), LONG)
    assert said(outcome) == ("connect", "the peer reset the connection while waiting for the first byte")


async def test_a_peer_that_answers_and_closes_before_it_was_sent_everything_is_heard(wire: Wire) -> None:
    """What the peer said counts although the rest of the request cannot be sent any more."""

    async def curt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"too long\n")

    async with serving(curt) as port:
        talk = Talk(b"x" * 50_000_000)
        outcome = await wire.call(call_to(port), talk, LONG)
    assert outcome.error is None or said(outcome)[1].startswith("the peer reset the connection")
    assert outcome.error is not None or talk.came == b"too long\n"


async def test_a_long_request_arrives_whole_at_a_slow_reader(wire: Wire) -> None:
    """What cannot be sent at once is kept in order."""
    request = b"".join(b"%08d" % number for number in range(1_000_000))

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest, left = hashlib.sha256(), len(request)
        while left:
            data = await reader.read(100_000)
            left -= len(data)
            digest.update(data)
        writer.write(digest.hexdigest().encode() + b"\n")

    async with serving(slow) as port:
        talk = Talk(request)
        outcome = await wire.call(call_to(port), talk, LONG)
    assert outcome.error is None
    assert talk.came.decode() == hashlib.sha256(request).hexdigest() + "\n"


async def test_a_peer_that_does_not_read_times_out_while_sending(wire: Wire) -> None:
    """The reason says that it was the sending that did not end."""
    with taken_by_nobody() as port:
        outcome = await wire.call(call_to(port), Talk(b"x" * 50_000_000), SHORT)
    assert said(outcome) == ("timeout", "no answer within 0.2 s while sending: the peer does not read")


async def test_a_peer_that_speaks_first_is_heard(wire: Wire) -> None:
    """Nothing is sent, and the banner may come together with the connection."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")

    async with serving(greet) as port:
        talks = [Talk(b"") for _ in range(20)]
        outcomes = await asyncio.gather(*(wire.call(call_to(port), talk, LONG) for talk in talks))
    assert [outcome.error for outcome in outcomes] == [None] * 20
    assert {talk.came for talk in talks} == {b"hello\n"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_the_source_address_is_used(wire: Wire) -> None:
    """The peer sees the address that the call names."""

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{writer.get_extra_info('peername')[0]}\n".encode())

    async with serving(who) as port:
        talk = Talk(b"")
        outcome = await wire.call(call_to(port, source="127.0.0.9"), talk, LONG)
        assert (outcome.error, talk.came) == (None, b"127.0.0.9\n")
        cause, reason = said(await wire.call(call_to(port, source="192.0.2.1"), Talk(), LONG))
    assert cause == "system"
    assert "source address" in reason


@pytest.mark.parametrize("port", [65536, -1])
async def test_a_number_that_is_no_port_is_an_answer_too(wire: Wire, port: int) -> None:
    """Nothing that a call holds makes the wire raise."""
    outcome = await wire.call(call_to(port), Talk(), LONG)
    assert outcome.error is not None


@pytest.mark.parametrize("where", ["opened", "received", "ended"])
@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (lambda: WireError("answer", "it is wrong"), "answer", "it is wrong"),
        (lambda: ValueError("top secret"), "unexpected", "an error of this program: ValueError"),
        (lambda: RecursionError, "unexpected", "an error of this program: RecursionError"),
    ],
    ids=["wire error", "mistake", "deep mistake"],
)
async def test_an_error_of_a_conversation_ends_only_its_call(
    wire: Wire, where: str, error: Callable[[], Exception], cause: str, reason: str
) -> None:
    """Whatever it raises is the outcome, without the text of a foreign error, and the next call works."""
    async with serving(pong) as port:
        outcome = await wire.call(call_to(port), Broken(where, error), LONG)
        assert said(outcome) == (cause, reason)
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None


@pytest.mark.parametrize("what", ["allows", "explain"])
async def test_an_error_of_a_guard_or_a_listener_ends_only_its_call(wire: Wire, what: str) -> None:
    """Functions that the caller gives cannot stop the thread."""

    def fail(text: str) -> bool:
        raise RuntimeError(text)

    async with serving(pong) as port:
        outcome = await wire.call(call_to(port, **{what: fail}), Talk(), LONG)
        assert said(outcome) == ("unexpected", "an error of this program: RuntimeError")
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None


async def test_the_steps_are_explained(wire: Wire) -> None:
    """Who asks hears what was connected to, in order."""
    steps: list[str] = []
    async with serving(pong) as port:
        await wire.call(call_to(port, explain=steps.append), Talk(), LONG)
    assert steps[0] == f"connecting to {HOST} port {port}"
    assert steps[1].startswith(f"connected to {HOST} in 0.")


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    real = socket.getaddrinfo

    def known(host: str, *rest: object, **more: object) -> object:
        if host != "many.example":
            return real(host, *rest, **more)
        return [found for address in addresses for found in real(address, None, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", known)


@pytest.mark.parametrize(
    ("addresses", "more", "expected"),
    [
        pytest.param(["::1", HOST], {}, HOST, id="the second when nobody listens on the first"),
        pytest.param(["::1", HOST], {"prefer": "ip6"}, HOST, id="fallback"),
        pytest.param(["::1", HOST], {"prefer": "ip4", "fallback": False}, HOST, id="only the preferred"),
        pytest.param(["::1", HOST], {"prefer": "ip6", "fallback": False}, "connect", id="no fallback"),
        pytest.param([HOST], {"prefer": "ip6", "fallback": False}, "resolve", id="none of the preferred"),
        pytest.param([], {}, "resolve", id="none at all"),
    ],
)
async def test_the_addresses_of_a_name_are_tried_in_turn(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, addresses: list[str], more: dict[str, object], expected: str
) -> None:
    """As blackbox_exporter's preferred_ip_protocol and ip_protocol_fallback choose; each has its turn."""
    _resolving(monkeypatch, *addresses)
    async with serving(pong) as port:
        outcome = await wire.call(call_to(port, "many.example", **more), Talk(), LONG)
    if outcome.error:
        # A machine without IPv6 says so, which is its own cause.
        assert outcome.error.cause in ({expected, "system"} if expected == "connect" else {expected})
    else:
        assert outcome.address == expected


@pytest.mark.parametrize(("prefer", "works"), [("ip4", True), ("ip6", False)])
async def test_a_numeric_host_has_one_protocol(wire: Wire, prefer: str, works: bool) -> None:  # noqa: FBT001 - a table
    """An address of the other protocol is not connected to when there is to be no fallback."""
    async with serving(pong) as port:
        outcome = await wire.call(call_to(port, prefer=prefer, fallback=False), Talk(), LONG)
    assert (outcome.error is None) == works
    assert works or said(outcome) == ("resolve", "'127.0.0.1' has no IPv6 address")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv6_works(wire: Wire) -> None:
    """A numeric IPv6 address is connected to."""
    async with serving(pong, host="::1") as port:
        outcome = await wire.call(call_to(port, "::1"), Talk(), LONG)
    assert (outcome.error, outcome.address) == (None, "::1")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse when the queue is full")
async def test_a_black_hole_leaves_time_for_the_next_address(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address gets a share of the time, not all of it; both are in the phase connect."""
    monkeypatch.setattr(dialing, "LEAST_SECONDS", 0.0)
    _resolving(monkeypatch, "127.0.0.2", HOST)
    async with serving(pong) as port:
        with black_hole("127.0.0.2", port):
            outcome = await wire.call(call_to(port, "many.example"), Talk(), 2.0)
    assert (outcome.error, outcome.address) == (None, HOST)
    assert outcome.phases["connect"] >= 1.0


class Stopped:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def time(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def test_what_the_thread_is_late_by_is_not_booked_to_the_target() -> None:
    """An answer counts from when the poll told of it, however long the thread was busy after that."""
    clock = Stopped()

    class Busy(Talk):
        def received(self, data: bytes):
            clock.at += 100
            return super().received(data)

    wire = Wire(clock=clock)
    try:
        async with serving(pong) as port:
            outcome = await wire.call(call_to(port), Busy(), LONG)
    finally:
        await wire.close()
    assert (outcome.error, outcome.duration) == (None, 0.0)


async def test_a_look_up_counts_from_its_begin_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The phase resolve is the look-up itself: not the wait for a thread before, nor the thread's lateness after."""
    clock, real = Stopped(), socket.getaddrinfo

    def slow(host: str, *rest: object, **more: object) -> object:
        if host == "slow.example":
            clock.at += 3
            return real(HOST, None, type=socket.SOCK_STREAM)
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    wire = Wire(clock=clock)
    try:
        async with serving(pong) as port:
            outcome = await wire.call(call_to(port, "slow.example"), Talk(), LONG)
    finally:
        await wire.close()
    assert outcome.error is None
    assert outcome.phases == {"resolve": 3.0, "connect": 0.0, "processing": 0.0, "transfer": 0.0}
