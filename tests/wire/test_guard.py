"""The guard is asked about each address just before it is connected to, and about who really answered."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from servers.talks import HOST, Talk, call_to
from servers.tls import serving

if TYPE_CHECKING:
    from exporter.wire import Wire

LONG = 20.0


class Door:
    """A server that counts who came in."""

    def __init__(self) -> None:
        self.requests = 0
        self.came = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.set()
        if await reader.readline():
            self.requests += 1
            writer.write(b"pong\n")


class Guard:
    """Forbids some addresses and remembers what it was asked about."""

    def __init__(self, *forbidden: str) -> None:
        self.forbidden = forbidden
        self.asked: list[str] = []

    def __call__(self, address: str) -> bool:
        self.asked.append(address)
        return address not in self.forbidden


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Let names.example have other addresses at each look-up."""
    real, left = socket.getaddrinfo, list(answers)

    def changing(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "names.example":
            return real(host, *rest, **more)
        return [found for address in left.pop(0) for found in real(address, None, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", changing)


async def test_a_forbidden_address_is_not_connected_to(wire: Wire) -> None:
    """It is asked by its number, the cause is refused, and nobody comes in."""
    door, guard = Door(), Guard(HOST)
    async with serving(door) as port:
        outcome = await wire.call(call_to(port, allows=guard), Talk(), LONG)
    assert outcome.error is not None
    assert (outcome.error.cause, outcome.error.reason) == ("refused", f"connections to {HOST} are not allowed")
    assert (door.requests, guard.asked, outcome.address, outcome.phases) == (0, [HOST], None, {})


async def test_a_name_that_changed_is_asked_about_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look-up was harmless, the second leads to a forbidden address: rebinding gains nothing."""
    resolving(monkeypatch, [HOST], ["127.0.0.66"])
    door, guard = Door(), Guard("127.0.0.66")
    async with serving(door) as port:
        good = await wire.call(call_to(port, "names.example", allows=guard), Talk(), LONG)
        bad = await wire.call(call_to(port, "names.example", allows=guard), Talk(), LONG)
    assert good.error is None
    assert bad.error is not None
    assert bad.error.cause == "refused"
    assert (door.requests, guard.asked) == (1, [HOST, "127.0.0.66"])


async def test_an_allowed_address_beside_a_forbidden_one_is_used(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is asked about on its own."""
    resolving(monkeypatch, ["127.0.0.66", HOST])
    door, guard = Door(), Guard("127.0.0.66")
    async with serving(door) as port:
        outcome = await wire.call(call_to(port, "names.example", allows=guard), Talk(), LONG)
    assert (outcome.error, outcome.address) == (None, HOST)
    assert guard.asked == ["127.0.0.66", HOST]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 0.0.0.0 leads nowhere")
async def test_who_answered_is_asked_about_too(wire: Wire) -> None:
    """0.0.0.0 leads to this machine: the guard sees the loopback address before a byte is sent."""
    door, guard = Door(), Guard(HOST)
    async with serving(door) as port:
        outcome = await wire.call(call_to(port, "0.0.0.0", allows=guard), Talk(), LONG)  # noqa: S104 - a target
        await door.came.wait()
    assert outcome.error is not None
    assert (outcome.error.cause, outcome.error.reason) == ("refused", f"connections to {HOST} are not allowed")
    assert (door.requests, guard.asked) == (0, ["0.0.0.0", HOST])  # noqa: S104 - a target


@pytest.mark.parametrize("host", [f"::ffff:{HOST}", "::ffff:7f00:1", "0:0:0:0:0:ffff:127.0.0.1"])
async def test_an_address_in_another_dress_is_recognised(wire: Wire, host: str) -> None:
    """An IPv4 address that IPv6 wraps is asked about as what it is."""
    door, guard = Door(), Guard(HOST)
    async with serving(door) as port:
        outcome = await wire.call(call_to(port, host, allows=guard), Talk(), LONG)
    assert outcome.error is not None
    assert outcome.error.cause == "refused"
    assert (door.requests, guard.asked) == (0, [HOST])


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "0177.0.0.1", "127.1"])
async def test_old_spellings_of_an_address_meet_the_guard_as_numbers(wire: Wire, host: str) -> None:
    """Where the system's resolver takes them at all, the guard sees the address that they mean."""
    door, guard = Door(), Guard(HOST)
    async with serving(door) as port:
        outcome = await wire.call(call_to(port, host, allows=guard), Talk(), LONG)
    assert outcome.error is not None
    assert outcome.error.cause in {"refused", "resolve"}
    assert (door.requests, set(guard.asked) - {HOST}) == (0, set())
