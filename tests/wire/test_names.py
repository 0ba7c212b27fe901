"""Look-ups of names: hanging ones cost only whoever waits for them."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from servers.programs import until
from servers.talks import HOST, Talk, call_to, pong
from servers.tls import serving

from exporter.wire import Wire, WireError, names
from exporter.wire.names import DOUBTFUL_THREADS, SLOW_SECONDS, THREADS, Names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.wire.names import Lookup

LONG = 20.0


class Resolver:
    """Stands for the system's: names below hang.example hang, those below known.example are this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hanging = 0
        self.released = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, *rest: Any, **more: Any) -> Any:
        if not isinstance(host, str) or not host.endswith(".example"):
            return self._real(host, *rest, **more)
        self.asked.append(host)
        if host.endswith("hang.example"):
            self.hanging += 1
            self.released.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(HOST, None, type=socket.SOCK_STREAM)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.released.set()


def threads() -> int:
    return sum(thread.name == "wire-names" for thread in threading.enumerate())


async def test_a_name_is_looked_up_and_connected_to(wire: Wire, resolver: Resolver) -> None:
    """The look-up is a phase of its own."""
    async with serving(pong) as port:
        outcome = await wire.call(call_to(port, "a.known.example"), Talk(), LONG)
    assert (outcome.error, outcome.address) == (None, HOST)
    assert list(outcome.phases) == ["resolve", "connect", "processing", "transfer"]
    assert resolver.asked == ["a.known.example"]


async def test_a_numeric_host_is_never_looked_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the resolver nor a thread of it is used."""

    def refuse(host: Any, *rest: Any, **more: Any) -> Any:
        raise AssertionError(host)

    async with serving(pong) as port:
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None
        assert await wire.resolve("::1", None, fallback=True, timeout=LONG) == ("::1",)
    assert threads() == 0


async def test_names_that_hang_hold_no_other_up(wire: Wire, resolver: Resolver) -> None:
    """Another name is answered while they hang; the hanging ones end at the deadline with the cause resolve."""
    async with serving(pong) as port:
        hanging = [
            asyncio.create_task(wire.call(call_to(port, f"{number}.hang.example"), Talk(), 1.0))
            for number in range(THREADS - 1)
        ]
        good = await wire.call(call_to(port, "a.known.example"), Talk(), LONG)
        assert good.error is None
        assert not any(task.done() for task in hanging)
        outcomes = await asyncio.gather(*hanging)
    assert {outcome.error.cause for outcome in outcomes if outcome.error} == {"resolve"}
    assert outcomes[0].error is not None
    assert (
        outcomes[0].error.reason == "the name '0.hang.example' was not found out within 1 s: the name server is silent"
    )
    assert list(outcomes[0].phases) == ["resolve"]


async def test_threads_never_pile_up(wire: Wire, resolver: Resolver) -> None:
    """More hanging names than threads: the rest waits, ends at the deadline and is then never looked up."""
    calls = [wire.call(call_to(9, f"{number}.hang.example"), Talk(), 0.5) for number in range(3 * THREADS)]
    outcomes = await asyncio.gather(*calls)
    assert {outcome.error.cause for outcome in outcomes if outcome.error} == {"resolve"}
    assert threads() == THREADS
    resolver.released.set()
    async with serving(pong) as port:
        assert (await wire.call(call_to(port, "a.known.example"), Talk(), LONG)).error is None
    assert resolver.hanging == THREADS


async def test_one_look_up_serves_all_who_wait_for_it(wire: Wire, resolver: Resolver) -> None:
    """Fifty calls to one name that hangs take one thread."""
    outcomes = await asyncio.gather(
        *(wire.call(call_to(9, "one.hang.example"), Talk(), 0.3) for _ in range(50)),
    )
    assert {outcome.error.cause for outcome in outcomes if outcome.error} == {"resolve"}
    assert resolver.asked == ["one.hang.example"]


async def test_numeric_targets_do_not_care_for_the_resolver(wire: Wire, resolver: Resolver) -> None:
    """With every thread hanging, a numeric address is connected to at once."""
    async with serving(pong) as port:
        hanging = [
            asyncio.create_task(wire.call(call_to(port, f"{number}.hang.example"), Talk(), LONG))
            for number in range(2 * THREADS)
        ]
        assert (await wire.call(call_to(port), Talk(), LONG)).error is None
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_names_that_were_slow_get_half_of_the_threads() -> None:
    """A zone that hangs again and again leaves the other half to the rest, however many names it has."""
    at = 0.0
    release, lock = threading.Event(), threading.Lock()
    running: list[str] = []

    def slow(host: str, *rest: Any, **more: Any) -> list[Any]:
        nonlocal at
        with lock:
            running.append(host)
            at += SLOW_SECONDS + 1
        if release.is_set() and not host.startswith("good"):
            hold.wait(60)
        return []

    hold = threading.Event()
    some = Names(lambda: at)
    answers: list[Lookup] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", slow)
        for number in range(2 * THREADS):
            some.ask(f"slow{number}", answers.append)
        until(lambda: len(answers) == 2 * THREADS, 10, "all look-ups ending")
        release.set()
        running.clear()
        for number in range(2 * THREADS):
            some.ask(f"slow{number}", answers.append)
        until(lambda: len(running) == DOUBTFUL_THREADS, 10, "the doubtful names taking their threads")
        some.ask("good", answers.append)
        until(lambda: answers[-1].host == "good", 10, "the good name being answered")
        assert len(running) == DOUBTFUL_THREADS + 1
        hold.set()
        until(lambda: len(answers) == 4 * THREADS + 1, 10, "the doubtful names ending")
        for thread in some.close(lambda: None):
            thread.join(10)


def test_the_queue_is_bounded(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many names wait, the next is an error at once; who asks for one under way still waits with it."""
    some = Names()
    for number in range(THREADS):
        some.ask(f"{number}.hang.example", lambda _: None)
    until(lambda: resolver.hanging == THREADS, 10, "every thread hanging")
    monkeypatch.setattr(names, "WAITING", 3)
    for number in range(3):
        some.ask(f"more{number}.hang.example", lambda _: None)
    with pytest.raises(WireError, match="too many names wait to be looked up") as raised:
        some.ask("last.hang.example", lambda _: None)
    assert raised.value.cause == "resolve"
    some.ask("0.hang.example", lambda _: None)
    resolver.released.set()
    for thread in some.close(lambda: None):
        thread.join(10)


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> None:
    """A quiet program keeps no thread, and gets a new one when it asks again."""
    monkeypatch.setattr(names, "IDLE_SECONDS", 0.01)
    some, answers = Names(), []
    for expected in (1, 2):
        some.ask("a.known.example", answers.append)
        until(lambda: len(answers) == expected and not threads(), 10, "the thread ending")  # noqa: B023 - asked here


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "the name 'a.example' is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name server did not answer for the name 'a.example'"),
        (socket.gaierror(socket.EAI_FAIL, "broken"), "the name 'a.example' could not be looked up: broken"),
        (UnicodeError("label too long"), "the name 'a.example' could not be looked up: it is no name of a host"),
        (ValueError("embedded null"), "the name 'a.example' could not be looked up: it is no name of a host"),
    ],
    ids=["unknown", "silent", "failed", "no label", "NUL"],
)
async def test_a_failed_look_up_is_said_in_words(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """Each answer of the resolver has its sentence, for calls and for look-ups alone."""

    def fail(host: Any, *rest: Any, **more: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = await wire.call(call_to(9, "a.example"), Talk(), LONG)
    assert outcome.error is not None
    assert (outcome.error.cause, outcome.error.reason) == ("resolve", reason)
    with pytest.raises(WireError, match=r"a\.example"):
        await wire.resolve("a.example", None, fallback=True, timeout=LONG)


async def test_a_look_up_that_this_machine_cannot_make_is_our_own_trouble(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file descriptor nothing is known of the name: the service is not down for that."""

    def fail(host: Any, *rest: Any, **more: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = await wire.call(call_to(9, "a.example"), Talk(), LONG)
    assert outcome.error is not None
    assert (outcome.error.cause, outcome.error.reason) == (
        "system", "the name 'a.example' could not be looked up: too many open files",
    )  # fmt: skip


async def test_hosts_that_are_no_names_are_answers(wire: Wire) -> None:
    """Whatever stands where a name should, the real resolver is not asked for the impossible and nothing raises."""
    for host in ("", "a" * 300, "a\0b", "xn--\udcff", "..", "a..b"):
        outcome = await wire.call(call_to(9, host), Talk(), LONG)
        assert outcome.error is not None, host
        assert outcome.error.cause == "resolve", host


async def test_a_name_is_resolved_alone(wire: Wire, monkeypatch: pytest.MonkeyPatch, resolver: Resolver) -> None:
    """In the order of trying; late and without an address of the protocol it is an error."""
    assert await wire.resolve("a.known.example", "ip6", fallback=True, timeout=LONG) == (HOST,)
    with pytest.raises(WireError, match="has no IPv6 address"):
        await wire.resolve("a.known.example", "ip6", fallback=False, timeout=LONG)
    with pytest.raises(WireError, match=r"was not found out within 0\.1 s"):
        await wire.resolve("a.hang.example", None, fallback=True, timeout=0.1)


async def test_closing_does_not_wait_for_names_that_hang(resolver: Resolver) -> None:
    """Calls under way are answered, and the hanging thread ends as soon as its look-up does."""
    wire = Wire()
    call = asyncio.create_task(wire.call(call_to(9, "a.hang.example"), Talk(), LONG))
    await asyncio.to_thread(until, lambda: resolver.hanging, 10, "the look-up hanging")
    await wire.close()
    assert (await call).error is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "wire"]
    assert threads() == 1
    resolver.released.set()
    until(lambda: not threads(), 10, "the hanging thread ending")
